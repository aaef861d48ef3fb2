"""`updates`: releases of engines, why a box trusts them, and how one takes the other's place.

bundle/      what a release is
publishing/  keys and the TUF repository, on the side of those who release
trust/       the same repository seen from a box, whatever carries it there
store/       files that survive a power cut: blobs, releases, one state file per skill
"""

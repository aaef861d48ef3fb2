"""`updates`: releases of engines, why a box trusts them, and how one takes the other's place.

    bundle/      what a release is: its files, their chunks, the description that is signed
    publishing/  keys and the TUF repository, on the side of those who release
    trust/       the same repository seen from a box, whatever carries it there; jobs
    depot/       the repository over MQTT: who serves it, and a source that asks
    store/       files that survive a power cut: blobs, downloads, releases as folders
    machine/     what becomes of an update: pure, state and event in, state and actions out
    box/         carries it out: intake, activation, one state file per name, a thread

What is missing to run it in the daemon: an `Activation` over the box, and a `Listener` that
publishes.
"""

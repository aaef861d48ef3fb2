"""`updates`: releases of engines, why a box trusts them, and how one takes the other's place.

    bundle/      what a release is: its files, their chunks, the description that is signed
    publishing/  keys and the TUF repository, on the side of those who release
    trust/       the same repository seen from a box, whatever carries it there; jobs and orders
    depot/       the repository over MQTT: who serves it, and a source that asks
    store/       files that survive a power cut: blobs, downloads, releases as folders
    machine/     what becomes of an update: pure, state and event in, state and actions out
    box/         carries it out: intake, activation, one state file per name, a thread; takes jobs
                 and orders from the broker and reports there
    fleet/       many boxes seen from outside: what they report, and one after the other updated

The daemon's side, an `Activation` over the running box, is in `app`.
"""

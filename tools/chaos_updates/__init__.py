"""`tools/chaos updates`: an update over a bad line, to a box that is killed again and again.

link      what a line does to bytes: pure
proxy     `BadLine`: the same to real connections
moments   when the box is killed: pure
rounds    one update after the other, and what must be so at the end of each
verdict   what was counted, and every promise that was broken
"""

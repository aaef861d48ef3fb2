"""Engines: vendor runtimes that compute one batch at a time, each a leaf one can replace."""

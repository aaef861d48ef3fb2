"""A field site to try updates in: releases, a broker, a depot, a box as a process, callers.

releases   `ReleaseSite`: keys, a repository, and versions of engines that really differ
broker     `SiteBroker`: a mosquitto that can be restarted, and a team that listens and orders
processes  `BoxProcess` and `depot`: `skilld serve` and `skilld depot`, as anybody would start them
caller     `Caller`: calls a skill all the time, and writes down what became of each call
"""

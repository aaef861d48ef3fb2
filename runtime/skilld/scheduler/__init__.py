"""Who computes what next. Pure: time is an argument, nothing here waits or talks."""

from skilld.scheduler.request_queue import RequestQueue
from skilld.scheduler.scheduler import EngineLimits, Finished, Scheduler

__all__ = ["EngineLimits", "Finished", "RequestQueue", "Scheduler"]

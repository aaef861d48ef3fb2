"""`fleet`: updates of boxes seen from outside: what a box says of them."""

from skilld.updates.fleet.report import (
    MAX_ANSWERS,
    JobAnswer,
    Report,
    read_report,
    report_of,
)

__all__ = ["MAX_ANSWERS", "JobAnswer", "Report", "read_report", "report_of"]

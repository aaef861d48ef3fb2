"""`Policy`: how device time is dealt out; `Finished`: what the scheduler ends by itself."""

from __future__ import annotations

from dataclasses import dataclass

from skilld.core.errors import SkilldError
from skilld.core.request import FinishReason, Request


@dataclass(frozen=True, slots=True)
class Policy:
    """How device time is dealt out.

    Attributes:
        step_bound_ms: no step is planned longer, so that nobody waits longer for the next one;
            engines whose smallest step takes more than a quarter of it get four such steps.
        quantum_ms: an engine keeps the device this long before another one of its class gets it.
        aging_s: work that waited this long counts as interactive, and nothing younger may take
            cache memory before it.
    """

    step_bound_ms: float = 50.0
    quantum_ms: float = 20.0
    aging_s: float = 5.0


@dataclass(frozen=True, slots=True)
class Finished:
    """A request the scheduler ended by itself."""

    request: Request
    reason: FinishReason
    error: SkilldError

"""What goes into the engine loop with a request, and what comes out of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from skilld.core.errors import SkilldError
from skilld.core.request import FinishReason
from skilld.engine.base import StepOutput


class TokenChooser(Protocol):
    """Chooses the tokens of one answer; `skilld.skills.Decoding` is the one that ships."""

    finish_reason: FinishReason | None

    @property
    def draft(self) -> Sequence[int]:
        """Tokens it guesses come after all it returned, for the next step to verify."""
        ...

    def start(self) -> list[int]:
        """Tokens the answer begins with, whatever the model thinks."""
        ...

    def advance(self, output: StepOutput, first_line: int, draft: Sequence[int]) -> list[int]:
        """The next token and those it forces; see `Decoding.advance`."""
        ...


@dataclass(frozen=True, slots=True)
class Accepted:
    """The scheduler took the request; only for requests that stream."""

    request_id: str
    queue_position: int


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens were appended; only for requests that stream."""

    request_id: str
    token_ids: Sequence[int]


@dataclass(frozen=True, slots=True)
class Ended:
    """The last event of every request.

    Attributes:
        request_id: whose.
        reason: why it ended.
        token_ids: all generated tokens.
        error: set when it did not end by itself.
        queue_ms: from submission to admission.
        first_token_ms: from submission to the first chosen token; 0 if there was none.
        total_ms: from submission to the end.
        num_steps: engine steps it took part in.
        kv_bytes: cache bytes it held at the end.
    """

    request_id: str
    reason: FinishReason
    token_ids: Sequence[int]
    error: SkilldError | None
    queue_ms: float
    first_token_ms: float
    total_ms: float
    num_steps: int
    kv_bytes: int


Event = Accepted | Tokens | Ended
Deliver = Callable[[list[Event]], None]

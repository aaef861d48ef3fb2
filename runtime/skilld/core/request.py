"""`Request`: one skill call as the scheduler sees it, and what may become of it."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field


class RequestClass(enum.IntEnum):
    """What the scheduler promises; a smaller number goes first."""

    DEADLINE = 0
    INTERACTIVE = 1
    BATCH = 2


class FinishReason(enum.Enum):
    """Why a request ended. Every request ends exactly once."""

    STOP = "stop"
    LENGTH = "length"
    ABORT = "abort"
    DEADLINE = "deadline"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How tokens are chosen from logits.

    Attributes:
        max_tokens: most tokens to generate, forced ones included.
        temperature: 0 means greedy; otherwise logits are divided by it.
        top_k: keep the k likeliest tokens; 0 keeps all.
        top_p: keep the smallest set of tokens whose probabilities sum to at least this.
        min_p: keep tokens at least this fraction as likely as the likeliest.
        seed: of the random generator; the same seed gives the same tokens.
        stop: strings that end the text; the text before the first one is the answer.
    """

    max_tokens: int
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    seed: int = 0
    stop: tuple[str, ...] = ()


@dataclass(slots=True)
class Request:
    """A tokenized call. Owned by the engine thread once submitted.

    Attributes:
        request_id: unique in the process.
        engine: name of the engine that runs it.
        prompt: token ids.
        max_tokens: most tokens to generate.
        request_class: what the scheduler promises.
        arrival_s: monotonic time of submission.
        deadline_s: monotonic time after which the answer is worthless; None for never.
        client: who asks; queues are bounded and shared fairly per client.
        expected_tokens: tokens the answer will hardly exceed; 0 when only the limit is known.
        expected_steps: engine steps these will hardly exceed; fewer than tokens where several
            come in one step. 0 when unknown.
        pins: the prompt is a beginning shared by many calls, to be computed and kept; nothing is
            generated.
        tokens: prompt and everything accepted since; the tail past `num_computed_tokens` is
            what the next step must feed.
        draft: tokens guessed to come after `tokens`, for the next step to verify.
        num_computed_tokens: how many of `tokens` are in the KV cache.
        kv_bytes: cache bytes it held when it ended.
    """

    request_id: str
    engine: str
    prompt: list[int]
    max_tokens: int
    request_class: RequestClass = RequestClass.INTERACTIVE
    arrival_s: float = 0.0
    deadline_s: float | None = None
    client: str = ""
    expected_tokens: int = 0
    expected_steps: int = 0
    pins: bool = False
    tokens: list[int] = field(init=False)
    draft: Sequence[int] = field(default=(), init=False)
    num_computed_tokens: int = field(default=0, init=False)
    kv_bytes: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.tokens = list(self.prompt)

    @property
    def num_generated_tokens(self) -> int:
        """Tokens accepted after the prompt, forced ones included."""
        return len(self.tokens) - len(self.prompt)

    @property
    def max_total_tokens(self) -> int:
        """Most tokens this request can ever hold in the cache."""
        return len(self.prompt) + self.max_tokens

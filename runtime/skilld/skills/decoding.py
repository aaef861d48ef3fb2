"""`Decoding`: the text side of one running request: constraint, sampler, stop strings, end.

The engine loop feeds it logits and gets tokens; it knows nothing of blocks or batches.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from skilld.core.request import FinishReason, SamplingParams
from skilld.engine.base import StepOutput
from skilld.skills.constraint import ConstraintState
from skilld.skills.sampler import Sampler, probability
from skilld.skills.tokenizer import IncrementalDetokenizer


class Decoding:
    """Chooses the tokens of one answer.

    Args:
        params: sampling parameters and the token limit.
        eos_ids: tokens that end the text.
        constraint: fresh state of the compiled output schema; None for free text.
        detokenizer: needed for stop strings, None without them.
        jump_forward: take forced tokens several at a time. Off, they come one per step; the
            answer is the same.
        measure_confidence: keep `min_probability`, which costs a pass over the logits.
    """

    def __init__(
        self,
        params: SamplingParams,
        eos_ids: Collection[int],
        *,
        constraint: ConstraintState | None = None,
        detokenizer: IncrementalDetokenizer | None = None,
        jump_forward: bool = True,
        measure_confidence: bool = False,
    ) -> None:
        assert detokenizer is not None or not params.stop, "stop strings need a detokenizer"
        self._params = params
        self._eos_ids = frozenset(eos_ids)
        self._constraint = constraint
        self._detokenizer = detokenizer
        self._jump_forward = jump_forward
        self._measure_confidence = measure_confidence
        self._sampler = Sampler(params)
        self._text = ""
        self.num_forced_tokens = 0
        self.num_tokens = 0
        self.min_probability = 1.0
        self.finish_reason: FinishReason | None = None

    def start(self) -> list[int]:
        """Tokens every answer begins with; the prompt is computed together with them."""
        tokens = self._forced()
        return self._ended(tokens) if tokens else tokens

    @property
    def draft(self) -> Sequence[int]:
        """Tokens guessed to come next, for one multi-token row; may be empty."""
        return ()

    def advance(self, output: StepOutput, first_line: int, draft: Sequence[int]) -> list[int]:
        """Choose the next tokens: those of the draft that were right, one more, what it forces.

        Args:
            output: of the step that computed the last token of the request and `draft` after it.
            first_line: line of `output.logits` after the last token of the request; the next
                `len(draft)` lines follow the tokens of the draft.
            draft: the first tokens of `draft`, as many as were fed; empty for none.

        Returns:
            Token ids to append; empty when the end token was chosen. `finish_reason` is set
            once the answer is complete.

        Raises:
            EngineError: the constraint failed.
        """
        logits = output.logits[first_line]
        allowed = None if self._constraint is None else self._constraint.allowed()
        token_id = self._sampler.choose(logits, allowed)
        if self._measure_confidence:
            chance = probability(logits, allowed, token_id)
            self.min_probability = min(self.min_probability, chance)
        if token_id in self._eos_ids:
            self.finish_reason = FinishReason.STOP
            return []
        if self._constraint is not None:
            self._constraint.accept(token_id)
        self.num_tokens += 1
        return self._ended([token_id, *self._forced()])

    def _forced(self) -> list[int]:
        if self._constraint is None or not self._jump_forward or self._constraint.is_complete:
            return []
        forced = self._constraint.forced_tokens()[: self._params.max_tokens - self.num_tokens]
        for token_id in forced:
            self._constraint.accept(token_id)
        self.num_forced_tokens += len(forced)
        self.num_tokens += len(forced)
        return forced

    def _ended(self, tokens: list[int]) -> list[int]:
        """Set `finish_reason` if these tokens complete the answer."""
        is_complete = self._constraint is not None and self._constraint.is_complete
        if is_complete or (self._params.stop and self._hits_stop_string(tokens)):
            self.finish_reason = FinishReason.STOP
        elif self.num_tokens >= self._params.max_tokens:
            self.finish_reason = FinishReason.LENGTH
        return tokens

    def _hits_stop_string(self, tokens: Sequence[int]) -> bool:
        assert self._detokenizer is not None
        # A stop string may begin in text seen before; the longest one bounds how far back.
        self._text = self._text[-max(map(len, self._params.stop)) :]
        self._text += self._detokenizer.push(tokens)
        return any(stop in self._text for stop in self._params.stop)


def before_stop(text: str, stop: Sequence[str]) -> str:
    """The text before the first stop string in it."""
    cuts = [index for index in (text.find(word) for word in stop) if index >= 0]
    return text[: min(cuts)] if cuts else text

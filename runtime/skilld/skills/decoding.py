"""`Decoding`: the text side of one running request: constraint, sampler, drafts, stop strings, end.

The engine loop feeds it what a step computed and gets tokens; it knows nothing of blocks or
batches.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from skilld.core.request import FinishReason, SamplingParams
from skilld.engine.base import StepOutput
from skilld.skills.constraint import ConstraintState
from skilld.skills.drafting import Drafter
from skilld.skills.sampler import Sampler, probability
from skilld.skills.tokenizer import IncrementalDetokenizer

# Rounding may lift the sum over some tokens above that over all of them, by less than this.
_ROUNDING = 1.0 + 1e-5


class Decoding:
    """Chooses the tokens of one answer.

    Args:
        params: sampling parameters and the token limit.
        eos_ids: tokens that end the text.
        constraint: fresh state of the compiled output schema; None for free text.
        detokenizer: needed for stop strings, None without them.
        drafter: guesses tokens ahead; None for no drafts. Drafts change how many steps an answer
            takes, never the answer: a token is accepted if it is what would have been chosen.
        jump_forward: take forced tokens several at a time. Off, they come one per step; the
            answer is the same.
        min_confidence: probability below which `min_probability` must be exact. 0 does not
            measure it at all, 1 measures it exactly.

    Attributes:
        min_probability: of the freely chosen tokens the smallest probability, at temperature 1,
            among those the schema allowed. Below `min_confidence` it is exact. Otherwise it may be
            too small, but never less than `min_confidence`: the probability among all tokens is
            cheaper, and when that is high enough, so is the other. 1.0 when not measured.
        num_draft_tokens: draft tokens that were computed.
        num_accepted_tokens: of them, those that were right.
    """

    def __init__(
        self,
        params: SamplingParams,
        eos_ids: Collection[int],
        *,
        constraint: ConstraintState | None = None,
        detokenizer: IncrementalDetokenizer | None = None,
        drafter: Drafter | None = None,
        jump_forward: bool = True,
        min_confidence: float = 0.0,
    ) -> None:
        assert detokenizer is not None or not params.stop, "stop strings need a detokenizer"
        self._params = params
        self._eos_ids = frozenset(eos_ids)
        self._constraint = constraint
        self._detokenizer = detokenizer
        self._drafter = drafter
        self._jump_forward = jump_forward
        self._min_confidence = min_confidence
        self._sampler = Sampler(params)
        self._draft: list[int] | None = None
        self._text = ""
        self.num_forced_tokens = 0
        self.num_tokens = 0
        self.num_draft_tokens = 0
        self.num_accepted_tokens = 0
        self.min_probability = 1.0
        self.finish_reason: FinishReason | None = None

    @property
    def draft(self) -> Sequence[int]:
        """Tokens guessed to come next, for one multi-token row; may be empty.

        Worked out when first asked for after an `advance`, so that not asking costs nothing.
        """
        if self._draft is None:
            self._draft = self._guess()
        return self._draft

    def start(self) -> list[int]:
        """Tokens every answer begins with; the prompt is computed together with them."""
        tokens = self._forced()
        if tokens:
            self._end_if_complete(tokens)
            self._move_on(tokens)
        return tokens

    def advance(self, output: StepOutput, first_line: int, draft: Sequence[int]) -> list[int]:
        """Choose the next tokens: those of the draft that were right, one more, what it forces.

        Args:
            output: of the step that computed the last token of the request and `draft` after it.
            first_line: line of `output.logits` after the last token of the request; the next
                `len(draft)` lines follow the tokens of the draft.
            draft: the first tokens of `draft`, as many as were fed; empty for none.

        Returns:
            Token ids to append; fewer than one when the end token was chosen. `finish_reason` is
            set once the answer is complete.

        Raises:
            EngineError: the constraint failed.
        """
        tokens: list[int] = []
        num_right = 0  # how many of `tokens` begin `draft`
        while True:
            # A line counts as long as the tokens before it were those that the step was fed.
            token_id = self._choose(output, first_line + len(tokens))
            if token_id in self._eos_ids:
                self.finish_reason = FinishReason.STOP
                break
            self.num_tokens += 1
            chosen = [token_id, *self._forced()]
            tokens += chosen
            self._end_if_complete(chosen)
            while num_right < len(draft) and num_right < len(tokens):
                if draft[num_right] != tokens[num_right]:
                    break
                num_right += 1
            if self.finish_reason is not None or num_right < len(tokens):
                break
        self.num_draft_tokens += len(draft)
        self.num_accepted_tokens += num_right
        self._move_on(tokens)
        return tokens

    def _choose(self, output: StepOutput, line: int) -> int:
        """Choose the token of one line and take the constraint past it."""
        constraint = self._constraint
        if self._sampler.is_greedy and self._clears(output, line):
            # The likeliest of all tokens, if allowed, is the likeliest of the allowed ones.
            token_id = output.greedy_ids[line]
            if constraint is None or constraint.try_accept(token_id):
                return token_id
        logits = output.logits[line]
        allowed = None if constraint is None else constraint.allowed()
        token_id = self._sampler.choose(logits, allowed)
        if self._min_confidence > 0.0:
            chance = probability(logits, token_id, allowed)
            self.min_probability = min(self.min_probability, chance)
        if constraint is not None and token_id not in self._eos_ids:
            constraint.accept(token_id)
        return token_id

    def _clears(self, output: StepOutput, line: int) -> bool:
        """Whether the likeliest token needs no exact measure of its probability."""
        if self._min_confidence == 0.0:
            return True
        chance = probability(output.logits[line], output.greedy_ids[line])
        if chance < self._min_confidence * _ROUNDING:
            return False
        self.min_probability = min(self.min_probability, chance)
        return True

    def _forced(self) -> list[int]:
        if self._constraint is None or not self._jump_forward or self._constraint.is_complete:
            return []
        forced = self._constraint.forced_tokens()
        if forced:
            del forced[self._params.max_tokens - self.num_tokens :]
            for token_id in forced:
                self._constraint.accept(token_id)
            self.num_forced_tokens += len(forced)
            self.num_tokens += len(forced)
        return forced

    def _end_if_complete(self, tokens: list[int]) -> None:
        """Set `finish_reason` if these tokens complete the answer."""
        is_complete = self._constraint is not None and self._constraint.is_complete
        if is_complete or (self._params.stop and self._hits_stop_string(tokens)):
            self.finish_reason = FinishReason.STOP
        elif self.num_tokens >= self._params.max_tokens:
            self.finish_reason = FinishReason.LENGTH

    def _hits_stop_string(self, tokens: Sequence[int]) -> bool:
        assert self._detokenizer is not None
        # A stop string may begin in text seen before; the longest one bounds how far back.
        self._text = self._text[-max(map(len, self._params.stop)) :]
        self._text += self._detokenizer.push(tokens)
        return any(stop in self._text for stop in self._params.stop)

    def _guess(self) -> list[int]:
        # One token is chosen after the draft whatever becomes of it, and must find room, too.
        max_tokens = self._params.max_tokens - self.num_tokens - 1
        if self._drafter is None or self.finish_reason is not None or max_tokens <= 0:
            return []
        tokens = self._drafter.guess(max_tokens)
        if tokens and self._constraint is not None:
            del tokens[self._constraint.count_possible(tokens) :]
        return tokens

    def _move_on(self, tokens: Sequence[int]) -> None:
        self._draft = None
        if self._drafter is not None:
            self._drafter.accept(tokens)


def before_stop(text: str, stop: Sequence[str]) -> str:
    """The text before the first stop string in it."""
    cuts = [index for index in (text.find(word) for word in stop) if index >= 0]
    return text[: min(cuts)] if cuts else text

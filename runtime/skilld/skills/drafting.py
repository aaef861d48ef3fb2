"""`Drafter`: guesses the next tokens of an answer, so that one step can check several of them.

It knows two places to look. Typed answers copy identifiers from the prompt, and they resemble
each other: same keys, few values, the same values together. So a guess is either the token that
follows the end of the answer where it occurs in the prompt, or the token that most often followed
the last two tokens in earlier answers of the skill (`AnswerMemory`).

Every guess has a chance of being right, learned from what became of such guesses before. Guesses
that were not worth a try are compared with the outcome, too, so the chances stay true.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

MAX_DRAFT: Final = 8
_NO_TOKEN: Final = -1
_LONGEST_SEARCH: Final = 3
_LONGEST_MATCH: Final = 8
_MAX_COUNT: Final = 64
_MAX_CONTEXTS: Final = 4096


class Drafter:
    """Guesses the tokens of one answer.

    Args:
        prompt: its tokens.
        memory: of the skill; learns from this answer.
        max_tokens: longest draft.
        min_chance: a draft ends before the token with which the chance that all of it is right
            falls below this. The default is where one more token in a row costs what it saves;
            that point hardly moves with the size of model or batch.
    """

    def __init__(
        self,
        prompt: Sequence[int],
        memory: AnswerMemory,
        *,
        max_tokens: int = MAX_DRAFT,
        min_chance: float = 0.25,
    ) -> None:
        self._prompt = prompt
        self._memory = memory
        self._max_tokens = max_tokens
        self._min_chance = min_chance
        self._prompt_text: str | None = None
        # The last tokens of the answer, as many as a search takes.
        self._tail = [_NO_TOKEN] * _LONGEST_SEARCH
        self._draft: list[int] = []
        # What the prompt suggested for the tokens of the draft and the one after it: the token,
        # _NO_TOKEN for none, and how many tokens before it matched.
        self._copies: list[tuple[int, int]] = []

    def guess(self, max_tokens: int) -> list[int]:
        """Guess what comes next.

        Args:
            max_tokens: longest draft now.
        """
        prompt, memory = self._prompt, self._memory
        before, last = self._tail[-2:]
        begin, num_matched = self._find()
        draft: list[int] = []
        copies: list[tuple[int, int]] = []
        chance = 1.0
        limit = min(max_tokens, self._max_tokens)
        while len(draft) < limit:
            guess, guess_chance = memory.follower(before, last)
            if 0 <= begin < len(prompt):
                copied = prompt[begin]
                copies.append((copied, num_matched))
                copied_chance = memory.copied[num_matched].value
                if copied_chance >= guess_chance:
                    guess, guess_chance = copied, copied_chance
            else:
                copied = _NO_TOKEN
                copies.append((_NO_TOKEN, 0))
            chance *= guess_chance
            if chance < self._min_chance:
                break
            draft.append(guess)
            before, last = last, guess
            if guess == copied:
                begin += 1
                num_matched = min(num_matched + 1, _LONGEST_MATCH)
            else:
                begin = _NO_TOKEN
        self._draft, self._copies = list(draft), copies
        return draft

    def accept(self, tokens: Sequence[int]) -> None:
        """Learn from the tokens that did come next."""
        copied = self._memory.copied
        for (copy, num_matched), guess, token in zip(
            self._copies, [*self._draft, _NO_TOKEN], tokens, strict=False
        ):
            if copy != _NO_TOKEN:
                copied[num_matched].book(copy == token)
            if guess != token:
                break
        self._draft, self._copies = [], []
        before, last = self._tail[-2:]
        for token in tokens:
            self._memory.learn(before, last, token)
            before, last = last, token
        self._tail = [*self._tail, *tokens][-_LONGEST_SEARCH:]

    def _find(self) -> tuple[int, int]:
        """Where in the prompt the answer goes on, and how many tokens match before it."""
        if self._prompt_text is None:
            # As text, one character per token, because searching text is fast.
            self._prompt_text = "".join(map(chr, self._prompt))
        for length in range(_LONGEST_SEARCH, 0, -1):
            if self._tail[-length] != _NO_TOKEN:
                tail = "".join(map(chr, self._tail[-length:]))
                begin = self._prompt_text.rfind(tail, 0, len(self._prompt_text) - 1)
                if begin >= 0:
                    return begin + length, length
        return _NO_TOKEN, 0


class AnswerMemory:
    """What drafts of one skill learn from: which token followed which two, and how often.

    Bounded, and kept in memory only. Old answers count for less and less.

    Attributes:
        copied: chance that a token copied from the prompt is right, by the number of tokens that
            matched before it.
    """

    def __init__(self) -> None:
        self.copied = [_Rate() for _ in range(_LONGEST_MATCH + 1)]
        self._followers: dict[tuple[int, int], _Followers] = {}

    def follower(self, before: int, last: int) -> tuple[int, float]:
        """The most frequent token after these two, and its chance; 0.0 when nothing is known."""
        followers = self._followers.get((before, last))
        return (_NO_TOKEN, 0.0) if followers is None else (followers.best, followers.chance)

    def learn(self, before: int, last: int, token: int) -> None:
        """Count one token of an answer."""
        followers = self._followers.get((before, last))
        if followers is None:
            # Identifiers that never come back would fill it up; what matters is soon relearned.
            if len(self._followers) >= _MAX_CONTEXTS:
                self._followers.clear()
            followers = self._followers[before, last] = _Followers()
        followers.count(token)


class _Followers:
    """Tokens that followed the same two."""

    __slots__ = ("_counts", "_total", "best")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._total = 0
        self.best = _NO_TOKEN

    @property
    def chance(self) -> float:
        """Of the best; the one added is for what was never seen."""
        return self._counts[self.best] / (self._total + 1)

    def count(self, token: int) -> None:
        self._total += 1
        count = self._counts[token] = self._counts.get(token, 0) + 1
        if self.best == _NO_TOKEN or count >= self._counts[self.best]:
            self.best = token
        if self._total >= _MAX_COUNT:
            self._counts = {key: n // 2 for key, n in self._counts.items() if n > 1}
            self._total = sum(self._counts.values())
            if self.best not in self._counts:
                self._counts[self.best] = 1
                self._total += 1


class _Rate:
    """How often something was right, the latest cases counting most.

    Starts hopeful: a copy that is wrong costs little, one that is never tried teaches nothing.
    """

    __slots__ = ("_num_right", "_total")

    def __init__(self) -> None:
        self._num_right, self._total = 3.2, 4.0

    @property
    def value(self) -> float:
        return self._num_right / self._total

    def book(self, is_right: bool) -> None:
        self._num_right += is_right
        self._total += 1.0
        if self._total >= _MAX_COUNT:
            self._num_right /= 2
            self._total /= 2

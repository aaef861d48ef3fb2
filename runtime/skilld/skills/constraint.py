"""`Constraint`: an output schema compiled into token masks by llguidance."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from llguidance import LLMatcher, LLTokenizer
from numpy.typing import NDArray

from skilld.core.errors import EngineError, InvalidRequestError
from skilld.core.manifest import Vocabulary

# Schemas of all versions of an engine that are loaded, and of some that were.
_MAX_KEPT = 256


class ConstraintCompiler:
    """Compiles schemas for one vocabulary, each schema once. Any thread may.

    Args:
        tokenizer_json: content of the engine's `tokenizer.json`.
        vocabulary: sizes and end tokens from its manifest.
    """

    def __init__(self, tokenizer_json: str, vocabulary: Vocabulary) -> None:
        self._tokenizer = LLTokenizer(
            tokenizer_json, n_vocab=vocabulary.size, eos_token=list(vocabulary.eos_ids)
        )
        self._compile = functools.lru_cache(_MAX_KEPT)(self._compile_text)

    def spelling(self, token_id: int) -> bytes:
        """What a token writes, in UTF-8; may be part of a character."""
        return bytes(self._tokenizer.decode_bytes([token_id]))

    def compile(self, schema: Mapping[str, Any]) -> Constraint:
        """Compile an output schema; JSON without white space is what it will accept.

        Raises:
            InvalidRequestError: reason UNSUPPORTED_SCHEMA, in the words of the compiler.
        """
        return self._compile(json.dumps(schema, ensure_ascii=False))

    def compile_once(self, schema: Mapping[str, Any]) -> Constraint:
        """Compile a schema that is of one call only, and forget it; about a millisecond.

        Raises:
            InvalidRequestError: reason UNSUPPORTED_SCHEMA, in the words of the compiler.
        """
        return self._compile_text(json.dumps(schema, ensure_ascii=False))

    def _compile_text(self, schema_text: str) -> Constraint:
        grammar = LLMatcher.grammar_from_json_schema(
            schema_text, overrides={"whitespace_flexible": False}
        )
        is_error, messages = LLMatcher.validate_grammar_with_warnings(grammar, self._tokenizer)
        if is_error or messages:
            raise InvalidRequestError(
                f"the schema cannot be enforced: {'; '.join(messages)}",
                reason="UNSUPPORTED_SCHEMA",
            )
        return Constraint(LLMatcher(self._tokenizer, grammar), self._tokenizer)


class Constraint:
    """A compiled schema; start one `ConstraintState` from it per request.

    Args:
        matcher: at the start of the grammar.
        tokenizer: that it was compiled for.
    """

    def __init__(self, matcher: LLMatcher, tokenizer: LLTokenizer) -> None:
        self._matcher = matcher
        self._tokenizer = tokenizer

    def start(self, open_tokens: NDArray[np.bool_] | None = None) -> ConstraintState:
        """A state at the beginning of an answer.

        Args:
            open_tokens: bool `[vocab_size]`: tokens this answer may use at all; None for every.
        """
        return ConstraintState(self._matcher.deep_copy(), self._tokenizer, open_tokens)


class ConstraintState:
    """Where one answer stands in its grammar.

    Args:
        matcher: owned by this state.
        tokenizer: that it was compiled for.
        open_tokens: bool `[vocab_size]`: tokens this answer may use at all; None for every.
    """

    def __init__(
        self,
        matcher: LLMatcher,
        tokenizer: LLTokenizer,
        open_tokens: NDArray[np.bool_] | None = None,
    ) -> None:
        self._matcher = matcher
        self._tokenizer = tokenizer
        self._open_tokens = open_tokens

    @property
    def is_complete(self) -> bool:
        """The answer is whole and nothing may follow but the end token."""
        return bool(self._matcher.is_stopped())

    def forced_tokens(self) -> list[int]:
        """Tokens that must come next, whatever the model thinks; may be empty.

        They are the tokens the mask would allow one by one, so taking them at once changes no
        answer.
        """
        forced = list(self._matcher.compute_ff_tokens())
        return forced[: self._count_open(forced)]

    def allowed(self) -> NDArray[np.bool_]:
        """Which tokens may come next: bool `[vocab_size]`."""
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        allowed = np.unpackbits(bits, count=self._tokenizer.vocab_size, bitorder="little").view(
            np.bool_
        )
        if self._open_tokens is not None:
            allowed &= self._open_tokens
        return allowed

    def try_accept(self, token_id: int) -> bool:
        """Move on by one token, in a fraction of the time it takes to find all allowed ones.

        Returns:
            False, with nothing changed, when the token is not among `allowed`.
        """
        if self._open_tokens is not None and not self._open_tokens[token_id]:
            return False
        matcher = self._matcher
        if forced := matcher.compute_ff_bytes():
            # The grammar takes any spelling of forced bytes. What is allowed is the usual one: the
            # first forced token, or while that depends on what comes after, tokens that agree.
            tokens = matcher.compute_ff_tokens()
            if tokens:
                if token_id != tokens[0]:
                    return False
            else:
                spelt = self._tokenizer.decode_bytes([token_id])
                if not (forced.startswith(spelt) or spelt.startswith(forced)):
                    return False
        return int(matcher.try_consume_tokens([token_id])) == 1

    def count_possible(self, token_ids: list[int]) -> int:
        """How many of these tokens, from the first, spell something the grammar admits here.

        More than `allowed`: where bytes are forced, in any tokens that spell them.
        """
        return int(self._matcher.validate_tokens(token_ids[: self._count_open(token_ids)]))

    def _count_open(self, token_ids: list[int]) -> int:
        """How many of these tokens, from the first, the answer may use at all."""
        if self._open_tokens is not None:
            for i, token_id in enumerate(token_ids):
                if not self._open_tokens[token_id]:
                    return i
        return len(token_ids)

    def accept(self, token_id: int) -> None:
        """Move on by one token.

        Raises:
            EngineError: the grammar does not allow it, or ran into a limit of its own.
        """
        if not self._matcher.consume_token(token_id):
            raise EngineError(
                f"token {token_id} breaks the output schema: {self._matcher.get_error()}",
                reason="CONSTRAINT_FAILED",
            )

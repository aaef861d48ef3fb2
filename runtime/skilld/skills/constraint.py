"""`Constraint`: an output schema compiled into token masks by llguidance."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from llguidance import LLMatcher, LLTokenizer
from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask
from numpy.typing import NDArray

from skilld.core.errors import EngineError, InvalidRequestError
from skilld.core.manifest import Vocabulary


class ConstraintCompiler:
    """Compiles schemas for one engine's vocabulary, each schema once.

    Args:
        tokenizer_json: content of the engine's `tokenizer.json`.
        vocabulary: sizes and end tokens from its manifest.
    """

    def __init__(self, tokenizer_json: str, vocabulary: Vocabulary) -> None:
        self._tokenizer = LLTokenizer(
            tokenizer_json, n_vocab=vocabulary.size, eos_token=list(vocabulary.eos_ids)
        )
        self._compile = functools.cache(self._compile_text)

    def compile(self, schema: Mapping[str, Any]) -> Constraint:
        """Compile an output schema; JSON without white space is what it will accept.

        Raises:
            InvalidRequestError: reason UNSUPPORTED_SCHEMA, in the words of the compiler.
        """
        return self._compile(json.dumps(schema, ensure_ascii=False))

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
        return Constraint(LLMatcher(self._tokenizer, grammar), self._tokenizer.vocab_size)


class Constraint:
    """A compiled schema; start one `ConstraintState` from it per request.

    Args:
        matcher: at the start of the grammar.
        vocab_size: tokens the mask covers.
    """

    def __init__(self, matcher: LLMatcher, vocab_size: int) -> None:
        self._matcher = matcher
        self._vocab_size = vocab_size

    def start(self) -> ConstraintState:
        """A state at the beginning of an answer."""
        return ConstraintState(self._matcher.deep_copy(), self._vocab_size)


class ConstraintState:
    """Where one answer stands in its grammar.

    Args:
        matcher: owned by this state.
        vocab_size: tokens the mask covers.
    """

    def __init__(self, matcher: LLMatcher, vocab_size: int) -> None:
        self._matcher = matcher
        self._vocab_size = vocab_size
        self._bits: NDArray[np.int32] = allocate_token_bitmask(1, vocab_size)

    @property
    def is_complete(self) -> bool:
        """The answer is whole and nothing may follow but the end token."""
        return bool(self._matcher.is_stopped())

    def forced_tokens(self) -> list[int]:
        """Tokens that must come next, whatever the model thinks; may be empty.

        They are the tokens the mask would allow one by one, so taking them at once changes no
        answer.
        """
        return list(self._matcher.compute_ff_tokens())

    def allowed(self) -> NDArray[np.bool_]:
        """Which tokens may come next: bool `[vocab_size]`."""
        fill_next_token_bitmask(self._matcher, self._bits, 0)
        bits = np.unpackbits(self._bits.view(np.uint8), bitorder="little")
        return bits[: self._vocab_size].view(np.bool_)

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

"""`Tokenizer`: text to token ids and back, over the `tokenizers` library."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import tokenizers
from tokenizers.decoders import DecodeStream

from skilld.core.errors import ArtefactError

_LONG_CHARS = 4096


class Tokenizer:
    """A Hugging Face `tokenizer.json`.

    Args:
        path: of the file.

    Raises:
        ArtefactError: reason BAD_TOKENIZER, when the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        try:
            self.json_text = path.read_text(encoding="utf-8")
            self._tokenizer = tokenizers.Tokenizer.from_str(self.json_text)
        except Exception as error:  # the library raises bare Exception
            raise ArtefactError(
                f"is not a tokenizer: {error}", path=path, reason="BAD_TOKENIZER"
            ) from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._tokenizer.encode_special_tokens = True

    def encode_template(self, text: str) -> list[int]:
        """Token ids of text we wrote: words of special tokens are parsed as such.

        Nothing is added: a template that wants a begin-of-text token writes it.
        """
        self._tokenizer.encode_special_tokens = False
        try:
            return list(self._tokenizer.encode(text, add_special_tokens=False).ids)
        finally:
            self._tokenizer.encode_special_tokens = True

    def encode_value(self, text: str) -> list[int]:
        """Token ids of text a caller sent: words of special tokens are plain text.

        Long text may be encoded on any thread: the interpreter's lock is not held meanwhile,
        which `encode` of the library would.
        """
        if len(text) < _LONG_CHARS:
            return list(self._tokenizer.encode(text, add_special_tokens=False).ids)
        return list(self._tokenizer.encode_batch([text], add_special_tokens=False)[0].ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids, without special tokens."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))

    def stream(self) -> IncrementalDetokenizer:
        """A new incremental detokenizer."""
        return IncrementalDetokenizer(self._tokenizer)


class IncrementalDetokenizer:
    """Turns tokens into text as they come, holding back half a character.

    Args:
        tokenizer: of the engine.
    """

    def __init__(self, tokenizer: tokenizers.Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._stream = DecodeStream(skip_special_tokens=True)

    def push(self, ids: Sequence[int]) -> str:
        """Text that became certain with these tokens; may be empty."""
        pieces = (self._stream.step(self._tokenizer, token_id) for token_id in ids)
        return "".join(piece for piece in pieces if piece)

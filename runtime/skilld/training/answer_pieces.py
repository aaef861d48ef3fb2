"""`answer_pieces`: an answer cut where the model has something to decide.

While decoding, the runtime feeds whatever the schema forces in one row. That is right only if the
forced tokens are those the model was trained on. So every piece of JSON between two decisions
(`","severity":"`) is one token of its own, and so is every word that may be decided for (`alarm"`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

Json = Any  # a parsed JSON value
_MAX_WORDS: Final = 64


def answer_pieces(answer: Json, schema: Mapping[str, Json]) -> list[str]:
    """Pieces of one answer, in order; numbers, marks and free text between them are left out.

    Args:
        answer: as the model writes it.
        schema: that it is decoded under, as `Skill.decoding_schema` gives it.
    """
    writer = _Writer()
    options = schema.get("anyOf")
    if options is not None:
        # An answer or an abstention; which of them is the first decision.
        is_abstention = isinstance(answer, Mapping) and answer.keys() == {"abstain"}
        schema = options[-1] if is_abstention else options[0]
    writer.write(answer, schema)
    writer.decide()
    return writer.pieces


class _Writer:
    def __init__(self) -> None:
        self.pieces: list[str] = []
        self._open = ""

    def decide(self) -> None:
        """What comes next is for the model to say."""
        if self._open:
            self.pieces.append(self._open)
        self._open = ""

    def write(self, value: Json, schema: Mapping[str, Json]) -> None:
        if isinstance(value, Mapping):
            self._write_object(value, schema)
        elif isinstance(value, list):
            self._write_array(value, schema)
        elif words := _words(schema):
            self._write_word(value, schema, words)
        elif isinstance(value, str):
            self._open += '"'
            self.decide()
            self._open += '"'
        else:
            self.decide()
            if value is None or isinstance(value, bool):
                self._open += json.dumps(value)
                self.decide()

    def _write_object(self, value: Mapping[str, Json], schema: Mapping[str, Json]) -> None:
        self._open += "{"
        for i, (key, item) in enumerate(value.items()):
            self._open += ("," if i else "") + json.dumps(key, ensure_ascii=False) + ":"
            self.write(item, schema["properties"][key])
        self._open += "}"

    def _write_array(self, value: list[Json], schema: Mapping[str, Json]) -> None:
        self._open += "["
        for i, item in enumerate(value):
            if i >= schema.get("minItems", 0):
                self.decide()
            self._open += "," if i else ""
            self.write(item, schema["items"])
        if schema.get("minItems", 0) <= len(value) < schema.get("maxItems", len(value) + 1):
            self.decide()
        self._open += "]"

    def _write_word(self, value: Json, schema: Mapping[str, Json], words: list[Json]) -> None:
        if len(words) == 1:
            self._open += json.dumps(value, ensure_ascii=False)
            return
        text = json.dumps(value, ensure_ascii=False)
        if all(isinstance(word, str) for word in words):
            # The opening quote is not for the model to decide.
            self._open += '"'
            text = text[1:]
        self.decide()
        self._open += text
        self.decide()


def _words(schema: Mapping[str, Json]) -> list[Json]:
    """The values a schema allows one by one; empty when it does not say so."""
    if "const" in schema:
        return [schema["const"]]
    if "enum" in schema:
        return list(schema["enum"])
    if "anyOf" in schema:
        options = [_words(option) for option in schema["anyOf"]]
        return [word for words in options for word in words] if all(options) else []
    return [None] if schema.get("type") == "null" else []

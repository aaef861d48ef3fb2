"""`parse_input`: the JSON text of an input, and everything that is not quite JSON."""

from __future__ import annotations

import json
import math
from typing import Any

from skilld.core.errors import InvalidRequestError


def parse_input(text: str) -> dict[str, Any]:
    """Parse the JSON text of an input.

    Raises:
        InvalidRequestError: reason INPUT_NOT_JSON, with line and column where there is one.
    """
    try:
        value = _DECODER.decode(text)
        if "\\ud" in text.lower():
            # An escape may stand for half a character, which no tokenizer or protocol takes.
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise InvalidRequestError(
            f"the input is not JSON: {error.msg} at line {error.lineno} column {error.colno}",
            reason="INPUT_NOT_JSON",
        ) from error
    except UnicodeEncodeError as error:
        raise InvalidRequestError(
            "the input holds an escape that is half a character", reason="INPUT_NOT_JSON"
        ) from error
    except RecursionError as error:
        raise InvalidRequestError(
            "the input is nested too deeply", reason="INPUT_NOT_JSON"
        ) from error
    except ValueError as error:  # an integer of more digits than Python converts
        raise InvalidRequestError(
            "the input holds a number that is too long", reason="INPUT_NOT_JSON"
        ) from error
    if not isinstance(value, dict):
        raise InvalidRequestError(
            f"the input must be a JSON object, not {type(value).__name__}", reason="INPUT_NOT_JSON"
        )
    return value


def _refuse_constant(name: str) -> None:
    raise InvalidRequestError(f"the input holds {name}, which is not JSON", reason="INPUT_NOT_JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise InvalidRequestError(
            f"the input holds {text}, which is beyond what a number can be",
            reason="INPUT_NOT_JSON",
        )
    return number


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)

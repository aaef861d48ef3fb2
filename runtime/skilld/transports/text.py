"""Text of replies: JSON without spaces, and what a caller can make long cut to a size."""

from __future__ import annotations

import json
from typing import Any, Final

# Made once: to make one takes longer than to write a small answer.
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def json_text(value: Any) -> str:  # Any: a JSON value
    """JSON without spaces."""
    return _ENCODER.encode(value)


def clip(text: str, max_bytes: int) -> str:
    """The text, or its beginning and "..." when its UTF-8 form is longer than `max_bytes`."""
    encoded = text.encode()
    if len(encoded) <= max_bytes:
        return text
    return encoded[: max_bytes - 3].decode(errors="ignore") + "..."

"""`clip`: text that a caller can make long, cut to what a reply should carry."""

from __future__ import annotations


def clip(text: str, max_bytes: int) -> str:
    """The text, or its beginning and "..." when its UTF-8 form is longer than `max_bytes`."""
    encoded = text.encode()
    if len(encoded) <= max_bytes:
        return text
    return encoded[: max_bytes - 3].decode(errors="ignore") + "..."

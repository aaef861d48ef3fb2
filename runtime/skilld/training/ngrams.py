"""`gram_keys`: the character n-grams of many texts at once, as numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

TEXT_SHIFT = 40
"""A key is the number of the text above this bit and the hash of the n-gram below it."""

_PRIME = np.uint64(0x9E3779B97F4A7C15)
_HASH_BITS = np.uint64(64 - TEXT_SHIFT)


def gram_keys(texts: Sequence[str], *, length: int) -> NDArray[np.uint64]:
    """Keys of every n-gram of every text, repeated as often as the n-gram is.

    Two different n-grams share a hash of 40 bits once in a million million, which moves a
    similarity by less than it is rounded.

    Args:
        texts: at most 2**24 of them.
        length: of an n-gram, in characters; a text that is shorter has none.

    Returns:
        uint64, in the order of the texts; see `TEXT_SHIFT`.
    """
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    letters = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    if len(letters) < length:
        return np.zeros(0, dtype=np.uint64)
    count = len(letters) - length + 1
    hashes = np.zeros(count, dtype=np.uint64)
    for offset in range(length):
        hashes = (hashes + letters[offset : offset + count] + np.uint64(1)) * _PRIME
        hashes ^= hashes >> np.uint64(29)
    owner = np.repeat(np.arange(len(texts), dtype=np.uint64), lengths)
    inside = owner[:count] == owner[length - 1 :]  # not half in one text and half in the next
    keys = (owner[:count] << np.uint64(TEXT_SHIFT)) | (hashes >> _HASH_BITS)
    kept: NDArray[np.uint64] = keys[inside]
    return kept


def distinct_gram_keys(texts: Sequence[str], *, length: int) -> NDArray[np.uint64]:
    """Keys of the n-grams of every text, each once, sorted; see `gram_keys`."""
    keys = np.sort(gram_keys(texts, length=length))
    is_first = np.ones(len(keys), dtype=bool)
    is_first[1:] = keys[1:] != keys[:-1]  # numpy.unique hashes, which takes ten times as long here
    return np.asarray(keys[is_first])

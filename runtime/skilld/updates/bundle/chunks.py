"""Cutting a file into chunks that stay the same when other parts of the file change."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from pathlib import Path

from skilld.updates.bundle.release import Chunk

MAX_CHUNK_BYTES = 4 << 20
# A larger tensor has chunks of its own. Smaller ones that follow each other share one, up to this
# size, and begin afresh behind the next large tensor: so a file that grows falls back into step.
SMALL_TENSOR_BYTES = 16 << 10
_GROUP_BYTES = 64 << 10


def cut(size: int, boundaries: Sequence[int]) -> list[int]:
    """Lengths of the chunks of a file, in order.

    Args:
        size: of the file, in bytes.
        boundaries: offsets between tensors, ascending, without 0 and `size`.
    """
    lengths: list[int] = []
    group_bytes = 0
    edges = [0, *boundaries, size]
    for start, end in itertools.pairwise(edges):
        span = end - start
        is_small = span < SMALL_TENSOR_BYTES
        if group_bytes and (not is_small or group_bytes + span > _GROUP_BYTES):
            lengths.append(group_bytes)
            group_bytes = 0
        if is_small:
            group_bytes += span
            continue
        full, rest = divmod(span, MAX_CHUNK_BYTES)
        lengths += [MAX_CHUNK_BYTES] * full + ([rest] if rest else [])
    if group_bytes:
        lengths.append(group_bytes)
    return lengths


def chunks_of(path: Path, boundaries: Sequence[int]) -> tuple[list[Chunk], str]:
    """Cut and hash a file.

    Returns:
        Its chunks, and the SHA-256 of the whole in hex.
    """
    whole = hashlib.sha256()
    chunks = []
    with path.open("rb") as file:
        for length in cut(path.stat().st_size, boundaries):
            data = file.read(length)
            whole.update(data)
            chunks.append(Chunk(num_bytes=length, sha256=hashlib.sha256(data).hexdigest()))
    return chunks, whole.hexdigest()

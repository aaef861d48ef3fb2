"""Where the tensors of a weights file begin and end, without loading it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from skilld.updates.bundle.file_kinds import FileKind, read_graph

_MAX_HEADER_BYTES = 100 << 20  # what the safetensors library itself accepts


def boundaries_of(path: Path, kind: FileKind) -> Sequence[int]:
    """Offsets at which a tensor begins or ends, ascending, without 0 and the file's end.

    Args:
        path: of the file; the weights of a graph have it beside them.
        kind: of the file; anything but weights has no boundaries.

    Raises:
        ValueError: the header or the graph is damaged, or names bytes outside the file.
    """
    size = path.stat().st_size
    match kind:
        case FileKind.SAFETENSORS:
            spans = _safetensors_spans(path, size)
        case FileKind.IR_WEIGHTS:
            spans = _constant_spans(path.with_suffix(".xml").read_bytes())
        case _:
            return ()
    offsets = {offset for span in spans for offset in span}
    if any(not 0 <= offset <= size for offset in offsets):
        raise ValueError("names a tensor outside the file")
    return sorted(offsets - {0, size})


def _safetensors_spans(path: Path, size: int) -> Iterable[tuple[int, int]]:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(size - 8, _MAX_HEADER_BYTES):
            raise ValueError("is not safetensors: its header has no possible length")
        header = file.read(length)
    start = 8 + length
    try:
        tensors = {k: v for k, v in json.loads(header).items() if k != "__metadata__"}
        return [
            (start + int(first), start + int(last))
            for first, last in (tensor["data_offsets"] for tensor in tensors.values())
        ] + [(0, start)]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"is not safetensors: {error}") from error


def _constant_spans(graph: bytes) -> Iterable[tuple[int, int]]:
    for data in read_graph(graph).iterfind("./layers/layer[@type='Const']/data"):
        offset, size = int(data.get("offset", "")), int(data.get("size", ""))
        yield offset, offset + size

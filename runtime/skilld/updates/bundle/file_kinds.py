"""What a release may consist of: data that is read, never code that is run.

TensorRT plans are the exception: deserializing one is like running it. So they are accepted only
from a release that was signed, and their digest is checked again before they are loaded.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Collection
from enum import StrEnum
from pathlib import PurePosixPath
from xml.etree import ElementTree


class FileKind(StrEnum):
    """What a file of a release is, by its name."""

    JSON = "json"
    SKILL = "skill"
    GOLDEN = "golden"
    IR_GRAPH = "ir-graph"
    IR_WEIGHTS = "ir-weights"
    SAFETENSORS = "safetensors"
    PLAN = "plan"


_JSON_NAMES = frozenset(
    [
        "config.json",
        "generation_config.json",
        "manifest.json",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
)
_SUFFIXES = {
    ".xml": FileKind.IR_GRAPH,
    ".safetensors": FileKind.SAFETENSORS,
    ".plan": FileKind.PLAN,
}
MAX_TEXT_BYTES = 64 << 20  # of a graph, a tokenizer: read whole


def kind_of(path: str, others: Collection[str]) -> FileKind:
    """The kind of a file.

    Args:
        path: inside the release.
        others: all paths of the release: weights are allowed beside their own graph only.

    Raises:
        ValueError: a file of this name is not allowed.
    """
    name = PurePosixPath(path)
    if name.name in _JSON_NAMES and len(name.parts) == 1:
        return FileKind.JSON
    if name.suffix == ".toml" and name.parts[:-1] == ("skills",):
        return FileKind.SKILL
    if path == "golden.jsonl":
        return FileKind.GOLDEN
    if name.suffix == ".bin":
        if str(name.with_suffix(".xml")) in others:
            return FileKind.IR_WEIGHTS
        raise ValueError(f"{path!r} is not the weights file of a graph in this release")
    if name.suffix in _SUFFIXES:
        return _SUFFIXES[name.suffix]
    raise ValueError(
        f"{path!r} is no kind of file a release may hold: OpenVINO .xml with its .bin, "
        ".safetensors, .plan, skills/*.toml, golden.jsonl, manifest, config and tokenizer JSON"
    )


def check_text(kind: FileKind, content: bytes) -> None:
    """Check that a text file is what its name says; weights and plans are not looked into.

    Raises:
        ValueError: it is not.
    """
    match kind:
        case FileKind.JSON:
            json.loads(content)
        case FileKind.SKILL:
            tomllib.loads(content.decode())
        case FileKind.GOLDEN:
            for line in content.decode().splitlines():
                if line.strip() and not isinstance(json.loads(line), dict):
                    raise ValueError("a golden case is a JSON object")
        case FileKind.IR_GRAPH:
            read_graph(content)
        case _:
            pass


def read_graph(content: bytes) -> ElementTree.Element:
    """Parse an OpenVINO graph.

    Raises:
        ValueError: not XML, not a graph, or with declarations that only an attack needs.
    """
    # Entities can grow a small file to gigabytes or read other files; no exporter writes them.
    if b"<!" in content.replace(b"<!--", b""):
        raise ValueError("a graph with a DOCTYPE or ENTITY declaration is refused")
    try:
        root = ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise ValueError(f"is not XML: {error}") from error
    if root.tag != "net":
        raise ValueError(f"is not an OpenVINO graph: its root is <{root.tag[:40]}>")
    return root

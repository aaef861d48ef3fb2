"""`Checkpoint`: a Hugging Face checkpoint folder, read without loading a single weight."""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from skilld.core.errors import ArtefactError
from skilld.core.manifest import Geometry, Vocabulary, file_sha256

MAX_PARAMETERS: Final = 2_000_000_000
# Every family here has a parity test against transformers.
FAMILIES: Final = frozenset(
    {"gemma3_text", "granitemoehybrid", "lfm2", "llama", "opt", "phi", "qwen2", "qwen3"}
)
_PICKLE_SUFFIXES: Final = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl"})
# Any of these is enough to make a tokenizer.json from.
_SLOW_TOKENIZER_FILES: Final = ("tokenizer.model", "vocab.json", "vocab.txt")
_MAX_HEADER_BYTES: Final = 100_000_000


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint that may be built.

    Attributes:
        path: the folder.
        family: `model_type` of its configuration, one of `FAMILIES`.
        geometry: its shape; parameters counted from the weight files' headers.
        context_limit: most positions the model was made for.
        vocabulary: its special token ids.
    """

    path: Path
    family: str
    geometry: Geometry
    context_limit: int
    vocabulary: Vocabulary

    @property
    def has_fast_tokenizer(self) -> bool:
        """Whether it brings `tokenizer.json`, or only files to make one from."""
        return (self.path / "tokenizer.json").is_file()

    def sha256(self) -> str:
        """Digest over names, sizes and contents of its files, in sorted order."""
        digest = hashlib.sha256()
        for file in sorted(self.path.rglob("*")):
            name = file.relative_to(self.path)
            if file.is_file() and not any(part.startswith(".") for part in name.parts):
                size = file.stat().st_size
                digest.update(f"{name.as_posix()}\0{size}\0{file_sha256(file)}\n".encode())
        return digest.hexdigest()


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint folder and refuse what cannot, or must not, be built.

    Raises:
        ArtefactError: reason BAD_CHECKPOINT (missing or damaged files), UNKNOWN_FAMILY,
            MODEL_TOO_LARGE, NO_TOKENIZER or PICKLE_WEIGHTS.
    """
    if not path.is_dir():
        raise _refusal(path, "is not a folder", hint="point `checkpoint` at a checkpoint folder")
    config = _read_json(path / "config.json")
    family = config.get("model_type")
    if family not in FAMILIES:
        raise _refusal(
            path / "config.json",
            f"model_type {family!r} is not a family skilld builds",
            hint="families: " + ", ".join(sorted(FAMILIES)),
            reason="UNKNOWN_FAMILY",
        )
    num_parameters = _count_parameters(path)
    if num_parameters > MAX_PARAMETERS:
        raise _refusal(
            path,
            f"has {num_parameters:,} parameters; skilld takes at most {MAX_PARAMETERS:,}",
            hint="serve it upstream, or take a smaller specialist",
            reason="MODEL_TOO_LARGE",
        )
    if not any((path / name).is_file() for name in ("tokenizer.json", *_SLOW_TOKENIZER_FILES)):
        raise _refusal(
            path,
            "has no tokenizer",
            hint="copy tokenizer.json beside config.json",
            reason="NO_TOKENIZER",
        )
    return Checkpoint(
        path=path,
        family=family,
        geometry=_geometry(path / "config.json", config, num_parameters),
        context_limit=int(config.get("max_position_embeddings", 2048)),
        vocabulary=_vocabulary(path, config),
    )


def _count_parameters(path: Path) -> int:
    weights = sorted(path.glob("*.safetensors"))
    if not weights:
        pickles = sorted(file.name for file in path.iterdir() if file.suffix in _PICKLE_SUFFIXES)
        if pickles:
            raise _refusal(
                path / pickles[0],
                "holds weights as a pickle, which can run any code when it is read",
                hint="convert the checkpoint to safetensors",
                reason="PICKLE_WEIGHTS",
            )
        raise _refusal(path, "has no *.safetensors", hint="is the download complete?")
    return sum(
        math.prod(tensor["shape"])
        for file in weights
        for name, tensor in _safetensors_header(file).items()
        if name != "__metadata__"
    )


def _safetensors_header(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            (num_bytes,) = struct.unpack("<Q", file.read(8))
            if num_bytes > _MAX_HEADER_BYTES:
                raise ValueError("its header is too long")
            header = json.loads(file.read(num_bytes))
        end = max(
            (entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"),
            default=0,
        )
        if path.stat().st_size != 8 + num_bytes + end:
            raise ValueError("its length is not what its header says")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise _refusal(
            path, f"is not a whole safetensors file: {error}", hint="fetch it again"
        ) from error
    return dict(header)


def _geometry(path: Path, config: Mapping[str, Any], num_parameters: int) -> Geometry:
    try:
        num_heads = int(config["num_attention_heads"])
        hidden_size = int(config["hidden_size"])
        return Geometry(
            num_layers=int(config["num_hidden_layers"]),
            hidden_size=hidden_size,
            num_heads=num_heads,
            num_kv_heads=int(config.get("num_key_value_heads") or num_heads),
            head_dim=int(config.get("head_dim") or hidden_size // num_heads),
            vocab_size=int(config["vocab_size"]),
            num_parameters=num_parameters,
        )
    except KeyError as error:
        raise _refusal(path, f"lacks {error.args[0]!r}", hint="is it a text model?") from error


def _vocabulary(path: Path, config: Mapping[str, Any]) -> Vocabulary:
    generation_path = path / "generation_config.json"
    generation = _read_json(generation_path) if generation_path.is_file() else {}

    def token_id(key: str) -> Any:  # Any: an id, a list of ids, or nothing
        value = generation.get(key)
        return config.get(key) if value is None else value

    eos, bos = token_id("eos_token_id"), token_id("bos_token_id")
    if eos is None:
        raise _refusal(
            path / "config.json",
            "names no eos_token_id",
            hint="without one no answer would ever end: add it",
        )
    return Vocabulary(
        size=int(config["vocab_size"]),
        bos_id=bos[0] if isinstance(bos, list) else bos,
        eos_ids=tuple(eos) if isinstance(eos, list) else (eos,),
        pad_id=token_id("pad_token_id"),
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _refusal(
            path, f"cannot be read: {error.strerror}", hint="is this a checkpoint folder?"
        ) from error
    except ValueError as error:
        raise _refusal(path, f"is not JSON: {error}", hint="fetch it again") from error
    if not isinstance(content, dict):
        raise _refusal(path, "is not a JSON object", hint="fetch it again")
    return content


def _refusal(
    path: Path, message: str, *, hint: str, reason: str = "BAD_CHECKPOINT"
) -> ArtefactError:
    return ArtefactError(message, path=path, hint=hint, reason=reason)

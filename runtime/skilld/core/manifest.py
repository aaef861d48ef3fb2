"""`EngineManifest`: the one file by which builder and runtime know an engine.

An engine folder holds `manifest.json`, the files it lists, and nothing that matters besides.
The builder writes it, `skilld verify` fills in measurements, the runtime reads it.
"""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from skilld.core.errors import ArtefactError

MANIFEST_NAME = "manifest.json"
_DIGEST_CHUNK_BYTES = 1 << 20

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Precision(StrEnum):
    """Of the weights; activations and KV cache follow the engine's mode."""

    INT8 = "int8"
    INT4 = "int4"
    F32 = "f32"


class Source(_Record):
    """Where the weights came from.

    Attributes:
        name: what the recipe calls the checkpoint.
        sha256: over the checkpoint's files (names, sizes, contents, in sorted order).
        licence: SPDX identifier or the words of the recipe.
    """

    name: str
    sha256: Sha256
    licence: str


class Geometry(_Record):
    """The shape of the model, as its configuration states it."""

    num_layers: int
    hidden_size: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    vocab_size: int
    num_parameters: int


class CacheLayout(_Record):
    """Cache memory of the compiled model in the fast mode.

    Attributes:
        block_tokens: tokens per KV block.
        kv_bytes_per_token: bytes of all KV cache tensors per token, scales included.
        state_bytes_per_sequence: bytes of recurrent state one sequence holds (0 without such).
    """

    block_tokens: int
    kv_bytes_per_token: int
    state_bytes_per_sequence: int = 0


class Vocabulary(_Record):
    """Token ids the runtime must know besides `tokenizer.json`."""

    size: int
    bos_id: int | None = None
    eos_ids: tuple[int, ...]
    pad_id: int | None = None


class BuildHost(_Record):
    """Which machine and tools made the engine."""

    cpu: str
    cpu_features: tuple[str, ...]
    num_threads: int
    tool_versions: dict[str, str]


class StepTime(_Record):
    """Median time of one decode step."""

    batch: int
    context: int
    step_ms: float


class Measurements(_Record):
    """What `build` and `verify` measured, on the machine named by `cpu`."""

    cpu: str
    num_threads: int
    load_s: float
    resident_bytes: int
    steps: tuple[StepTime, ...]
    prefill_tokens_per_s: float


class GoldenResult(_Record):
    """Outcome of the golden cases at the last `skilld verify`."""

    skill: str
    num_cases: int
    num_passed: int
    jump_forward_agreement: float | None = None


class FileEntry(_Record):
    """One file of the engine folder."""

    sha256: Sha256
    num_bytes: int


class EngineManifest(_Record):
    """See the module docstring."""

    manifest_version: Literal[1] = 1
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    version: str
    runtime: Literal["openvino"]
    family: str
    precision: Precision
    context_limit: int
    source: Source
    geometry: Geometry
    cache: CacheLayout
    vocabulary: Vocabulary
    build_host: BuildHost
    files: dict[str, FileEntry]
    measurements: Measurements | None = None
    golden: tuple[GoldenResult, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 over everything that decides an answer: all but the measurements."""
        content = self.model_dump(mode="json", exclude={"measurements", "golden"})
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read_manifest(engine_dir: Path) -> EngineManifest:
    """Read `manifest.json` of an engine folder.

    Raises:
        ArtefactError: missing, not JSON, or not a manifest; names the key.
    """
    path = engine_dir / MANIFEST_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ArtefactError(
            f"cannot be read: {error.strerror}",
            path=path,
            hint="is this an engine folder? `skilld build` makes one",
            reason="BAD_MANIFEST",
        ) from error
    except UnicodeDecodeError as error:
        raise ArtefactError("is not UTF-8 text", path=path, reason="BAD_MANIFEST") from error
    try:
        return EngineManifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        raise ArtefactError(
            str(first["msg"]),
            path=path,
            key=".".join(str(part) for part in first["loc"]),
            reason="BAD_MANIFEST",
        ) from error


def write_manifest(engine_dir: Path, manifest: EngineManifest) -> None:
    """Write `manifest.json`, aside first and renamed last."""
    path = engine_dir / MANIFEST_NAME
    aside = path.with_suffix(".json.new")
    aside.write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    aside.replace(path)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_DIGEST_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def verify_files(engine_dir: Path, manifest: EngineManifest) -> None:
    """Check every listed file against its digest.

    Raises:
        ArtefactError: reason DIGEST_MISMATCH, for the first file that is missing or differs.
    """
    root = engine_dir.resolve()
    for name, entry in manifest.files.items():
        path = (root / name).resolve()
        if not path.is_relative_to(root):
            raise ArtefactError(
                f"names a file outside the engine folder: {name!r}",
                path=engine_dir / MANIFEST_NAME,
                key="files",
                reason="BAD_MANIFEST",
            )
        if not path.is_file():
            raise ArtefactError(
                "is listed in the manifest and missing",
                path=path,
                hint="build or fetch the engine again",
                reason="DIGEST_MISMATCH",
            )
        if path.stat().st_size != entry.num_bytes or file_sha256(path) != entry.sha256:
            raise ArtefactError(
                "does not match its digest in the manifest: damaged or tampered with",
                path=path,
                hint="build or fetch the engine again",
                reason="DIGEST_MISMATCH",
            )

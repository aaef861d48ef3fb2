"""`Release`: the signed description of one engine with its skills, `skills/<name>/<seq>.json`.

It names every byte by its digest, so files of two releases cannot be mixed, and everything a box
must know before it fetches the first one: what it needs, how large it is, how it is tried.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from skilld.core.errors import UpdateError
from skilld.core.manifest import Sha256
from skilld.updates.bundle.file_kinds import kind_of
from skilld.updates.bundle.paths import check_no_clash, check_path

MAX_RELEASE_BYTES = (1 << 20) - 1
_MAX_FILES = 256

NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Seq = Annotated[int, Field(ge=1, lt=1 << 53)]
Version = Annotated[str, Field(pattern=r"^\d{1,6}(\.\d{1,6}){0,3}$")]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Chunk(_Record):
    """A part of a file that is fetched and checked at once."""

    num_bytes: int = Field(ge=1, le=4 << 20)
    sha256: Sha256


class ReleaseFile(_Record):
    """One file.

    Attributes:
        path: inside the release's folder.
        chunks: together the whole file, in order.
    """

    path: Annotated[str, AfterValidator(check_path)]
    num_bytes: int = Field(ge=0)
    sha256: Sha256
    chunks: tuple[Chunk, ...]

    @model_validator(mode="after")
    def _chunks_add_up(self) -> Self:
        if sum(chunk.num_bytes for chunk in self.chunks) != self.num_bytes:
            raise ValueError(f"the chunks of {self.path!r} are not as long as the file")
        return self


class Requires(_Record):
    """What a box must be to run the release.

    Attributes:
        skilld: the oldest version that reads it.
        runtime_version: the oldest release line of the engine's runtime, such as "2026.4".
        arch: processor names as `platform.machine()` gives them; empty for any.
    """

    skilld: Version
    runtime_version: Version
    arch: tuple[str, ...] = ()


class EngineFacts(_Record):
    """The engine inside.

    Attributes:
        kind: its runtime.
        entry: the file that is loaded.
        digest: as `EngineManifest.digest`.
        memory_bytes: weights and process when loaded, as measured by the builder; 0 if not.
    """

    kind: Literal["openvino"]
    entry: str
    digest: Sha256
    memory_bytes: int = Field(ge=0)


class SkillFacts(_Record):
    """A skill inside, with the digests of what callers depend on."""

    id: Name
    version: str
    input_schema_sha256: Sha256
    output_schema_sha256: Sha256


class SelfTest(_Record):
    """Golden cases the loaded engine must answer before a caller reaches it.

    Attributes:
        path: of the cases; None when the engine has none.
        num_cases: in the file.
        max_ms: longest time one case may take.
    """

    path: str | None = None
    num_cases: int = Field(default=0, ge=0)
    max_ms: float = Field(default=10_000.0, gt=0.0)


class CommitRule(_Record):
    """When a trial has gone well, and when badly."""

    min_requests: int = Field(default=20, ge=0)
    min_seconds: float = Field(default=60.0, ge=0.0)
    max_error_rate: float = Field(default=0.05, ge=0.0, le=1.0)
    max_p95_ms: float | None = Field(default=None, gt=0.0)


class Provenance(_Record):
    """Where the engine came from; for people and audits, decides nothing."""

    source: str
    source_sha256: Sha256
    licence: str
    tool_versions: dict[str, str]


class Release(_Record):
    """See the module docstring.

    Attributes:
        skill: the name it is released under: that of its engine.
        version: for people.
        seq: grows with every release of this name; what counts.
    """

    schema_version: Literal[1] = 1
    skill: Name
    version: str = Field(max_length=64)
    seq: Seq
    requires: Requires
    engine: EngineFacts
    skills: tuple[SkillFacts, ...] = Field(min_length=1, max_length=64)
    files: tuple[ReleaseFile, ...] = Field(min_length=1, max_length=_MAX_FILES)
    self_test: SelfTest = SelfTest()
    commit: CommitRule = CommitRule()
    provenance: Provenance

    @model_validator(mode="after")
    def _files_are_allowed(self) -> Self:
        paths = [file.path for file in self.files]
        check_no_clash(paths)
        for path in paths:
            kind_of(path, paths)
        for needed in (self.engine.entry, self.self_test.path, "manifest.json"):
            if needed is not None and needed not in paths:
                raise ValueError(f"{needed!r} is not among the files")
        return self

    @property
    def num_bytes(self) -> int:
        """Of all files, equal ones counted once."""
        return sum({file.sha256: file.num_bytes for file in self.files}.values())

    def to_bytes(self) -> bytes:
        """As it is signed and stored.

        Raises:
            UpdateError: reason RELEASE_TOO_LARGE.
        """
        data = self.model_dump_json(exclude_defaults=False).encode()
        if len(data) > MAX_RELEASE_BYTES:
            raise UpdateError(
                f"the description of {self.skill} {self.seq} has {len(data)} bytes, allowed are "
                f"{MAX_RELEASE_BYTES}: fewer files or larger tensors",
                reason="RELEASE_TOO_LARGE",
            )
        return data


def parse_release(data: bytes) -> Release:
    """Read a release.

    Raises:
        UpdateError: reason RELEASE_TOO_LARGE or BAD_RELEASE; says which key and why.
    """
    if len(data) > MAX_RELEASE_BYTES:
        raise UpdateError(
            f"a release is described in at most {MAX_RELEASE_BYTES} bytes, this has {len(data)}",
            reason="RELEASE_TOO_LARGE",
        )
    try:
        return Release.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UpdateError(f"not a release: {key}: {first['msg']}", reason="BAD_RELEASE") from error


def target_path(skill: str, seq: int) -> str:
    """The TUF target a release is."""
    return f"skills/{skill}/{seq}.json"

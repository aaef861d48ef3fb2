"""`pack`: an engine folder described as a release."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import skilld
from skilld.core.errors import ArtefactError
from skilld.core.manifest import MANIFEST_NAME, EngineManifest, read_manifest, verify_files
from skilld.skills.skill import read_skill
from skilld.updates.bundle.boundaries import boundaries_of
from skilld.updates.bundle.chunks import chunks_of
from skilld.updates.bundle.file_kinds import check_text, kind_of
from skilld.updates.bundle.paths import check_no_clash, check_path
from skilld.updates.bundle.release import (
    CommitRule,
    EngineFacts,
    Provenance,
    Release,
    ReleaseFile,
    Requires,
    SelfTest,
    SkillFacts,
)

GOLDEN_NAME = "golden.jsonl"
_GRAPH_NAME = "model.xml"


def pack(engine_dir: Path, *, seq: int, commit: CommitRule | None = None) -> Release:
    """Describe an engine folder as a release; reads every file, writes nothing.

    Only the files of the engine's manifest are part of it.

    Args:
        engine_dir: as `skilld build` makes it.
        seq: of the release.
        commit: the rule of its trial.

    Raises:
        ArtefactError: a file is damaged, a link, or of a kind or name a release may not hold.
    """
    manifest = read_manifest(engine_dir)
    paths = [MANIFEST_NAME, *sorted(manifest.files)]
    _check_names(engine_dir, paths)
    verify_files(engine_dir, manifest)
    skills = sorted(path for path in paths if path.startswith("skills/"))
    golden = engine_dir / GOLDEN_NAME
    return Release(
        skill=manifest.name,
        version=manifest.version,
        seq=seq,
        requires=Requires(
            skilld=skilld.__version__, runtime_version=_runtime_version(engine_dir, manifest)
        ),
        engine=EngineFacts(
            kind=manifest.runtime,
            entry=_GRAPH_NAME,
            digest=manifest.digest,
            memory_bytes=manifest.measurements.resident_bytes if manifest.measurements else 0,
        ),
        skills=tuple(_skill_facts(engine_dir / path) for path in skills),
        files=tuple(_describe(engine_dir, path, paths) for path in paths),
        self_test=SelfTest(
            path=GOLDEN_NAME if GOLDEN_NAME in paths else None,
            num_cases=_num_lines(golden) if GOLDEN_NAME in paths else 0,
        ),
        commit=commit or CommitRule(),
        provenance=Provenance(
            source=manifest.source.name,
            source_sha256=manifest.source.sha256,
            licence=manifest.source.licence,
            tool_versions=manifest.build_host.tool_versions,
        ),
    )


def _check_names(engine_dir: Path, paths: list[str]) -> None:
    for name in paths:
        try:
            kind_of(check_path(name), paths)
            check_no_clash(paths)
        except ValueError as error:
            raise _refused(engine_dir / MANIFEST_NAME, str(error)) from error
        here = engine_dir
        for part in name.split("/"):
            here = here / part
            if here.is_symlink():
                raise _refused(here, "is a symbolic link; a release holds files")
        if not stat.S_ISREG((engine_dir / name).stat().st_mode if here.exists() else 0):
            raise _refused(here, "is missing, or not a plain file")


def _describe(engine_dir: Path, name: str, paths: list[str]) -> ReleaseFile:
    path = engine_dir / name
    kind = kind_of(name, paths)
    try:
        check_text(kind, path.read_bytes())
        chunks, sha256 = chunks_of(path, boundaries_of(path, kind))
    except ValueError as error:
        raise _refused(path, str(error)) from error
    return ReleaseFile(
        path=name, num_bytes=path.stat().st_size, sha256=sha256, chunks=tuple(chunks)
    )


def _skill_facts(path: Path) -> SkillFacts:
    skill = read_skill(path)
    return SkillFacts(
        id=skill.id,
        version=skill.version,
        input_schema_sha256=_schema_sha256(skill.input_schema),
        output_schema_sha256=_schema_sha256(skill.public_output_schema),
    )


def _schema_sha256(schema: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(schema, sort_keys=True).encode()).hexdigest()


def _runtime_version(engine_dir: Path, manifest: EngineManifest) -> str:
    """The release line of the tool that wrote the graph: an older one may not read it."""
    version = manifest.build_host.tool_versions.get(manifest.runtime, "")
    line = ".".join(version.split(".")[:2])
    if not line:
        raise _refused(engine_dir / MANIFEST_NAME, f"does not say which {manifest.runtime} made it")
    return line


def _num_lines(path: Path) -> int:
    return sum(1 for line in path.read_text(encoding="utf-8").splitlines() if line.strip())


def _refused(path: Path, message: str) -> ArtefactError:
    return ArtefactError(message, path=path, reason="NOT_RELEASABLE")

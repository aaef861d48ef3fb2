"""`ReleaseSite`: keys, a repository, and versions of engines that really differ.

A version differs from the engine it is made of by the lowest bit of one weight in each tensor that
is to change: enough for another digest, and so for the whole tensor to be sent; too little for
another answer. A broken one has random weights, and fails its self-test.
"""

from __future__ import annotations

import random
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from securesystemslib.signer import CryptoSigner

from skilld.builder.golden import GOLDEN_NAME, GoldenCase, read_golden
from skilld.core.manifest import FileEntry, file_sha256, read_manifest, write_manifest
from skilld.updates.bundle import Release
from skilld.updates.bundle.file_kinds import read_graph
from skilld.updates.bundle.release import CommitRule
from skilld.updates.publishing import Repository
from skilld.updates.trust import Job, sign_job

_GRAPH, _WEIGHTS = "model.xml", "model.bin"
_OWN_CHUNK_BYTES = 16 << 10  # a tensor from this size on is sent by itself
_TIMEOUT = re.compile(r"^timeout_s *=.*$", re.MULTILINE)
_PATIENT_S = 30.0
_BYTE_TYPES = ("i8", "u8", "i4", "u4")


@dataclass(frozen=True, slots=True)
class Published:
    """A release, and what a box must be told to get it.

    Attributes:
        release: its description.
        digest: of the engine inside, which every answer of it carries.
    """

    release: Release
    digest: str


@dataclass(frozen=True, slots=True)
class _Tensor:
    offset: int
    num_bytes: int
    is_bytes: bool


class ReleaseSite:
    """See the module docstring. Keys live in memory only.

    Args:
        folder: for the repository, in `repository`, and the engines.
        engines: folders the versions are made of; they are copied first, shortened to
            `num_cases` golden cases each, and given long time limits.
        seed: of the tensors that change.
        num_cases: of a self-test.

    Attributes:
        repository: what a depot serves.
        engines: version 0 of each, by name: what a box is set up with.
        cases: that every version answers as they say, by name.
    """

    def __init__(
        self, folder: Path, engines: Sequence[Path], *, seed: int, num_cases: int = 6
    ) -> None:
        self.repository = folder / "repository"
        self.engines: dict[str, Path] = {}
        self.cases: dict[str, list[GoldenCase]] = {}
        self._folder = folder
        self._dice = random.Random(seed)
        self._count = 0
        self._issued_s = int(time.time())
        for path in engines:
            name = read_manifest(path).name
            copy = shutil.copytree(path, folder / "engines" / name)
            lines = (copy / GOLDEN_NAME).read_text(encoding="utf-8").splitlines()[:num_cases]
            (copy / GOLDEN_NAME).write_text("\n".join(lines) + "\n", encoding="utf-8")
            skills = [_make_patient(skill) for skill in (copy / "skills").glob("*.toml")]
            changed = (GOLDEN_NAME, *(str(skill.relative_to(copy)) for skill in skills))
            _renew_manifest(copy, version="0.0.0", changed=changed)
            self.engines[name] = copy
            self.cases[name] = read_golden(copy / GOLDEN_NAME)
        self._signers = {
            role: CryptoSigner.generate_ed25519() for role in ("root", "targets", "online", "team")
        }
        self._begin()

    @property
    def root_of_trust(self) -> Path:
        """What a box is given by hand."""
        return self.repository / "metadata/1.root.json"

    def publish(
        self, name: str, *, share: float, commit: CommitRule, is_broken: bool = False
    ) -> Published:
        """Make the next version of an engine, and release it.

        Args:
            name: of the engine.
            share: of the bytes of its weights that change, 0..1; about.
            commit: rule of its trial.
            is_broken: it answers nonsense, and its self-test finds that.
        """
        self._count += 1
        folder = shutil.copytree(
            self.engines[name], self._folder / "versions" / f"{name}-{self._count}"
        )
        try:
            weights = bytearray((folder / _WEIGHTS).read_bytes())
            for tensor in self._drawn(folder, share=1.0 if is_broken else share):
                if is_broken and tensor.is_bytes:
                    noise = random.Random(self._count).randbytes(tensor.num_bytes)
                    weights[tensor.offset : tensor.offset + tensor.num_bytes] = noise
                else:  # a multiple of 4, where a float has its lowest bits
                    place = 4 * self._count % (tensor.num_bytes & ~3)
                    weights[tensor.offset + place] ^= 1
            (folder / _WEIGHTS).write_bytes(weights)
            _renew_manifest(folder, version=f"{self._count}.0.0", changed=(_WEIGHTS,))
            release = self._repository().publish(folder, commit=commit)
            self._advance()
            return Published(release, read_manifest(folder).digest)
        finally:
            shutil.rmtree(folder)

    def job(self, release: Release, *, force: bool = False) -> tuple[str, bytes]:
        """Sign a job; returns its id, and what is sent."""
        self._issued_s = max(self._issued_s + 1, int(time.time()))  # each is newer than the last
        job = Job(
            id=f"{release.skill}-{release.seq}-{self._issued_s}",
            issued_s=self._issued_s,
            skill=release.skill,
            seq=release.seq,
            force=force,
        )
        return job.id, sign_job(job, [self._signers["team"]])

    def _begin(self) -> None:
        public = {role: signer.public_key for role, signer in self._signers.items()}
        self._repository().create(
            root=[public["root"]], threshold=1, targets=public["targets"], online=public["online"]
        )
        self._advance()
        for name in self.engines:
            self._repository().delegate_skill(name, [public["team"]], threshold=1)
        self._repository().delegate_jobs([public["team"]], threshold=1)
        self._advance()

    def _repository(self) -> Repository:
        return Repository(self.repository)

    def _advance(self) -> None:
        waiting = self._repository().advance(list(self._signers.values()))
        assert not waiting, waiting

    def _drawn(self, folder: Path, *, share: float) -> list[_Tensor]:
        tensors = _tensors_of(folder / _GRAPH)
        self._dice.shuffle(tensors)
        wanted_bytes = share * sum(tensor.num_bytes for tensor in tensors)
        drawn: list[_Tensor] = []
        for tensor in tensors:
            if tensor.num_bytes <= wanted_bytes or not drawn:
                drawn.append(tensor)
                wanted_bytes -= tensor.num_bytes
        return drawn


def new_bytes(release: Release, held: Sequence[Release]) -> int:
    """Bytes of a release that lie in none of the others; what must be sent at least."""
    known = {chunk.sha256 for other in held for file in other.files for chunk in file.chunks}
    chunks: Mapping[str, int] = {
        chunk.sha256: chunk.num_bytes for file in release.files for chunk in file.chunks
    }
    return sum(num_bytes for sha256, num_bytes in chunks.items() if sha256 not in known)


def _tensors_of(graph: Path) -> list[_Tensor]:
    """Those that have chunks of their own."""
    found = []
    for data in read_graph(graph.read_bytes()).iterfind("./layers/layer[@type='Const']/data"):
        num_bytes = int(data.get("size", "0"))
        if num_bytes >= _OWN_CHUNK_BYTES:
            is_bytes = data.get("element_type") in _BYTE_TYPES
            found.append(_Tensor(int(data.get("offset", "0")), num_bytes, is_bytes))
    return found


def _make_patient(skill: Path) -> Path:
    """Have its calls wait as long as they must: how fast this machine is, is no question here."""
    text = skill.read_text(encoding="utf-8")
    skill.write_text(_TIMEOUT.sub(f"timeout_s = {_PATIENT_S}", text), encoding="utf-8")
    return skill


def _renew_manifest(folder: Path, *, version: str, changed: Sequence[str]) -> None:
    manifest = read_manifest(folder)
    files = dict(manifest.files)
    for name in changed:
        path = folder / name
        files[name] = FileEntry(sha256=file_sha256(path), num_bytes=path.stat().st_size)
    write_manifest(folder, manifest.model_copy(update={"version": version, "files": files}))

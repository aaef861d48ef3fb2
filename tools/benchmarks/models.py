"""Models the serving benches share: one random checkpoint each, made ready for every contender."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from benchmarks.checkpoint import SHAPES, write_checkpoint, write_gguf, write_recipe
from skilld.core.manifest import FileEntry, file_sha256, read_manifest, write_manifest

DEFAULT_WORK_DIR = Path.home() / ".cache" / "skilld-bench"
_GGUF_KIND = "Q8_0"


@dataclass(frozen=True, slots=True)
class Model:
    """One random model, and where its files are.

    Attributes:
        name: of the model and of its engine.
        geometry: key of `SHAPES`.
        seed: of its weights.
        folder: holds everything made from it; kept for the next time.
    """

    name: str
    geometry: str
    seed: int
    folder: Path

    @property
    def tokenizer(self) -> Path:
        """Its `tokenizer.json`."""
        return self.folder / "checkpoint" / "tokenizer.json"

    @property
    def engine(self) -> Path:
        """Our engine: int8, symmetric, one scale per output channel."""
        return self.folder / "int8" / "engine"

    @property
    def gguf(self) -> Path:
        """The same weights in Q8_0, for llama.cpp."""
        return self.folder / f"{_GGUF_KIND}.gguf"

    @property
    def genai(self) -> Path:
        """Our engine's graph and weights, under the names that openvino-genai looks for."""
        return self.folder / "genai"


def model(name: str, geometry: str, *, seed: int, work_dir: Path) -> Model:
    """A model below the work folder; `prepare` makes its files."""
    return Model(name, geometry, seed, work_dir / "served" / f"{geometry}-{seed}")


def prepare(console: Console, model: Model, *, skills: Mapping[str, str]) -> None:
    """Make checkpoint and engine unless they exist, and put the skills into the engine.

    Args:
        console: told what takes long.
        model: which.
        skills: TOML text by skill id; the engine has these and no others afterwards.
    """
    shape = SHAPES[model.geometry]
    if not (model.folder / "checkpoint").is_dir():
        console.print(f"writing random weights of {model.name}, geometry {model.geometry}")
        write_checkpoint(model.folder / "checkpoint", shape, seed=model.seed)
    if not model.engine.is_dir():
        recipe_dir = model.engine.parent
        write_recipe(
            recipe_dir,
            name=model.name,
            precision="int8",
            checkpoint=Path("..") / "checkpoint",
            skills=skills,
        )
        console.print(f"building the engine of {model.name}")
        # A process of its own: the build tools would stay in our memory.
        command = [sys.executable, "-m", "skilld.cli", "build", str(recipe_dir)]
        subprocess.run(command, check=True)
    _put_skills(model.engine, skills)


def prepare_gguf(console: Console, model: Model) -> None:
    """Make the GGUF file unless it exists."""
    if not model.gguf.is_file():
        console.print(f"writing {model.gguf.name} of {model.name}")
        write_gguf(model.gguf, model.folder / "checkpoint", SHAPES[model.geometry], kind=_GGUF_KIND)


def prepare_genai(console: Console, model: Model) -> None:
    """Make the folder for openvino-genai unless it exists."""
    if not model.genai.is_dir():
        console.print(f"converting the tokenizer of {model.name}")
        # A process of its own, as above.
        command = [sys.executable, "-m", "benchmarks.genai_folder"]
        folders = [str(model.folder / "checkpoint"), str(model.engine), str(model.genai)]
        subprocess.run([*command, *folders], check=True)


def _put_skills(engine_dir: Path, skills: Mapping[str, str]) -> None:
    """Make these the engine's skills. Building anew for a changed prompt would take minutes."""
    folder = engine_dir / "skills"
    wanted = {f"{skill}.toml": text for skill, text in skills.items()}
    present = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.toml")}
    if present == wanted:
        return
    for name in present.keys() - wanted.keys():
        (folder / name).unlink()
    for name, text in wanted.items():
        (folder / name).write_text(text, encoding="utf-8")
    manifest = read_manifest(engine_dir)
    files = {
        name: entry for name, entry in manifest.files.items() if not name.startswith("skills/")
    }
    for name in sorted(wanted):
        path = folder / name
        files[f"skills/{name}"] = FileEntry(sha256=file_sha256(path), num_bytes=path.stat().st_size)
    write_manifest(engine_dir, manifest.model_copy(update={"files": files}))

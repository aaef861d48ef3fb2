from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytest.importorskip("grpc_tools")


def check(tool: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(tool), "--check"], capture_output=True, text=True, check=False
    )


def test_committed_stubs_match_the_protos() -> None:
    result = check(ROOT / "tools/protos")
    assert result.returncode == 0, result.stdout + result.stderr


def test_stub_that_was_edited_is_found(tmp_path: Path) -> None:
    for part in ("tools/protos", "protos", "runtime/skilld/v1"):
        target = tmp_path / part
        target.parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, target)
    edited = tmp_path / "runtime/skilld/v1/skill_service_pb2.pyi"
    edited.write_text(edited.read_text() + "\n")
    result = check(tmp_path / "tools/protos")
    assert result.returncode == 1
    assert result.stdout.splitlines() == [
        "runtime/skilld/v1/skill_service_pb2.pyi: differs from protos/; run tools/protos"
    ]

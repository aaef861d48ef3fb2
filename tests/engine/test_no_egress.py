"""Importing OpenVINO must not report to anyone; see `skilld.engine.no_egress`."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

RUNTIME = Path(__file__).parents[2] / "runtime"

# Stops the reporter before it leaves: it forks, and its child opens the connection.
WATCH = """
import sys

def watch(event, args):
    if event in ("os.fork", "subprocess.Popen", "socket.getaddrinfo", "socket.connect"):
        sys.stdout.write(event + " ")
        raise RuntimeError("stopped by the test")

sys.addaudithook(watch)
try:
    {statement}
except RuntimeError:
    pass
"""


def reports_of(statement: str, *, home: Path) -> str:
    child = subprocess.run(
        [sys.executable, "-c", WATCH.format(statement=statement)],
        capture_output=True,
        text=True,
        check=True,
        # A home without a record of consent, as on a new box.
        env={"HOME": str(home), "PYTHONPATH": str(RUNTIME)},
    )
    return child.stdout


def test_a_bare_import_would_report_which_is_why_there_is_a_door(tmp_path: Path) -> None:
    assert reports_of("import openvino", home=tmp_path) != ""


def test_importing_the_engine_reports_to_nobody(tmp_path: Path) -> None:
    assert reports_of("import skilld.engine.openvino", home=tmp_path) == ""


def test_nothing_else_in_the_package_imports_openvino_by_itself() -> None:
    culprits = [
        path.relative_to(RUNTIME).as_posix()
        for path in RUNTIME.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Import) and any(a.name.startswith("openvino") for a in node.names))
        or (isinstance(node, ast.ImportFrom) and (node.module or "").startswith("openvino"))
    ]
    assert sorted(set(culprits)) == ["skilld/engine/no_egress.py"]

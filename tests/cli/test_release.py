"""`skilld release` and `skilld updates`, from the first key to what a box says of itself."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.brokers import Broker, broker
from tests.updates.simulated_files import SimulatedFiles

from skilld.cli import main
from skilld.config import MqttConfig
from skilld.updates.depot import MqttSource
from skilld.updates.machine import JobRecord, Outcome, SkillState, Status
from skilld.updates.store import DiskFiles
from skilld.updates.trust import FolderSource, Job, TrustedRepository

__all__ = ["broker"]

ROOT = Path(__file__).parents[2]
ENGINE = ROOT / "engines/plc-triage/engine"
Run = Callable[..., Any]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `skilld release ...` with --json; returns the exit code and what was printed."""
    monkeypatch.setenv("SKILLD_KEY_PASSPHRASE", "correct horse")

    def run(command: str, *arguments: object) -> tuple[int, Any]:
        code = main(["release", command, "--json", *map(str, arguments)])
        printed = capsys.readouterr().out
        return code, json.loads(printed) if printed else None

    return run


@pytest.fixture
def site(run: Run, tmp_path: Path) -> Path:
    """A folder of keys and a repository `repo` that is not yet signed by its second root key."""
    for name in ("root1", "root2", "root3", "targets", "online", "plc", "ops"):
        assert run("keygen", tmp_path / f"{name}.pem", *unencrypted(name))[0] == 0
    roots = [flag for n in (1, 2, 3) for flag in ("--root", tmp_path / f"root{n}.pub")]
    signed_by = key(tmp_path, "root1", "targets", "online")
    code, printed = run(
        "init",
        tmp_path / "repo",
        *roots,
        *("--threshold", 2),
        *("--targets", tmp_path / "targets.pub"),
        *("--online", tmp_path / "online.pub"),
        *signed_by,
    )
    assert code == 1
    assert [(w["role"], w["missing"]) for w in printed["waiting"]] == [("root", 1)]
    return tmp_path


def unencrypted(name: str) -> list[str]:
    # Encrypting takes a while on purpose; one such key in the test is enough.
    return [] if name == "root2" else ["--no-passphrase"]


def key(folder: Path, *names: str) -> list[object]:
    return [flag for name in names for flag in ("--key", folder / f"{name}.pem")]


def test_from_keys_to_a_job_that_a_box_believes(run: Run, site: Path) -> None:
    repo = site / "repo"
    assert run("sign", repo, *key(site, "root2", "targets", "online"))[0] == 0
    owner = ("--owner", site / "plc.pub")
    signed = key(site, "targets", "plc", "online")
    assert run("delegate", repo, "--skill", "plc-triage", *owner, *signed)[0] == 0
    signed = key(site, "targets", "ops", "online")
    assert run("delegate", repo, "--jobs", "--owner", site / "ops.pub", *signed)[0] == 0
    code, printed = run("publish", repo, ENGINE, "--min-requests", 5, *key(site, "plc", "online"))
    assert (code, printed) == (0, {"skill": "plc-triage", "seq": 1, "waiting": []})
    job = site / "job.json"
    assert run("job", "plc-triage", 1, "--out", job, "--box", "b1", *key(site, "ops"))[0] == 0
    box = TrustedRepository(
        SimulatedFiles(),
        site / "tuf",
        (repo / "metadata/1.root.json").read_bytes(),
        clock=lambda: 0.0,
    )
    box.refresh(FolderSource(repo))
    assert box.job(job.read_bytes()).boxes == ("b1",)
    assert box.release("plc-triage", 1).commit.min_requests == 5
    code, printed = run("list", repo)
    assert code == 0
    assert [(r["skill"], r["seq"]) for r in printed["releases"]] == [("plc-triage", 1)]
    assert set(printed["expires"]) == {
        *("root", "targets", "snapshot", "timestamp", "skill-plc-triage", "jobs")
    }
    assert printed["waiting"] == []


def test_publishing_without_the_key_waits_for_it(run: Run, site: Path) -> None:
    repo = site / "repo"
    run("sign", repo, *key(site, "root2", "targets", "online"))
    owner = ("--owner", site / "plc.pub")
    signed = key(site, "targets", "plc", "online")
    run("delegate", repo, "--skill", "plc-triage", *owner, *signed)
    code, printed = run("publish", repo, ENGINE, *key(site, "online"))
    assert (code, printed["waiting"][0]["role"]) == (1, "skill-plc-triage")
    assert run("list", repo)[1]["releases"] == []
    assert run("sign", repo, *key(site, "plc", "online"))[0] == 0
    assert len(run("list", repo)[1]["releases"]) == 1


def test_a_root_key_is_revoked_by_the_others(run: Run, site: Path) -> None:
    repo = site / "repo"
    run("sign", repo, *key(site, "root2", "targets", "online"))
    revoked = ("root", "--revoke", site / "root3.pub")
    assert run("rotate", repo, *revoked, *key(site, "root1", "root2"))[0] == 0
    assert (repo / "metadata/2.root.json").exists()


def test_renewing_moves_the_dates(run: Run, site: Path) -> None:
    repo = site / "repo"
    run("sign", repo, *key(site, "root2", "targets", "online"))
    before = run("list", repo)[1]["expires"]
    assert run("renew", repo, "--expires-days", 300, *key(site, "online"))[0] == 0
    after = run("list", repo)[1]["expires"]
    assert after["timestamp"] > before["timestamp"]
    assert after["root"] == before["root"]


def test_private_keys_are_for_their_owner_and_never_overwritten(run: Run, site: Path) -> None:
    path = site / "root1.pem"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    assert run("keygen", path, "--no-passphrase")[0] == 3
    path.unlink()
    assert run("keygen", path, "--no-passphrase")[0] == 3  # its public half is still there
    path.write_bytes(before)
    assert b"ENCRYPTED" in (site / "root2.pem").read_bytes()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.chmod(0o640), "other users"),
        (lambda path: path.write_bytes(b"nonsense"), "no PEM key"),
        (lambda path: path.unlink(), "cannot be read"),
    ],
)
def test_a_key_that_cannot_be_used_is_said_to_be_so(
    run: Run,
    site: Path,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[Path], object],
    reason: str,
) -> None:
    spoil(site / "root1.pem")
    assert main(["release", "sign", str(site / "repo"), "--key", str(site / "root1.pem")]) == 3
    assert reason in " ".join(capsys.readouterr().err.split())


def test_a_wrong_passphrase_is_said_to_be_one(
    run: Run,
    site: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SKILLD_KEY_PASSPHRASE", "wrong")
    assert main(["release", "sign", str(site / "repo"), "--key", str(site / "root2.pem")]) == 3
    assert "passphrase is wrong" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("command", ["list", "sign", "renew"])
def test_a_folder_without_a_repository_is_said_to_be_one(
    run: Run, tmp_path: Path, command: str
) -> None:
    run("keygen", tmp_path / "k.pem", "--no-passphrase")
    arguments = [] if command == "list" else ["--key", tmp_path / "k.pem"]
    assert run(command, tmp_path / "nothing", *arguments)[0] == 3


def test_the_lines_of_the_readme_do_what_it_says(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    broker: Broker,
) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme[readme.index("\n## Releases\n") :]
    lines = section[: section.index("\n## ", 5)].splitlines()
    said = [line[2:] for line in lines if line.startswith("$ ")]
    commands = [line for line in said if "--broker" not in line]
    (serves,) = (line for line in said if line.startswith("skilld depot"))
    assert len(commands) == 9
    (tmp_path / "engines").symlink_to(ROOT / "engines")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SKILLD_KEY_PASSPHRASE", "correct horse")
    codes = []
    for command in commands:
        expanded = subprocess.run(
            ["bash", "-c", f"printf '%s\\n' {command}"], capture_output=True, text=True, check=True
        )
        name, *arguments = expanded.stdout.split()
        assert name == "skilld"
        codes.append(main(arguments))
    # After `init` and the first `sign` a signature is still missing.
    assert codes == [0, 1, 1, 0, 0, 0, 0, 0, 0]
    assert "plc-triage" in capsys.readouterr().out
    assert (tmp_path / "job.json").exists()
    name, *arguments = serves.replace("127.0.0.1:1883", broker.address).split()
    with subprocess.Popen([sys.executable, "-m", "skilld.cli", *arguments]) as depot:
        try:
            config = MqttConfig(broker=broker.address)
            with MqttSource(config, box="box1", depot="depot") as source:
                box = TrustedRepository(
                    SimulatedFiles(),
                    tmp_path / "tuf",
                    (tmp_path / "depot/metadata/1.root.json").read_bytes(),
                    clock=lambda: 0.0,
                )
                box.refresh(source)
                assert box.release("plc-triage", 1).seq == 1
        finally:
            depot.terminate()
    assert depot.returncode == 0


def test_updates_shows_what_a_box_says_of_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = Job(id="j7", issued_s=1, skill="toy", seq=7)
    record = JobRecord(
        job=job,
        status=Status.FAILED,
        outcome=Outcome.ROLLBACK_COMPLETE,
        reason="TRIAL_FAILED",
        message="its worker crashed 2 times",
    )
    state = SkillState(skill="toy", active=6, previous=5, bad=(7,), job=record)
    DiskFiles(tmp_path).make_folder("state")
    (tmp_path / "state/toy.json").write_text(state.model_dump_json(), encoding="utf-8")
    assert main(["updates", "--json", "--store", str(tmp_path)]) == 0
    (printed,) = json.loads(capsys.readouterr().out)
    told = {key: printed[key] for key in SkillState.model_fields}
    assert SkillState.model_validate(told) == state
    assert main(["updates", "--store", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    for word in ("toy", "6", "bad: 7", "j7", "FAILED", "TRIAL_FAILED"):
        assert word in shown


def test_updates_of_no_store_say_so(tmp_path: Path) -> None:
    assert main(["updates", "--store", str(tmp_path / "none")]) == 3

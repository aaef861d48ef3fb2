"""`skilld release cancel`, `commit` and `fleet`; and push when something is not right."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from paho.mqtt import publish
from tests.brokers import PATIENCE_S, Broker, free_port, start_broker
from tests.cli.field_team import Box, Release, box, boxes, broker, kept, key, release
from tests.updates.simulated_boxes import Fate

from skilld.cli import main
from skilld.updates.machine import Step

__all__ = ["box", "broker", "key", "release", "start_broker"]

ROOT = Path(__file__).parents[2]


def test_orders_go_to_whoever_has_the_job(release: Release, box: Box, broker: Broker) -> None:
    trying = threading.Event()
    first = box("a", Fate.TRIES, on_report=lambda r: trying.set() if r.step is Step.TRIAL else None)
    box("b", Fate.SLEEPS)
    release("push", "toy", 3, *boxes("a", "b"), "--canary", 0, "--id", "j1")
    assert trying.wait(PATIENCE_S)
    code, (sent,) = release("commit", "j1", *boxes("b"))
    assert (code, [holder["sent"] for holder in sent]) == (1, [False])
    ended = threading.Event()
    first.on_report = lambda _report: ended.set()
    code, (sent,) = release("cancel", "j1")
    assert (code, [holder["box"] for holder in sent]) == (0, ["a", "b"])
    assert ended.wait(PATIENCE_S)
    assert kept(broker, "skilld/box/b/ota/job/toy") == b""
    assert b"cancel" in kept(broker, "skilld/box/b/ota/order/toy")
    code, (sent,) = release("cancel", "j1", *boxes("a", "elsewhere"))
    assert (code, [holder["sent"] for holder in sent]) == (1, [False, False])
    assert "ended" in sent[0]["why"]
    assert "nothing tells of this job" in sent[1]["why"]
    assert release("cancel", "j2") == (3, [])
    code, (sent,) = release("cancel", "j2", "--box", "c", "--release", "toy")
    assert (code, sent[0]["sent"]) == (0, True)


def test_the_fleet_is_shown_as_it_tells_of_itself(
    release: Release, box: Box, broker: Broker, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    box("a", Fate.COMMITS, active=2)
    box("b", Fate.HANGS, active=2)
    box("c", Fate.COMMITS, active=7, release="other")
    release("push", "toy", 3, "--box", "a", "--id", "j1", "--watch")
    code, (reports,) = release("fleet")
    assert (code, [(r["box"], r["release"], r["active"]) for r in reports]) == (
        0,
        [("a", "toy", 3), ("b", "toy", 2), ("c", "other", 7)],
    )
    code, (reports,) = release("fleet", "--release", "toy", "--box", "a")
    assert [(r["box"], r["job"], r["status"]) for r in reports] == [("a", "j1", "SUCCEEDED")]
    words = ["release", "fleet", *boxes("a", "nobody"), "--broker", broker.address]
    assert main(words) == 0
    shown = capsys.readouterr().out
    for word in ("toy", "j1", "SUCCEEDED", "nobody", "tells nothing"):
        assert word in shown
    assert "offline" not in shown
    publish.single("skilld/box/a/status", '{"state": "offline"}', 1, True, port=broker.port)
    code, (reports,) = release("fleet", "--release", "toy")
    assert [(r["box"], r["is_offline"]) for r in reports] == [("a", True), ("b", False)]
    assert main(words) == 0
    assert "offline" in capsys.readouterr().out
    assert main(["release", "push", "toy", "4", *boxes("a"), *words[-2:], "--key", str(key)]) == 0
    assert "a is offline; the broker keeps the job for it" in capsys.readouterr().err


def test_the_fleet_is_shown_again_when_something_changes(box: Box, broker: Broker) -> None:
    first = box("a", Fate.COMMITS, active=2)
    words = ("release", "fleet", "--watch", "--json", "--broker", broker.address)
    with subprocess.Popen(
        [sys.executable, "-m", "skilld.cli", *words], stdout=subprocess.PIPE, text=True
    ) as watching:
        assert watching.stdout is not None
        seen = [json.loads(watching.stdout.readline())]
        first.state = first.state.model_copy(update={"active": 3})
        first.say()
        seen.append(json.loads(watching.stdout.readline()))
        watching.send_signal(signal.SIGINT)
        watching.communicate(timeout=PATIENCE_S)
    assert [[report["active"] for report in reports] for reports in seen] == [[2], [3]]
    assert watching.returncode == 0


def test_a_broker_that_is_not_there_is_named(key: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = f"127.0.0.1:{free_port()}"
    words = ["--broker", where, "--timeout-s", "0.5"]
    assert main(["release", "fleet", *words]) == 3
    push = ["release", "push", "toy", "3", "--box", "a", "--key", str(key)]
    assert main([*push, *words]) == 3
    said = " ".join(capsys.readouterr().err.split())
    assert said.count(f"the broker at {where} cannot be reached") >= 2
    assert "BROKER_UNAVAILABLE" in said


@pytest.mark.parametrize(
    "words",
    [
        ["--max-failures", "101%"],
        ["--max-failures", "some"],
        ["--stuck-s", "0"],
        ["--canary", "-1"],
        ["--wave", "0"],
    ],
)
def test_what_makes_no_sense_is_wrong_usage(key: Path, words: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["release", "push", "toy", "3", "--box", "a", "--broker", "b:1", *words])
    assert end.value.code == 2


def test_without_a_key_or_a_box_nothing_is_sent(key: Path) -> None:
    push = ["release", "push", "toy", "3", "--broker", "127.0.0.1:1"]
    assert main([*push, "--box", "a"]) == 3
    assert main([*push, "--key", str(key)]) == 3
    assert main([*push, "--key", str(key), "--box", "No/Name"]) == 3


def test_the_lines_of_the_readme_do_what_it_says(
    key: Path,
    box: Box,
    broker: Broker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    groups = re.search(r"```toml\n(\[groups\].*?)```", readme, re.DOTALL)
    assert groups is not None
    monkeypatch.chdir(tmp_path)
    Path("fleet.toml").write_text(groups[1], encoding="utf-8")
    Path("keys").mkdir()
    key.rename("keys/ops.pem")
    said = re.findall(
        r"^\$ skilld (release (?:push|fleet|commit|cancel) .*)$", readme, re.MULTILINE
    )
    push, fleet, commit, cancel = (
        line.replace("127.0.0.1:1883", broker.address).split() for line in said
    )
    trying = threading.Event()
    box("press1", Fate.COMMITS, release="plc-triage")
    box(
        "press2",
        Fate.TRIES,
        release="plc-triage",
        on_report=lambda r: trying.set() if r.step is Step.TRIAL else None,
    )
    with subprocess.Popen(
        [sys.executable, "-m", "skilld.cli", *push], stdout=subprocess.PIPE, text=True
    ) as pushing:
        assert trying.wait(PATIENCE_S)
        shown = ""
        while "TRIAL" not in shown:  # the broker may not have heard it yet
            assert main(fleet) == 0
            shown = capsys.readouterr().out
        assert main(commit) == 0
        printed, _ = pushing.communicate(timeout=PATIENCE_S)
    assert pushing.returncode == 0
    assert "COMMITTED: plc-triage 1" in printed
    assert main(cancel) == 1  # there is nothing left to undo
    assert "it has ended there: SUCCEEDED" in capsys.readouterr().out

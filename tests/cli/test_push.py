"""`skilld release push`: waves over a real broker, and boxes with a fate."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from paho.mqtt import publish
from tests.brokers import PATIENCE_S, Broker, start_broker
from tests.cli.field_team import (
    Box,
    Release,
    box,
    boxes,
    broker,
    kept,
    key,
    release,
    stages,
)
from tests.updates.simulated_boxes import Fate, trial

from skilld.cli import main
from skilld.updates.fleet import Report
from skilld.updates.fleet.held_jobs import held_job
from skilld.updates.machine import Outcome, Status, Step
from skilld.updates.publishing import read_signer
from skilld.updates.trust import Job, sign_job

__all__ = ["box", "broker", "key", "release", "start_broker"]


def test_the_canary_goes_first_and_the_waves_follow(release: Release, box: Box) -> None:
    order: list[tuple[str, str]] = []
    for name in ("press1", "press2", "press3", "oven1"):
        box(
            name,
            Fate.COMMITS,
            on_report=lambda r: order.append((r.box, r.step or r.outcome or r.status or "")),
        )
    named = boxes("press1", "press2", "press3", "oven1")
    code, lines = release("push", "toy", 3, *named, "--wave", 2, "--id", "j1", "--watch")
    assert code == 0
    assert lines[-1]["event"] == "end"
    assert lines[-1]["ending"] == "COMMITTED"
    assert set(stages(lines).values()) == {"COMMITTED"}
    waves = [{"press1"}, {"press2", "press3"}, {"oven1"}]
    for earlier, later in itertools.pairwise(waves):
        last = max(n for n, (b, what) in enumerate(order) if b in earlier and what == "COMMITTED")
        assert last < min(n for n, (b, _) in enumerate(order) if b in later)
    told = [line for line in lines if line["event"] == "box" and line["box"] == "press1"]
    assert {"DOWNLOADING", "TRIAL"} <= {line["step"] for line in told}
    assert any(line["held_bytes"] < line["total_bytes"] for line in told)


def test_nobody_follows_a_canary_that_failed(release: Release, box: Box, broker: Broker) -> None:
    box("press1", Fate.FAILS)
    second = box("press2", Fate.COMMITS)
    code, documents = release("push", "toy", 3, *boxes("press1", "press2"), "--max-failures", 1)
    assert code == 1
    assert stages(documents) == {"press1": "FAILED", "press2": "WAITING"}
    assert documents[-1]["boxes"][0]["reason"] == "TRIAL_FAILED"
    assert documents[-1]["boxes"][0]["outcome"] == "ROLLBACK_COMPLETE"
    assert "canary press1" in documents[-1]["stopped_because"]
    assert second.jobs == []


def test_too_many_failures_cancel_what_is_under_way(
    release: Release, box: Box, broker: Broker
) -> None:
    box("a", Fate.COMMITS)
    box("b", Fate.REFUSES)
    hanging = box("c", Fate.HANGS)
    box("d", Fate.SLEEPS)
    named = boxes("a", "b", "c", "d")
    code, documents = release("push", "toy", 3, *named, "--stuck-s", 3, "--watch")
    assert code == 1
    assert stages(documents) == {"a": "COMMITTED", "b": "FAILED", "c": "CANCELED", "d": "STUCK"}
    assert hanging.state.job is not None
    assert hanging.state.job.status is Status.CANCELED
    # Whoever was away finds no job any more when it comes back, and an order not to take it.
    assert kept(broker, "skilld/box/d/ota/job/toy") == b""
    assert b"cancel" in kept(broker, "skilld/box/d/ota/order/toy")
    assert kept(broker, "skilld/box/a/ota/job/toy") != b""


def test_a_failure_within_the_limit_lets_the_others_go_on(release: Release, box: Box) -> None:
    box("a", Fate.COMMITS)
    box("b", Fate.REFUSES)
    box("c", Fate.COMMITS)
    named = boxes("a", "b", "c")
    code, documents = release("push", "toy", 3, *named, "--wave", 1, "--max-failures", "34%")
    assert code == 1  # not all of them have it
    assert documents[-1]["ending"] == "INCOMPLETE"
    assert stages(documents) == {"a": "COMMITTED", "b": "FAILED", "c": "COMMITTED"}


def test_one_wave_is_sent_and_left(release: Release, box: Box, broker: Broker) -> None:
    code, documents = release("push", "toy", 3, "--box", "press1", "--id", "j1")
    assert (code, documents[0]["ending"], stages(documents)) == (0, None, {"press1": "ASKED"})
    committed = threading.Event()
    box(
        "press1",
        Fate.COMMITS,
        on_report=lambda r: committed.set() if r.outcome is Outcome.COMMITTED else None,
    )
    assert committed.wait(PATIENCE_S)
    # Said again, it is done; the box is not troubled once more.
    code, documents = release("push", "toy", 3, "--box", "press1", "--id", "j1", "--watch")
    assert (code, stages(documents)) == (0, {"press1": "COMMITTED"})


def test_a_box_that_has_the_release_says_so_itself(release: Release, box: Box) -> None:
    there = box("press1", Fate.HANGS, active=3)  # a download would never end
    box("press2", Fate.COMMITS, active=2)
    code, documents = release("push", "toy", 3, *boxes("press1", "press2"), "--id", "j2")
    assert code == 0
    assert documents[-1]["boxes"][0]["reason"] == "ALREADY_ACTIVE"
    assert there.jobs == ["j2"]


def test_broken_and_false_reports_are_not_believed(
    release: Release, box: Box, broker: Broker
) -> None:
    lie = Report(
        box="press1",
        release="toy",
        job="j1",
        seq=3,
        status=Status.SUCCEEDED,
        outcome=Outcome.COMMITTED,
    )
    box("press1", Fate.SLEEPS).say(b"\xff not a report")
    liar = box("press2", Fate.SLEEPS)
    liar.say(lie.to_bytes())  # in its own topic, for another
    named = boxes("press1", "press2")
    words = ("--id", "j1", "--stuck-s", 1, "--canary", 0, "--watch")
    code, lines = release("push", "toy", 3, *named, *words)
    assert (code, stages(lines)) == (1, {"press1": "STUCK", "press2": "STUCK"})
    problems = [line["message"] for line in lines if line["event"] == "problem"]
    assert any("press1: what it says of toy is not understood" in line for line in problems)
    assert any("press2: speaks as press1" in line for line in problems)


def run_apart(broker: Broker, key: Path, *words: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "skilld.cli", "release", *map(str, words)),
            *("--key", str(key), "--broker", broker.address),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_interrupted_it_leaves_boxes_alone_and_goes_on_later(
    release: Release, box: Box, broker: Broker, key: Path
) -> None:
    tries = threading.Event()
    first = box("a", Fate.TRIES, on_report=lambda r: tries.set() if r.step is Step.TRIAL else None)
    second = box("b", Fate.COMMITS)
    words = ("push", "toy", 3, *boxes("a", "b"), "--id", "j1")
    with run_apart(broker, key, *words, "--watch") as process:
        assert tries.wait(PATIENCE_S)
        # A report on its way is no reason to wait: the command is up since the box has its job.
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert "--id j1" in complaint
    assert "skilld release cancel j1" in complaint
    assert first.state.job is not None
    assert first.state.job.step is Step.TRIAL
    assert second.jobs == []
    code, sent = release("commit", "j1")
    assert (code, sent[0]) == (0, [{"box": "a", "release": "toy", "sent": True, "why": ""}])
    code, documents = release(*words)
    assert code == 0
    assert set(stages(documents).values()) == {"COMMITTED"}
    assert (first.jobs, second.jobs) == (["j1"], ["j1"])


def test_an_id_is_for_one_job(release: Release, box: Box) -> None:
    release("push", "toy", 3, "--box", "press1", "--id", "j1")
    assert release("push", "toy", 4, "--box", "press1", "--id", "j1") == (3, [])
    assert release("push", "toy", 3, *boxes("press1", "press2"), "--id", "j1") == (3, [])


def test_a_broker_that_goes_away_is_waited_for(release: Release, box: Box, broker: Broker) -> None:
    """It forgets what it kept; boxes say it again, and who has a job needs no other."""
    begun = threading.Event()

    def on_report(report: Report) -> None:
        if report.step is not Step.TRIAL:
            return
        if begun.is_set():  # it is back, and so is the box
            first.feed(trial())
        else:
            begun.set()
            threading.Thread(target=restart).start()

    def restart() -> None:
        broker.stop()
        broker.start()

    first = box("a", Fate.TRIES, on_report=on_report)
    second = box("b", Fate.COMMITS)
    code, lines = release("push", "toy", 3, *boxes("a", "b"), "--id", "j1", "--watch")
    assert code == 0
    assert set(stages(lines).values()) == {"COMMITTED"}
    assert (first.jobs, second.jobs) == (["j1"], ["j1"])
    problems = [line["message"] for line in lines if line["event"] == "problem"]
    assert any("connection to the broker is lost" in line for line in problems)
    assert any("connected to the broker" in line for line in problems)


def test_without_a_terminal_each_change_is_a_line(
    broker: Broker, key: Path, box: Box, capsys: pytest.CaptureFixture[str]
) -> None:
    box("press1", Fate.COMMITS)
    box("press2", Fate.REFUSES)
    words = ["push", "toy", "3", *boxes("press1", "press2"), "--watch"]
    assert main(["release", *words, "--key", str(key), "--broker", broker.address]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "[1/2] press1 UNDER_WAY TRIAL IN_PROGRESS" in lines
    assert lines.index("[1/2] press1 COMMITTED SUCCEEDED") < lines.index("[2/2] press2 ASKED")
    assert any(line.startswith("[2/2] press2 FAILED REJECTED") for line in lines)
    assert lines[-1].startswith("STOPPED: toy 3: wave 2 of 2, 1 committed, 1 failed, 2 in all")


def test_groups_are_lists_of_boxes(
    release: Release, box: Box, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("press1", "press2", "oven1"):
        box(name, Fate.COMMITS)
    fleet = tmp_path / "fleet.toml"
    fleet.write_text('[groups]\nline1 = ["press1", "press2"]\nhot = ["oven1", "press1"]\n')
    words = ("--group", "line1", "--group", "hot", "--fleet", fleet)
    code, documents = release("push", "toy", 3, *words)
    assert (code, list(stages(documents))) == (0, ["press1", "press2", "oven1"])
    assert release("push", "toy", 3, "--group", "line2", "--fleet", fleet) == (3, [])
    assert release("push", "toy", 3, "--group", "line1") == (3, [])
    fleet.write_text('[group]\nline1 = ["press1"]\n')
    assert main(["release", "fleet", "--broker", "127.0.0.1:1", *map(str, words)]) == 3
    assert "did you mean `groups`" in " ".join(capsys.readouterr().err.split())


def test_a_newer_job_of_somebody_else_is_not_pushed_aside(
    release: Release, box: Box, broker: Broker, key: Path
) -> None:
    newer = Job(id="theirs", issued_s=int(time.time()) + 3600, skill="toy", seq=9)
    signer = read_signer(key, passphrase=None)
    topic = "skilld/box/a/ota/job/toy"
    publish.single(topic, sign_job(newer, [signer]), 1, True, port=broker.port)
    first = box("a", Fate.COMMITS)
    code, documents = release("push", "toy", 3, *boxes("a", "b"))
    assert (code, stages(documents)) == (1, {"a": "FAILED", "b": "WAITING"})
    assert documents[-1]["boxes"][0]["reason"] == "NEWER_JOB"
    assert held_job(kept(broker, topic)) == newer
    assert first.jobs == ["theirs"]


def test_one_push_may_follow_another_at_once(release: Release, box: Box) -> None:
    first = box("a", Fate.COMMITS)
    for seq in (3, 4, 5):
        code, _ = release("push", "toy", seq, "--box", "a", "--watch")
        assert code == 0
    assert (first.state.active, first.state.previous) == (5, 4)

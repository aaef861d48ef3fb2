"""`run`: sets a field site up, and plays rounds until enough kills were made."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from field.box_config import BESIDE, box_configs
from field.broker import SiteBroker, Team
from field.caller import Caller
from field.processes import BoxProcess, depot_process
from field.releases import ReleaseSite

from chaos_updates.link import LinkRule
from chaos_updates.proxy import BadLine
from chaos_updates.rounds import Rounds
from chaos_updates.scene import BrokenPromiseError, Scene
from chaos_updates.tally import Tally
from skilld.core.manifest import read_manifest

BOX, DEPOT = "box1", "depot"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run shall do.

    Attributes:
        engines: shipped ones, to make versions of.
        num_kills: of the daemon.
        seed: of everything that is not left to time.
        rule: how bad the line is.
        max_s: after which no new round begins; None for no limit.
        pause_s: of each caller, between two calls.
    """

    engines: Sequence[Path]
    num_kills: int
    seed: int
    rule: LinkRule
    max_s: float | None = None
    pause_s: float = 0.05


Show = Callable[[str, Tally], None]


def run(plan: Plan, folder: Path, *, show: Show) -> Tally:
    """Play.

    Args:
        plan: see there.
        folder: for everything; logs are left in it.
        show: told a line about what is going on, again and again.

    Raises:
        RuntimeError: mosquitto is missing, or something that is not under test did not start.
    """
    site = ReleaseSite(folder, plan.engines, seed=plan.seed)
    for name in ("broker", "box"):
        (folder / name).mkdir()
    box, store = BoxProcess(folder / "box"), folder / "box/store"
    digests = {name: read_manifest(path).digest for name, path in site.engines.items()}
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(SiteBroker(folder / "broker"))
        team = stack.enter_context(Team(broker.port, box=BOX, depot=DEPOT))
        stack.enter_context(
            depot_process(site.repository, f"127.0.0.1:{broker.port}", folder / "depot.log")
        )
        line = stack.enter_context(BadLine(broker.port, plan.rule, seed=plan.seed))
        configs = box_configs(site, store, port=line.port, box=BOX, depot=DEPOT)
        stack.callback(box.stop)
        box.start(configs[BESIDE], form=BESIDE)
        box.wait_ready()
        callers = {
            name: stack.enter_context(Caller(box.address, cases, pause_s=plan.pause_s))
            for name, cases in site.cases.items()
        }
        scene = Scene(site, team, broker, line, box, callers, store, configs)
        rounds = Rounds(
            scene,
            random.Random(plan.seed),
            num_kills=plan.num_kills,
            digests=digests,
            on_progress=lambda text: show(text, rounds.tally),
        )
        _play(rounds, plan)
        for text in team.bad_reports:
            rounds.tally.fault(f"a report at the broker: {text}")
        rounds.tally.line_bytes = line.num_bytes
        rounds.tally.line = {
            "connections": line.num_connections,
            "cuts": line.num_cuts,
            "segments lost": line.num_lost,
        }
    return rounds.tally


def _play(rounds: Rounds, plan: Plan) -> None:
    until_s = None if plan.max_s is None else time.monotonic() + plan.max_s
    while rounds.kills_left > 0 and (until_s is None or time.monotonic() < until_s):
        try:
            rounds.play()
        except (BrokenPromiseError, RuntimeError) as error:
            rounds.tally.fault(str(error))
            return

"""The short form of `tools/chaos updates`: a real daemon, killed while it updates and is called."""

from __future__ import annotations

from pathlib import Path

import pytest
from chaos_updates.link import LinkRule
from chaos_updates.run import Plan, run
from field.caller import ANSWERED

SHIPPED = Path(__file__).parents[2] / "engines/plc-triage/engine"
NUM_KILLS = 6
# So seeded, one release is good and one fails, and both are killed in several steps.
SEED = 9


@pytest.mark.slow
def test_a_box_killed_again_and_again_ends_updated_and_every_call_is_accounted_for(
    tmp_path: Path,
) -> None:
    rule = LinkRule(delay_s=0.005, loss=0.02)
    plan = Plan(engines=[SHIPPED], num_kills=NUM_KILLS, seed=SEED, rule=rule, pause_s=0.05)
    tally = run(plan, tmp_path, show=lambda *_: None)
    told = f"{tally}\n{(tmp_path / 'box/box.log').read_text()[-4000:]}"
    assert not tally.faults, told
    assert sum(tally.kills.values()) == NUM_KILLS
    assert any("COMMITTED" in how for how in tally.updates), told
    assert tally.calls[ANSWERED] > 0

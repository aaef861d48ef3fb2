"""`skilld plan` as a shell sees it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from skilld.cli import main

SHIPPED = str(Path(__file__).parents[2] / "engines/plc-triage")


def test_a_set_that_fits_is_code_0_and_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", SHIPPED, "--budget", "2GiB"]) == 0
    text = capsys.readouterr().out
    assert "plc-triage" in text
    assert "calls at once" in text
    assert text.rstrip().endswith("fits")


def test_a_set_that_does_not_fit_is_code_1_and_the_way_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["plan", SHIPPED, "--budget", "100MiB"]) == 1
    text = " ".join(capsys.readouterr().out.split())
    assert "does not fit: 1 engine needs" in text
    assert "give it" in text


def test_json_has_every_figure_and_the_same_answer(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["plan", SHIPPED, "--budget", "1GiB", "--json", "--kv-budget"]
    assert main([*arguments, "64MiB"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["fits"]
    assert plan["kv_budget_bytes"] == 64 << 20
    (engine,) = plan["engines"]
    assert engine["need"]["engine"] == "plc-triage"
    assert engine["typical"][0]["with_minima"] > 0
    assert main([*arguments, "2GiB"]) == 1
    plan = json.loads(capsys.readouterr().out)
    assert not plan["fits"]
    assert plan["advice"] in plan["explanation"]


def test_the_configuration_file_may_name_engines_and_shares(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "skilld.toml"
    path.write_text(
        f'engines = ["{SHIPPED}"]\n[memory]\nkv_budget_bytes = "32MiB"\ntotal_bytes = "1GiB"\n'
        '[shares.plc-triage]\nkv_min_bytes = "8MiB"\n'
    )
    assert main(["plan", "--config", str(path), "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["total_bytes"] == 1 << 30
    assert plan["kv_budget_bytes"] == 32 << 20
    assert plan["kv_min_bytes"] == 8 << 20


def test_no_engine_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--budget", "1GiB"]) == 3
    assert "NO_ENGINE" in capsys.readouterr().err


@pytest.mark.parametrize("budget", ["much", "-5", ""])
def test_a_budget_that_is_no_amount_is_wrong_usage(
    capsys: pytest.CaptureFixture[str], budget: str
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["plan", SHIPPED, f"--budget={budget}"])
    assert left.value.code == 2
    assert "is not an amount of memory" in capsys.readouterr().err

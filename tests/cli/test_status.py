"""What `skilld top` shows of a status message."""

from __future__ import annotations

import io

from rich.console import Console

from skilld.cli.status import top_view
from skilld.transports.grpc_client import EngineMessage, StatusMessage

MIB = 1 << 20


def a_status() -> StatusMessage:
    status = StatusMessage(version="1.2.3", pid=77, kv_limit_bytes=96 * MIB)
    status.kv.budget_bytes = 96 * MIB
    for name, device_ms in (("first", 300.0), ("second", 100.0)):
        engine = EngineMessage(name=name, device_ms=device_ms, step_ms=1.25)
        engine.kv.budget_bytes = 96 * MIB
        status.engines.append(engine)
    return status


def shown(status: StatusMessage, before: StatusMessage | None = None) -> str:
    console = Console(file=io.StringIO(), width=80, color_system=None)
    console.print(top_view(status, before))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def line_of(text: str, word: str) -> str:
    return next(line for line in text.splitlines() if word in line)


def test_the_bar_shows_pinned_firm_revocable_and_cached_against_the_budget() -> None:
    status = a_status()
    kv = status.engines[0].kv
    kv.pinned_bytes, kv.firm_bytes = 8 * MIB, 24 * MIB  # 2 cells of 24, and 4 more
    kv.revocable_bytes, kv.cached_bytes = 12 * MIB, 32 * MIB
    assert "██████▓▓▓▒▒▒▒▒▒▒▒·······" in line_of(shown(status), "first")


def test_whatever_is_there_has_a_cell_and_the_bar_never_overflows() -> None:
    status = a_status()
    kv = status.engines[0].kv
    kv.revocable_bytes = kv.cached_bytes = 1
    assert "▓▒······················" in line_of(shown(status), "first")
    kv.firm_bytes, kv.cached_bytes = 96 * MIB, 96 * MIB
    assert "█" * 24 + " " in line_of(shown(status), "first")


def test_device_time_is_that_between_two_looks() -> None:
    status = a_status()
    text = shown(status)
    assert "75%" in text
    assert "25%" in text
    earlier = a_status()
    earlier.engines[0].device_ms = 290.0
    earlier.engines[1].device_ms = 10.0
    text = shown(status, earlier)
    assert "10%" in text
    assert "90%" in text


def test_rates_are_shares_and_nothing_is_no_zero() -> None:
    status = a_status()
    engine = status.engines[0]
    engine.num_prompt_tokens, engine.num_prefix_tokens = 200, 150
    engine.num_draft_tokens, engine.num_accepted_tokens = 10, 6
    first, second = shown(status).split("second")
    assert "75%" in first
    assert "60%" in first
    assert " - " in second


def test_a_limit_below_the_budget_is_said_and_only_then() -> None:
    status = a_status()
    assert "memory is short" not in shown(status)
    status.kv_limit_bytes = 40 * MIB
    assert "40.0 MiB while memory is short" in shown(status)


def test_the_ledger_stands_beside_what_is_resident() -> None:
    status = a_status()
    status.kv.used_bytes, status.kv.cached_bytes = 3 * MIB, 2 * MIB
    status.kv.resident_bytes = 6 * MIB
    assert "ledger 5.0 MiB, resident 6.0 MiB" in shown(status)


def test_it_fits_a_narrow_terminal() -> None:
    status = a_status()
    engine = status.engines[0]
    engine.kv.used_bytes = engine.kv.cached_bytes = 1000 * MIB
    engine.kv_min_bytes = engine.kv.budget_bytes = 1000 * MIB
    engine.tokens_per_s, engine.num_preemptions = 12345.0, 123456
    text = shown(status)
    assert "…" not in text
    assert "1000.0 MiB + 1000.0 MiB cached" in text

"""Engine folders become a plan without their weights, and a set without room is refused."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from skilld.app.box_plan import check_fits, plan_box
from skilld.app.host_memory import HostMemory
from skilld.config import Config, MemoryConfig, ShareConfig, parse_bytes
from skilld.core.errors import ArtefactError
from skilld.core.manifest import read_manifest, write_manifest
from skilld.skills import read_skill

MIB = 1 << 20
SHIPPED = Path(__file__).parents[2] / "engines/plc-triage/engine"
GiveFolder = Callable[[str], Path]


@pytest.fixture
def folder(tmp_path: Path) -> GiveFolder:
    """Folders like the shipped engine's under other names, without its weights."""

    def give(name: str) -> Path:
        engine_dir = tmp_path / "engines" / name
        shutil.copytree(SHIPPED, engine_dir, ignore=shutil.ignore_patterns("model.*"))
        manifest = read_manifest(engine_dir)
        write_manifest(engine_dir, manifest.model_copy(update={"name": name}))
        return engine_dir

    return give


@pytest.fixture
def machine(tmp_path: Path) -> Callable[[int], HostMemory]:
    """Machines of so much memory."""

    def of(total_bytes: int) -> HostMemory:
        (tmp_path / "proc").mkdir(exist_ok=True)
        (tmp_path / "proc/meminfo").write_text(f"MemTotal: {total_bytes // 1024} kB\n")
        return HostMemory(tmp_path / "proc", cgroup=tmp_path / "none")

    return of


def test_a_plan_is_made_from_manifest_skills_and_golden_cases(folder: GiveFolder) -> None:
    plan = plan_box(Config(engines=(folder("a"), folder("b"))), total_bytes=1024 * MIB)
    assert plan.fits
    assert [engine.need.engine for engine in plan.engines] == ["a", "b"]
    (typical,) = plan.engines[0].typical
    (worst,) = plan.engines[0].worst
    cases = [
        json.loads(line) for line in (SHIPPED / "golden.jsonl").read_text("utf-8").splitlines()
    ]
    longest = max(len("\n".join(case["input"]["lines"])) for case in cases)
    assert 20 < typical.prompt_tokens < longest
    skill = read_skill(SHIPPED / "skills/plc-triage.toml")
    assert typical.max_tokens == worst.max_tokens == skill.decoding.max_tokens
    assert worst.prompt_tokens == read_manifest(SHIPPED).context_limit - worst.max_tokens
    assert typical.call_bytes < worst.call_bytes == plan.engines[0].need.min_bytes
    assert typical.with_minima >= worst.with_minima > 0


def test_a_fixed_beginning_of_prompts_is_pinned(folder: GiveFolder) -> None:
    engine_dir = folder("a")
    bare = plan_box(Config(engines=(engine_dir,)), total_bytes=1024 * MIB)
    assert bare.engines[0].pinned_bytes == 0  # one token is not worth a block
    skill = engine_dir / "skills/plc-triage.toml"
    text = skill.read_text("utf-8")
    skill.write_text(text.replace('prompt = "', 'prompt = "' + "system: be brief and exact. " * 9))
    pinned = plan_box(Config(engines=(engine_dir,)), total_bytes=1024 * MIB).engines[0]
    assert pinned.pinned_bytes > 0
    assert pinned.pinned_bytes % pinned.need.block_bytes == 0


def test_a_share_of_the_configuration_sets_guarantee_and_cap(folder: GiveFolder) -> None:
    share = ShareConfig(kv_min_bytes=4 * MIB, kv_max_bytes=6 * MIB)
    plan = plan_box(
        Config(engines=(folder("a"), folder("b")), shares={"a": share}), total_bytes=1024 * MIB
    )
    assert plan.kv_min_bytes == 4 * MIB + plan.engines[1].need.min_bytes
    assert plan.engines[0].worst[0].alone == 6 * MIB // plan.engines[0].worst[0].call_bytes


def test_what_the_machine_has_is_enough_or_the_set_is_refused(
    folder: GiveFolder, machine: Callable[[int], HostMemory]
) -> None:
    config = Config(
        engines=(folder("a"), folder("b")),
        memory=MemoryConfig(kv_budget_bytes=64 * MIB, reserve_bytes=100 * MIB),
    )
    needed_bytes = plan_box(config, total_bytes=0, kv_budget_bytes=64 * MIB).needed_bytes
    check_fits(config, machine(needed_bytes + 101 * MIB))
    with pytest.raises(ArtefactError) as refused:
        check_fits(config, machine(needed_bytes + 99 * MIB))
    assert refused.value.reason == "DOES_NOT_FIT"
    assert "2 engines need " in refused.value.message
    assert re.search(r"lower memory\.kv_budget_bytes to 6[0-3]MiB", refused.value.message)
    assert str(config.engines[0].parent) in refused.value.message


def test_a_configured_total_counts_instead_of_the_machine(
    folder: GiveFolder, machine: Callable[[int], HostMemory]
) -> None:
    memory = MemoryConfig(kv_budget_bytes=64 * MIB, total_bytes=100 * MIB)
    with pytest.raises(ArtefactError, match=r"of 100 MiB"):
        check_fits(Config(engines=(folder("a"),), memory=memory), machine(1 << 40))


def test_guarantees_beyond_the_cache_budget_are_refused(
    folder: GiveFolder, machine: Callable[[int], HostMemory]
) -> None:
    engines = (folder("a"), folder("b"))
    kv_min_bytes = plan_box(Config(engines=engines), total_bytes=1024 * MIB).kv_min_bytes
    memory = MemoryConfig(kv_budget_bytes=kv_min_bytes - MIB // 2)
    with pytest.raises(ArtefactError, match=r"guaranteed .* raise memory\.kv_budget") as refused:
        check_fits(Config(engines=engines, memory=memory), machine(1 << 40))
    advised = re.search(r"kv_budget_bytes to (\w+)", refused.value.message)
    assert advised is not None
    assert 0 <= parse_bytes(advised[1]) - kv_min_bytes < MIB


def test_an_engine_that_cannot_be_read_does_not_count(
    folder: GiveFolder, machine: Callable[[int], HostMemory]
) -> None:
    good, bad = folder("a"), folder("b")
    (bad / "manifest.json").write_text("{")
    config = Config(engines=(good, bad), memory=MemoryConfig(kv_budget_bytes=3 * MIB))
    check_fits(config, machine(1 << 40))


def test_a_kernel_that_does_not_tell_its_memory_refuses_nothing(
    folder: GiveFolder, tmp_path: Path
) -> None:
    host = HostMemory(tmp_path / "none", cgroup=tmp_path / "none")
    check_fits(Config(engines=(folder("a"),)), host)

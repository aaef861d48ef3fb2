"""The memory plan of a box: reads manifests and skills, and refuses a set that does not fit."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from skilld.app.box import MIN_PINNED_TOKENS
from skilld.app.host_memory import HostMemory
from skilld.app.resident import find_engines
from skilld.config import Config, ShareConfig
from skilld.core.errors import ArtefactError
from skilld.core.manifest import EngineManifest, read_manifest
from skilld.kvcache.engine_need import EngineNeed, SkillNeed, need_of
from skilld.kvcache.memory_plan import MemoryPlan, amount, plan_memory
from skilld.skills import RegisteredSkill
from skilld.skills.compilation import SKILLS_DIR, TOKENIZER_NAME
from skilld.skills.skill import read_skill
from skilld.skills.tokenizer import Tokenizer


def plan_box(config: Config, *, total_bytes: int, kv_budget_bytes: int | None = None) -> MemoryPlan:
    """What the engines of a configuration need, and how many calls of each skill fit.

    Args:
        config: of the daemon.
        total_bytes: for everything.
        kv_budget_bytes: None gives the cache what weights and workspace leave.

    Raises:
        ArtefactError: a folder holds no engine, or one that cannot be read.
    """
    needs = []
    for path in find_engines(config.engines):
        manifest = read_manifest(path)
        needs.append(_need_of(manifest, config, skills=_skill_needs(path, manifest)))
    return plan_memory(needs, total_bytes=total_bytes, kv_budget_bytes=kv_budget_bytes)


def plan_served(config: Config, host: HostMemory) -> MemoryPlan | None:
    """What `serve` would need here; None when nobody knows how much memory there is.

    Engines that cannot be read are not counted: they are refused one by one when they load.

    Raises:
        ArtefactError: a folder holds no engine.
    """
    manifests: dict[str, EngineManifest] = {}
    for path in find_engines(config.engines):
        with contextlib.suppress(ArtefactError):
            manifest = read_manifest(path)
            manifests.setdefault(manifest.name, manifest)  # a second of one name is refused
    return plan_loaded(config, host, list(manifests.values()))


def plan_loaded(
    config: Config, host: HostMemory, manifests: Sequence[EngineManifest]
) -> MemoryPlan | None:
    """What these engines would need here, loaded together; two may be versions of one.

    None when nobody knows how much memory there is.
    """
    total_bytes = total_bytes_of(config, host)
    if total_bytes is None:
        return None
    return plan_memory(
        [_need_of(manifest, config, skills=()) for manifest in manifests],
        total_bytes=total_bytes,
        kv_budget_bytes=config.memory.kv_budget_bytes,
    )


def check_fits(config: Config, host: HostMemory) -> None:
    """Refuse to serve engines that this machine has no room for.

    Raises:
        ArtefactError: reason DOES_NOT_FIT; names the sums and the way out.
    """
    plan = plan_served(config, host)
    if plan is not None and not plan.fits:
        folder = Path(os.path.commonpath([path.absolute() for path in config.engines]))
        raise ArtefactError(explain(plan), path=folder, reason="DOES_NOT_FIT")


def total_bytes_of(config: Config, host: HostMemory) -> int | None:
    """Memory for everything, as configured or as the machine has it; None if nobody knows."""
    memory = config.memory
    if memory.total_bytes is not None:
        return memory.total_bytes
    limit_bytes = host.limit_bytes
    return None if limit_bytes is None else max(0, limit_bytes - memory.reserve_bytes)


def explain(plan: MemoryPlan) -> str:
    """Why a plan does not fit and what to do, in one sentence."""
    weights_bytes = sum(engine.need.weights_bytes for engine in plan.engines)
    workspace_bytes = sum(engine.need.workspace_bytes for engine in plan.engines)
    kv_bytes = plan.needed_bytes - plan.process_bytes - weights_bytes - workspace_bytes
    is_one = len(plan.engines) == 1
    engines = "1 engine" if is_one else f"{len(plan.engines)} engines"
    if plan.needed_bytes > plan.total_bytes:
        parts = ", ".join(
            f"{name} {amount(num_bytes)}"
            for name, num_bytes in (
                ("process", plan.process_bytes),
                ("weights", weights_bytes),
                ("workspace", workspace_bytes),
                ("KV cache", kv_bytes),
            )
        )
        verb = "needs" if is_one else "need"
        needed = f"{engines} {verb} {amount(plan.needed_bytes)} ({parts})"
        problem = f"{needed} of {amount(plan.total_bytes)}"
    else:
        verb = "is" if is_one else "are"
        guaranteed = f"{engines} {verb} guaranteed {amount(plan.kv_min_bytes)} of KV cache"
        problem = f"{guaranteed}, the budget is {amount(plan.kv_budget_bytes)}"
    return f"{problem}: {plan.advice}" if plan.advice else problem


def _need_of(
    manifest: EngineManifest, config: Config, *, skills: tuple[SkillNeed, ...]
) -> EngineNeed:
    share = config.shares.get(manifest.name, ShareConfig())
    return need_of(
        manifest,
        skills,
        config=config.engine,
        min_bytes=share.kv_min_bytes,
        max_bytes=share.kv_max_bytes,
    )


def _skill_needs(engine_dir: Path, manifest: EngineManifest) -> tuple[SkillNeed, ...]:
    """Of every skill: its limits, its longest golden prompt, and what all its prompts share."""
    from skilld.builder.golden import GOLDEN_NAME, read_golden

    tokenizer = Tokenizer(engine_dir / TOKENIZER_NAME)
    golden = read_golden(engine_dir / GOLDEN_NAME)
    needs = []
    for path in sorted((engine_dir / SKILLS_DIR).glob("*.toml")):
        skill = read_skill(path)
        entry = RegisteredSkill(skill, manifest, tokenizer, constraints={})
        prompts = [entry.prepare(c.input).prompt for c in golden if c.skill == skill.id]
        needs.append(
            SkillNeed(
                skill=skill.id,
                max_tokens=skill.decoding.max_tokens,
                prompt_tokens=max(map(len, prompts), default=None),
                prefix_tokens=len(entry.prefix) if len(entry.prefix) >= MIN_PINNED_TOKENS else 0,
            )
        )
    return tuple(needs)

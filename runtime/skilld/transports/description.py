"""What a box says of its skills and of itself, as `skilld.v1` messages. No I/O."""

from __future__ import annotations

from skilld.core.errors import UnavailableError
from skilld.service import BoxStatus, EngineStatus, RefusedEngine
from skilld.skills import RegisteredSkill
from skilld.transports.text import json_text
from skilld.transports.wire import CLASS_VALUES, duration_of
from skilld.v1 import admin_service_pb2 as admin
from skilld.v1 import skill_service_pb2 as v1

# Figures of `SkillService.snapshot` that have the same name on the wire, less their "kv_".
_ACCOUNT_FIGURES = (
    "reserved_bytes",
    "firm_bytes",
    "revocable_bytes",
    "used_bytes",
    "cached_bytes",
    "pinned_bytes",
    "resident_bytes",
)
# Figures of `SkillService.snapshot` that have the same name on the wire.
_FIGURES = (
    "kv_min_bytes",
    "running",
    "waiting",
    "step_ms",
    "tokens_per_s",
    "mean_batch",
    "num_steps",
    "num_output_tokens",
    "busy_ms",
    "ended",
    "weight",
    "device_ms",
    "num_prompt_tokens",
    "num_prefix_tokens",
    "num_draft_tokens",
    "num_accepted_tokens",
    "num_deadline_refusals",
    "num_deadline_misses",
    "num_preemptions",
    "num_recomputed_tokens",
)


def skill_of(entry: RegisteredSkill, *, is_draining: bool, max_message_bytes: int) -> v1.Skill:
    """Describe a skill that is loaded."""
    skill, manifest = entry.skill, entry.manifest
    message = v1.Skill(
        id=skill.id,
        version=skill.version,
        description=skill.description,
        input_schema_json=json_text(skill.input_schema),
        output_schema_json=json_text(skill.public_output_schema),
        abstain_reasons=skill.abstain.reasons,
        limits=v1.SkillLimits(
            max_tokens=skill.decoding.max_tokens,
            timeout=duration_of(skill.timeout_s),
            context_tokens=manifest.context_limit,
            max_message_bytes=max_message_bytes,
            request_class=CLASS_VALUES[skill.request_class],
        ),
        engine=v1.SkillEngine(
            name=manifest.name,
            version=manifest.version,
            digest=entry.engine_digest,
            precision=manifest.precision.value,
        ),
        state=v1.SKILL_STATE_SERVING,
    )
    if is_draining:
        message.state = v1.SKILL_STATE_DRAINING
        message.state_reason = UnavailableError.default_reason
        message.state_message = "the daemon is shutting down"
    return message


def refused_skill_of(skill_id: str, engine: RefusedEngine) -> v1.Skill:
    """Describe a skill whose engine did not load."""
    return v1.Skill(
        id=skill_id,
        state=v1.SKILL_STATE_UNAVAILABLE,
        state_reason=engine.error.reason,
        state_message=engine.error.message,
    )


def unavailable_skill_of(skill_id: str, error: UnavailableError) -> v1.Skill:
    """Describe a skill that cannot be called now."""
    return v1.Skill(
        id=skill_id,
        state=v1.SKILL_STATE_UNAVAILABLE,
        state_reason=error.reason,
        state_message=error.message,
    )


def status_response_of(
    status: BoxStatus, *, refused: tuple[RefusedEngine, ...], is_draining: bool
) -> admin.GetStatusResponse:
    """Write the operator's view."""
    engines = [_engine_of(engine) for engine in status.engines]
    return admin.GetStatusResponse(
        version=status.version,
        pid=status.pid,
        uptime=duration_of(status.uptime_s),
        resident_bytes=status.resident_bytes,
        draining=is_draining,
        kv=admin.KvLedgerStatus(
            budget_bytes=status.kv_budget_bytes,
            **{
                name: sum(getattr(engine.kv, name) for engine in engines)
                for name in _ACCOUNT_FIGURES
            },
        ),
        kv_limit_bytes=status.kv_limit_bytes,
        engines=engines,
        refused=[
            admin.RefusedEngine(
                path=engine.path,
                skills=engine.skills,
                reason=engine.error.reason,
                message=engine.error.message,
            )
            for engine in refused
        ],
    )


def _engine_of(engine: EngineStatus) -> admin.EngineStatus:
    manifest, figures = engine.manifest, engine.figures
    return admin.EngineStatus(
        name=manifest.name,
        version=manifest.version,
        digest=manifest.digest,
        precision=manifest.precision.value,
        path=str(engine.path),
        skills=engine.skills,
        load_duration=duration_of(engine.load_s),
        kv=admin.KvLedgerStatus(
            budget_bytes=figures["kv_max_bytes"],
            **{name: figures[f"kv_{name}"] for name in _ACCOUNT_FIGURES},
        ),
        **{name: figures[name] for name in _FIGURES},
    )

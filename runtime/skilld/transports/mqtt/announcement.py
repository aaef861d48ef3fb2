"""What a box says about itself: the retained status of the box and of every skill. Pure.

A description of a skill counts only while the status of its box is "online" or "draining": a box
that loses power cannot take its descriptions back, and the will changes its status alone.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from skilld.service import RefusedEngine
from skilld.skills import RegisteredSkill

Json = Any  # a JSON value
State = Literal["online", "draining", "offline"]


def status_payload(
    state: State, *, box: str, boot_id: str, version: str, engines: list[dict[str, str]]
) -> bytes:
    """The state of the box.

    Args:
        state: "online" takes calls, "draining" finishes those it has.
        box: its name.
        boot_id: another one after every start of the daemon.
        version: of skilld.
        engines: name, version and digest of each.
    """
    content: dict[str, Json] = {"state": state, "box": box, "boot_id": boot_id}
    if state != "offline":
        content |= {"version": version, "engines": engines}
    return _text(content)


def engines_of(entries: list[RegisteredSkill]) -> list[dict[str, str]]:
    """The engines behind some skills, by name."""
    engines = {
        entry.manifest.name: {
            "name": entry.manifest.name,
            "version": entry.manifest.version,
            "digest": entry.engine_digest,
        }
        for entry in entries
    }
    return [engines[name] for name in sorted(engines)]


def skill_payload(
    entry: RegisteredSkill, *, is_draining: bool, max_payload_bytes: int, with_schemas: bool = True
) -> bytes:
    """What a skill is.

    Args:
        entry: the skill.
        is_draining: no new calls, please.
        max_payload_bytes: of a request.
        with_schemas: False leaves them out, for brokers that take small messages only.
    """
    skill, manifest = entry.skill, entry.manifest
    schemas = {"input_schema": skill.input_schema, "output_schema": skill.public_output_schema}
    return _text(
        {
            "skill": skill.id,
            "version": skill.version,
            "description": skill.description,
            "state": "draining" if is_draining else "serving",
            "schema_digest": hashlib.sha256(_text(schemas)).hexdigest(),
            **(schemas if with_schemas else {}),
            "abstain_reasons": list(skill.abstain.reasons),
            "limits": {
                "max_tokens": skill.decoding.max_tokens,
                "timeout_s": skill.timeout_s,
                "context_tokens": manifest.context_limit,
                "max_payload_bytes": max_payload_bytes,
                "priority": skill.request_class.name.lower(),
            },
            "engine": {
                "name": manifest.name,
                "version": manifest.version,
                "digest": entry.engine_digest,
                "precision": manifest.precision.value,
            },
        }
    )


def refused_skill_payload(skill_id: str, engine: RefusedEngine) -> bytes:
    """A skill whose engine did not load, and why."""
    return _text(
        {
            "skill": skill_id,
            "state": "unavailable",
            "reason": engine.error.reason,
            "message": engine.error.message,
        }
    )


def paused_skill_payload(skill_id: str) -> bytes:
    """A skill whose engine is being replaced by another version; it comes back soon."""
    return _text(
        {
            "skill": skill_id,
            "state": "updating",
            "reason": "UPDATING",
            "message": "its engine is being replaced by another version",
        }
    )


def _text(content: dict[str, Json]) -> bytes:
    return json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()

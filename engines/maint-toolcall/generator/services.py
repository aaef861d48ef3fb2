"""Services: sets of tools about one subject, with the ways in which people ask for each."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .wording import slots_of

MOODS = ("say", "note", "q", "ja", "miss", "missja")
"""Orders, what is wanted without a verb, questions, Japanese; and the same with something missing.
Japanese has all moods in one."""

OPTIONAL = re.compile(r"\[([^\[\]]*)\]")
"""What may be left out."""

_CHOICE = re.compile(r"\([^()]*\|[^()]*\)")
_ENDINGS = frozenset({"jte", "jdo", "jni", "jsu", "jsd"})
"""Endings of Japanese orders, which families.toml has."""


@dataclass(frozen=True, slots=True)
class ServiceTool:
    """A tool of a service, not yet named; `args` are its parameters with "!", "~" or "?"."""

    id: str
    names: tuple[str, ...]
    descriptions: tuple[str, ...]
    args: tuple[tuple[str, str], ...]
    asked: Mapping[str, tuple[str, ...]]  # by mood

    def takes(self, param: str) -> bool:
        """It has such a parameter."""
        return any(name == param for name, _ in self.args)


@dataclass(frozen=True, slots=True)
class Service:
    """Tools about one subject; see the head of services.toml."""

    id: str
    topic: str
    is_held: bool
    slots: Mapping[str, Mapping[str, Any]]
    tools: tuple[ServiceTool, ...]
    near: Mapping[str, tuple[str, ...]]  # by language: what none of its tools does


def read_services(tables: Mapping[str, Any]) -> list[Service]:
    """The services of services.toml.

    Raises:
        ValueError: a wording names an argument that its tool does not have, or an order leaves
            one out that is required.
    """
    services = []
    for name, table in tables.items():
        slots = {key: _slot(spec) for key, spec in table["slots"].items()}
        tools = tuple(_tool(name, entry) for entry in table["tool"])
        near = {"en": tuple(table.get("near", ())), "ja": tuple(table.get("nearja", ()))}
        is_held = bool(table.get("held"))
        service = Service(name, table.get("topic", name), is_held, slots, tools, near)
        _check(service)
        services.append(service)
    return services


def pairs_held_out(services: Sequence[Service]) -> frozenset[str]:
    """One in eight pairs of two tools that are asked for in one request."""
    pairs = (f"{a.id}&{b.id}" for s in services if not s.is_held for a in s.tools for b in s.tools)
    return frozenset(pair for pair in pairs if zlib.crc32(pair.encode()) % 100 < 12)


def without_optional(template: str) -> str:
    """A template with nothing of what may be left out."""
    return OPTIONAL.sub("", template)


def params_of(template: str) -> set[str]:
    """The parameters that a template says."""
    return {name for name in slots_of(template) if not name.endswith("_u")} - _ENDINGS


def _tool(service: str, entry: Mapping[str, Any]) -> ServiceTool:
    names = tuple(entry["name"].split(","))
    args = tuple((arg.rstrip("!~?"), arg[-1]) for arg in entry.get("args", "").split())
    asked = {mood: tuple(entry.get(mood, ())) for mood in MOODS}
    tool_id = f"{service}.{names[0].replace(' ', '-')}"
    return ServiceTool(tool_id, names, tuple(entry["desc"].split("|")), args, asked)


def _slot(spec: Mapping[str, Any]) -> dict[str, Any]:
    """As it is written, with lists where a text has parts."""
    found = dict(spec)
    found["n"] = spec["n"].split(",")
    found["d"] = [one for one in spec.get("d", "").split("|") if one]
    if "e" in spec:
        found["e"] = [[part.split("|") for part in one.split(" / ")] for one in spec["e"]]
    for key in ("yes", "no", "jyes", "jno", "u"):
        if key in spec:
            found[key] = spec[key].split("|")
    return found


def _check(service: Service) -> None:
    for template in (one for templates in service.near.values() for one in templates):
        if wrong := params_of(template) - service.slots.keys():
            raise ValueError(f"{service.id}: {template!r} says {sorted(wrong)}")
    for tool in service.tools:
        required = {name for name, flag in tool.args if flag == "!"}
        known = {name for name, _ in tool.args}
        if missing := known - service.slots.keys():
            raise ValueError(f"{tool.id}: no slot {sorted(missing)} in its service")
        for mood, templates in tool.asked.items():
            for template in templates:
                if wrong := params_of(template) - known:
                    raise ValueError(f"{tool.id}: {template!r} says {sorted(wrong)}")
                if params_of("".join(_CHOICE.findall(template))):
                    raise ValueError(f"{tool.id}: {template!r} may leave out what it says")
                is_whole = required <= params_of(without_optional(template))
                if is_whole == mood.startswith("miss"):
                    raise ValueError(f"{tool.id}: {template!r} in the wrong list {mood!r}")

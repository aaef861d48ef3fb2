"""`answerable`: what is left of an output schema when there is nothing of some kinds to point at.

A mask that forbids marks can end in a blind alley: the model opens the quotes of a value and then
no mark is allowed. So for every set of kinds there is a grammar of its own, in which fields that
cannot be answered are null, left out, or empty.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from skilld.skills.pointing.schemas import nullable_span
from skilld.skills.pointing.tool_calls import is_call

Json = Any  # a parsed JSON value


def answerable(schema: Mapping[str, Json], kinds: Collection[str]) -> dict[str, Json] | None:
    """Narrow an output schema to what can be answered.

    Args:
        schema: of the skill, in the supported profile.
        kinds: of spans the input has at least one of.

    Returns:
        The schema, with `x-span` naming no other kinds; None if it has no answer at all.
    """
    if is_call(schema):
        return dict(schema)  # an input with tools always has one to call
    narrow = dict(schema)
    if "x-span" in schema:
        names = schema["x-span"]
        narrow["x-span"] = [n for n in ([names] if isinstance(names, str) else names) if n in kinds]
        return narrow if narrow["x-span"] else None
    if nullable_span(schema):
        return dict(schema)  # the empty string stays possible
    if "anyOf" in schema:
        options = [answerable(option, kinds) for option in schema["anyOf"]]
        narrow["anyOf"] = [option for option in options if option is not None]
        return narrow if narrow["anyOf"] else None
    if "properties" in schema:
        properties = {name: answerable(n, kinds) for name, n in schema["properties"].items()}
        narrow["properties"] = {name: n for name, n in properties.items() if n is not None}
        if not all(name in narrow["properties"] for name in schema.get("required", ())):
            return None
    if "items" in schema:
        items = answerable(schema["items"], kinds)
        if items is not None:
            narrow["items"] = items
        elif schema.get("minItems", 0) > len(schema.get("prefixItems", ())):
            return None
        else:
            del narrow["items"]
            narrow["maxItems"] = len(schema.get("prefixItems", ()))
    return narrow

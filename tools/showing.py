"""Inputs and answers of any skill as lines for people."""

from __future__ import annotations

import json
from typing import Any

_MAX_SHOWN_CHARS = 400


def input_lines(values: dict[str, Any]) -> str:
    """An input: its texts as they are, tools by their names and parameters."""
    shown = "\n".join(_field(value) for value in values.values())
    return shown if len(shown) <= _MAX_SHOWN_CHARS else shown[:_MAX_SHOWN_CHARS] + " ..."


def answer_lines(answer: Any) -> str:  # Any: a JSON value
    """An answer: a line per field; a line per item where items are records."""
    if not isinstance(answer, dict):
        return _value(answer)
    lines = []
    for name, value in answer.items():
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            lines += [_record(item) for item in value]
        else:
            lines.append(f"{name}: {_value(value)}")
    return "\n".join(lines)


def _field(value: Any) -> str:
    if not isinstance(value, list):
        return value if isinstance(value, str) else _value(value)
    return "\n".join(
        f"  tool {item['name']}({', '.join(item['parameters'].get('properties', {}))})"
        if isinstance(item, dict) and {"name", "parameters"} <= item.keys()
        else str(item)
        for item in value
    )


def _record(item: dict[str, Any]) -> str:
    if item.keys() == {"name", "arguments"}:
        arguments = ", ".join(f"{k}={_value(v)}" for k, v in item["arguments"].items())
        return f"{item['name']}({arguments})"
    return "- " + ", ".join(f"{name} {_value(value)}" for name, value in item.items())


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

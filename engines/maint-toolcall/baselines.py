"""What one would do without a model: pick tools by shared words, fill arguments by patterns.

Tools are ranked by the runtime itself, which knows the thesaurus of the skill
(`skilld.skills.pointing.tool_ranking`); arguments are filled by type, name and shape of the value.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from skilld.skills.pointing import SpanRules

Json = Any  # a parsed JSON value

SKILL = Path(__file__).parent / "skills" / "maint-toolcall.toml"
SPANS = SpanRules.model_validate(tomllib.loads(SKILL.read_text(encoding="utf-8"))["spans"])
NUMBER_WORDS = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "eight": 8, "ten": 10,
}  # fmt: skip
PRIORITY = (
    (
        r"asap|urgent|emergency|immediately|right away|至急|緊急",
        ("urgent", "critical", "emergency"),
    ),
    (r"important|high|重要", ("high", "major")),
    (r"normal|medium|usual", ("normal", "medium", "standard")),
    (r"no hurry|not urgent|can wait|no rush|low|minor", ("low", "minor")),
)
_CODE = re.compile(
    r"(?<![A-Za-z0-9])(?=[A-Za-z0-9%._/-]*\d)[A-Za-z%0-9]+(?:[-_./][A-Za-z0-9]+)*(?![A-Za-z0-9])"
)
_NAMED = re.compile(
    r"\b(?:line|cell|bay|hall|room|station|zone|robot|press|store|rack|building|shelf)"
    r" [A-Z0-9]{1,3}\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"(?<![\w.-])-?\d+(?:,\d{3})*(?:\.\d+)?(?=[a-z%°]*\b|[^\w])")
_DATE = re.compile(
    r"\d{4}-\d\d-\d\d|\d\d?[./]\d\d?(?:[./]\d{4})?|\b(?:tomorrow|today|tonight|(?:next |this )?"
    r"(?:mon|tues|wednes|thurs|fri|satur|sun)day|next (?:week|month)|end of (?:week|month))\b"
    r"|明日|今日|来週|月末",
    re.IGNORECASE,
)
_CLOCK = re.compile(r"\b\d{1,2}:\d\d(?: ?[ap]m)?\b|\b\d{1,2} ?[ap]m\b|\bnoon\b")
_PERSON = re.compile(r"(?<!^)(?<![.!?] )\b[A-Z][a-z]+(?: [A-Z][a-z]+)?\b|[一-鿿]{1,3}(?=さん)")
_FREE = re.compile(
    r"(?:because|saying|reason:?|note:?|comment:?|that says|with the text|due to|problem:?)\s+\"?"
    r"([^\".;]+)|「([^」]+)」"
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def rules(inputs: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any] | None]:
    """Answer by shared words and patterns."""
    return [_call(_clean(i["request"]), i["tools"]) for i in inputs]


def copy_slot(
    neighbour_input: Mapping[str, Any], neighbour: Mapping[str, Any], asked: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The neighbour's calls with the likest tools of the asked input, filled by patterns."""
    if "abstain" in neighbour:
        return neighbour
    request = _clean(asked["request"])
    made = []
    for call in neighbour["calls"]:
        wanted = set(_words(call["name"]))
        tool = max(asked["tools"], key=lambda t: len(wanted & set(_words(t["name"]))))
        made.append({"name": tool["name"], "arguments": _arguments(request, tool) or {}})
    return {"calls": made}


def _call(request: str, tools: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    if re.match(r"(?:please )?(?:do not|don't|never|no need)", request.lower()):
        return {"abstain": "no_tool"}
    made = []
    for clause in re.split(r"\band then\b|\bthen\b|\band\b|;|\balso\b|して、|\n", request):
        tool = _best(clause, tools)
        if tool is None:
            continue
        arguments = _arguments(clause, tool)
        if arguments is None:
            arguments = _arguments(request, tool)
        if arguments is None:
            return {"abstain": "missing_argument"}
        if not made or made[-1]["name"] != tool["name"]:
            made.append({"name": tool["name"], "arguments": arguments})
    return {"calls": made[:3]} if made else {"abstain": "no_tool"}


def _best(clause: str, tools: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The tool that the runtime would show first, if enough of its line is said."""
    marked = SPANS.mark({"request": clause, "tools": list(tools)})
    assert marked.tools is not None
    line = marked.tools.render().split("\n")[0]
    if line.count("*") + line.count("~") < 2:
        return None
    return next(tool for tool in tools if tool["name"] == marked.tools.tools[0].name)


def _arguments(text: str, tool: Mapping[str, Any]) -> dict[str, Json] | None:
    """Values for a tool; None when a required one is not found."""
    parameters = tool["parameters"]
    required = set(parameters.get("required", ()))
    numbers = [_number(n) for n in _NUMBER.findall(text)]
    numbers += [NUMBER_WORDS[w] for w in re.findall(r"[a-z]+", text) if w in NUMBER_WORDS]
    codes = [*_NAMED.findall(text)]
    codes += [c for c in _CODE.findall(text) if not _NUMBER.fullmatch(c) or len(c) > 3]
    made: dict[str, Json] = {}
    for name, schema in parameters.get("properties", {}).items():
        value = _value(text, name, schema, numbers, codes)
        if value is None and name in required:
            return None
        if value is not None:
            made[name] = value
    return made


def _value(
    text: str, name: str, schema: Mapping[str, Any], numbers: list[Any], codes: list[str]
) -> Json:
    words = set(_words(f"{name} {schema.get('description', '')}"))
    if "enum" in schema:
        return _choice(text, schema["enum"])
    match schema.get("type"):
        case "boolean":
            stem = min(sorted(words), key=len, default="")[:6]
            if stem and stem in text.lower():
                return not re.search(
                    rf"(?:no|not|don't|without)\b[^,.]{{0,20}}{stem}", text.lower()
                )
            return None
        case "integer" | "number":
            return numbers.pop(0) if numbers else None
    if words & {"date", "due", "day", "when", "deadline", "since", "start", "until", "end"}:
        return _first(_DATE, text)
    if words & {"time", "clock", "hour"}:
        return _first(_CLOCK, text)
    if words & {"person", "assignee", "technician", "who", "user", "employee", "name", "recipient"}:
        return _first(_PERSON, text)
    if words & {"text", "note", "comment", "reason", "description", "message", "details", "wrong"}:
        found = _FREE.search(text)
        return None if found is None else (found[1] or found[2]).strip()
    return codes.pop(0) if codes else None


def _choice(text: str, words: Sequence[Json]) -> Json:
    lower = text.lower()
    for word in words:
        if re.search(rf"\b{re.escape(str(word).replace('_', ' ').lower())}\b", lower):
            return word
    for pattern, meanings in PRIORITY:
        if re.search(pattern, lower):
            for word in words:
                if str(word).lower() in meanings:
                    return word
    return None


def _first(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.search(text)
    return None if found is None else found[0]


def _number(text: str) -> int | float:
    digits = text.replace(",", "")
    return float(digits) if "." in digits else int(digits)


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z]+|[ぁ-鿿]+", _CAMEL.sub(" ", text).replace("_", " ").lower())


def _clean(text: str) -> str:
    return unicodedata.normalize("NFKC", text)

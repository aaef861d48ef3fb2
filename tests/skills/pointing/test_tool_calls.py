"""Tools nobody has seen before are called by marks, and only as their own schemas allow."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from skilld.core.errors import InvalidRequestError
from skilld.skills.pointing import MarkedInput, SpanRules
from skilld.skills.pointing.marks import MARKS, SpanError
from skilld.skills.pointing.schemas import marked_schema
from skilld.skills.pointing.tool_calls import MissingArgumentError
from skilld.skills.pointing.tool_schemas import MAX_TOOLS

RULES = SpanRules.model_validate(
    {
        "fields": ["request"],
        "tools": "tools",
        "kind": [
            {
                "name": "number",
                "value": "number",
                "patterns": [{"pattern": r"(?<![\w-])\d+(?:\.\d+)?(?![\w-])"}],
            },
            {"name": "word", "patterns": [{"pattern": r"[A-Za-z][\w-]*|\d[\w-]*"}]},
        ],
    }
)
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "calls": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "arguments": {"type": "object", "x-tool-arguments": True},
                },
                "required": ["name", "arguments"],
            },
        }
    },
    "required": ["calls"],
    "additionalProperties": False,
}
PUMP: dict[str, Any] = {
    "name": "setPumpSpeed",
    "description": "Set the speed of a pump in rpm.",
    "parameters": {
        "type": "object",
        "properties": {
            "pump_id": {"type": "string"},
            "speed": {"type": "integer", "minimum": 0, "maximum": 3000},
            "mode": {"type": "string", "enum": ["slow", "very_fast"]},
            "force": {"type": "boolean"},
        },
        "required": ["pump_id", "speed"],
    },
}
LOG: dict[str, Any] = {
    "name": "log-downtime",
    "description": "Record how long a machine stood still",
    "parameters": {
        "type": "object",
        "properties": {
            "machine": {"type": "string", "description": "Tag of the machine"},
            "duration_min": {"type": "integer"},
            "note": {"type": "string"},
        },
        "required": ["machine"],
    },
}
PING: dict[str, Any] = {"name": "ping", "description": "", "parameters": {"type": "object"}}


def marked(request: str, *tools: dict[str, Any]) -> MarkedInput:
    return RULES.mark({"request": request, "tools": list(tools)})


def calls(*listed: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    return {"calls": [{"name": name, "arguments": arguments} for name, arguments in listed]}


def there_and_back(given: MarkedInput, answer: dict[str, Any]) -> Any:
    pointed = given.point(answer, SCHEMA)
    Draft202012Validator(marked_schema(SCHEMA, RULES)).validate(pointed)
    Draft202012Validator(marked_schema(SCHEMA, RULES, marked=given)).validate(pointed)
    assert set(MARKS.findall(str(pointed))) <= given.present
    return given.resolve(pointed, SCHEMA)


def tool_with(**properties: Any) -> dict[str, Any]:
    return {
        "name": "t",
        "description": "",
        "parameters": {"type": "object", "properties": properties},
    }


def test_a_call_is_written_with_marks_and_comes_back_with_the_types_of_its_schema() -> None:
    given = marked("set P-101 to 1200 , very fast , force it", LOG, PUMP)
    arguments = {"pump_id": "P-101", "speed": 1200, "mode": "very_fast", "force": True}
    pointed = given.point(calls(("setPumpSpeed", arguments)), SCHEMA)
    assert len(pointed["calls"][0]) == 1 + 2 * len(arguments)
    assert MARKS.sub("", pointed["calls"][0]) == "+"
    assert there_and_back(given, calls(("setPumpSpeed", arguments))) == calls(
        ("setPumpSpeed", arguments)
    )


def test_several_calls_of_several_tools_and_of_one() -> None:
    given = marked(
        "P-1 to 10 and P-2 to 20 , then ping and note oil on the floor for M7", PUMP, LOG, PING
    )
    answer = calls(
        ("setPumpSpeed", {"pump_id": "P-1", "speed": 10}),
        ("setPumpSpeed", {"pump_id": "P-2", "speed": 20}),
        ("ping", {}),
        ("log-downtime", {"machine": "M7", "note": "oil on the floor"}),
    )
    assert there_and_back(given, answer) == answer


def test_arguments_come_back_in_the_order_of_the_schema() -> None:
    given = marked("1200 for P-101", PUMP)
    answer = calls(("setPumpSpeed", {"speed": 1200, "pump_id": "P-101"}))
    arguments = there_and_back(given, answer)["calls"][0]["arguments"]
    assert list(arguments) == ["pump_id", "speed"]


@pytest.mark.parametrize(
    ("request_text", "minutes"),
    [
        ("M7 stood 20 min", 20),
        ("M7 stood 2 hours", 120),
        ("M7 stood 1.5 h", 90),
        ("M7 stood 90 s", 1.5),
        ("M7 stood 20", 20),
        ("M7 stood 20 mm", 20),
        ("M7 for 5 kg and 5 hours", 300),
        ("M7 , 20 s after the alarm , for 20 min", 20),
    ],
)
def test_a_number_comes_in_the_unit_its_argument_names(request_text: str, minutes: float) -> None:
    tool = {**LOG, "parameters": {**LOG["parameters"]}}
    properties = {**LOG["parameters"]["properties"], "duration_min": {"type": "number"}}
    tool["parameters"]["properties"] = properties
    answer = calls(("log-downtime", {"machine": "M7", "duration_min": minutes}))
    assert there_and_back(marked(request_text, tool), answer) == answer


def test_tools_are_shown_as_words_with_marks_behind_them() -> None:
    given = marked("hi", PUMP, LOG)
    assert MARKS.sub("|", str(given.values["tools"])) == (
        "set pump speed: rpm| pump id!| speed#!| mode| slow| very fast| force?|\n"
        "log downtime: record how long machine stood still|"
        " machine: tag!| duration min#| note|"
    )


@pytest.mark.parametrize(
    "request_text",
    ["log it", "it was LOGGED", "logging", "Log-Downtime", "logDowntime", "ｌｏｇ"],
)
def test_words_that_the_request_says_are_shown(request_text: str) -> None:
    assert str(marked(request_text, LOG).values["tools"]).startswith("log* downtime")


def test_the_tool_that_shares_most_with_the_request_comes_first() -> None:
    for tools in ((PUMP, LOG, PING), (PING, LOG, PUMP), (LOG, PING, PUMP)):
        lines = str(marked("log 20 min of downtime for M7", *tools).values["tools"]).split("\n")
        assert lines[0].startswith("log* downtime*")
        lines = str(marked("pump P-1 speed 20", *tools).values["tools"]).split("\n")
        assert lines[0].startswith("set pump* speed*")


def test_tools_that_share_nothing_with_the_request_keep_their_order() -> None:
    for tools in ((PUMP, LOG, PING), (PING, LOG, PUMP)):
        lines = str(marked("hello", *tools).values["tools"]).split("\n")
        assert [line[:3] for line in lines] == [str(tool["name"])[:3] for tool in tools]


def test_what_the_thesaurus_knows_is_shown() -> None:
    same = (("stop", "halt", "switch off", "停止"), ("conveyor", "コンベア"))
    rules = SpanRules.model_validate({**RULES.model_dump(), "same": same})
    tool = {**PING, "name": "halt_conveyor", "description": "Switch something off"}
    for request in ("stop it", "switch it off", "STOPPED", "停止して"):
        shown = str(rules.mark({"request": request, "tools": [tool]}).values["tools"])
        assert shown.startswith(("halt~ conveyor: switch~", "halt~ conveyor: switch*")), shown
    shown = str(rules.mark({"request": "コンベアCV-1", "tools": [tool]}).values["tools"])
    assert shown.startswith("halt conveyor~: switch something off")


@pytest.mark.parametrize("slip", ["donwtime", "downtme", "dwontime", "downtimme", "downtime's"])
def test_a_slip_of_the_finger_is_the_same_word(slip: str) -> None:
    assert "log downtime*:" in str(marked(f"the {slip} of M7", LOG).values["tools"])


@pytest.mark.parametrize("other", ["down", "town time", "blog", "machinery hall", "note", "dog"])
def test_other_words_are_not_the_same(other: str) -> None:
    assert "*" not in str(marked(other, PUMP).values["tools"])
    assert str(marked(other, LOG).values["tools"]).startswith("log downtime:")


def test_marks_and_widths_in_a_tool_are_not_taken_for_marks() -> None:
    given = marked("hi", {**PING, "name": "ping\ue0ff", "description": "ｓｅｎｄ \ue001 it"})
    text = str(given.values["tools"])
    assert [MARKS.search(word) is not None for word in text.split()][-1]
    assert len(MARKS.findall(text)) == 1
    assert "send" in text


def test_equal_enum_words_share_a_mark_and_arguments_never_do() -> None:
    one = tool_with(a={"enum": ["low", "high"]}, b={"enum": ["high", "top"]})
    text = str(marked("hi", one).values["tools"])
    marks = dict(re.findall(r"(\w+)[!#?]?([\ue000-\ue17f])", text))
    assert len(set(re.findall(r"high(.)", text))) == 1
    assert marks["a"] != marks["b"]


def test_every_mark_of_a_prompt_is_present() -> None:
    given = marked("set P-101 to 1200", PUMP, LOG)
    shown = MARKS.findall(f"{given.values['request']} {given.values['tools']}")
    assert set(shown) == given.present


@pytest.mark.parametrize(
    ("breakage", "message"),
    [
        (lambda t, a, v: "", "is no call"),
        (lambda t, a, v: a[0] + v[0], "is no tool"),
        (lambda t, a, v: t[0] + a[0] + v[0], "'speed' is not given"),
        (lambda t, a, v: t[0] + a[0] + v[0] + a[1] + v[2], "is no number"),
        (lambda t, a, v: t[0] + a[0] + v[0] + a[0] + v[0], "given twice"),
        (lambda t, a, v: t[0] + a[4] + v[0], "is no argument of 'setPumpSpeed'"),
        (lambda t, a, v: t[0] + a[0] + "+", "no string value"),
        (lambda t, a, v: t[0] + a[3] + v[0], "no boolean value"),
        (lambda t, a, v: t[0] + a[2] + v[0], "no enum value"),
        (lambda t, a, v: t[0] + a[0], "no string value"),
        (lambda t, a, v: t[0] + a[1] + v[1] + v[1], "no integer value"),
        (lambda t, a, v: t[0] + a[0] + v[0] + a[1] + v[3], "greater than the maximum of 3000"),
        (lambda t, a, v: t[0] + a[0] + v[2] + v[0], "no phrase"),
    ],
)
def test_a_call_that_does_not_fit_its_tool_is_refused(
    breakage: Callable[[list[str], list[str], list[str]], str], message: str
) -> None:
    given = marked("P-101 1200 fast 9000", PUMP, LOG)
    with pytest.raises(SpanError, match=message):
        given.resolve({"calls": [breakage(*marks_of(given))]}, SCHEMA)


def marks_of(given: MarkedInput) -> tuple[list[str], list[str], list[str]]:
    """Marks of PUMP and LOG: tools, arguments (id, speed, mode, force, machine), request."""
    lines = str(given.values["tools"]).split("\n")
    tool = [next(iter(MARKS.findall(line))) for line in lines]
    behind = dict(re.findall(r"(\w+)(?:: [a-z ]+)?[!#?]*([\ue000-\ue17f])", " ".join(lines)))
    names = ("id", "speed", "mode", "force", "machine")
    # `speed` also ends the name of the tool, so its argument is found by its sign.
    behind["speed"] = re.findall(r"speed#!(.)", lines[0])[0]
    arguments = [behind[name] for name in names]
    return tool, arguments, MARKS.findall(str(given.values["request"]))


@pytest.mark.parametrize(
    "write",
    [
        lambda t, a, v: t[0] + a[4] + v[0],  # an argument of the other tool
        lambda t, a, v: t[0] + a[1] + v[0],  # a word for a number
        lambda t, a, v: t[0] + a[0] + "+",  # true for a text
        lambda t, a, v: t[0] + a[2] + v[2],  # a word for an enum
        lambda t, a, v: t[0] + a[1] + v[1] + a[0] + v[0],  # not in the order of the schema
        lambda t, a, v: t[0] + a[0] + v[0] + a[0] + v[0],  # twice
        lambda t, a, v: t[0] + a[0] + "\ue03f",  # a mark that is not there
        lambda t, a, v: a[0] + v[0],
    ],
)
def test_while_decoding_only_calls_that_fit_the_tools_can_be_written(
    write: Callable[[list[str], list[str], list[str]], str],
) -> None:
    given = marked("P-101 1200 fast 9000", PUMP, LOG)
    check = Draft202012Validator(marked_schema(SCHEMA, RULES, marked=given))
    tools, arguments, values = marks_of(given)
    assert check.is_valid(
        {"calls": [tools[0] + arguments[0] + values[0] + arguments[1] + values[1]]}
    )
    assert check.is_valid({"calls": [tools[1]]}), "so can the model say that something is missing"
    assert not check.is_valid({"calls": [write(tools, arguments, values)]})


def test_without_numbers_no_number_can_be_written() -> None:
    given = marked("P-101 fast", PUMP)
    check = Draft202012Validator(marked_schema(SCHEMA, RULES, marked=given))
    tools, arguments, values = marks_of(marked("P-101 fast", PUMP, LOG))
    assert check.is_valid({"calls": [tools[0] + arguments[0] + values[0]]})
    assert not check.is_valid({"calls": [tools[0] + arguments[1] + values[0]]})


def test_a_missing_argument_is_told_from_other_mistakes() -> None:
    given = marked("P-101 1200", PUMP, LOG)
    tools, arguments, values = marks_of(given)
    with pytest.raises(MissingArgumentError, match="'speed' is not given"):
        given.resolve({"calls": [tools[0] + arguments[0] + values[0]]}, SCHEMA)


@pytest.mark.parametrize(
    "call",
    [
        {"name": "unknown", "arguments": {}},
        {"name": "ping", "arguments": {"host": "P-101"}},
        {"name": "setPumpSpeed", "arguments": {"pump_id": "P-999", "speed": 1200}},
        {"name": "setPumpSpeed", "arguments": {"pump_id": "P-101", "speed": 7}},
        {"name": "setPumpSpeed", "arguments": {"pump_id": "P-101", "mode": "medium"}},
    ],
)
def test_what_the_request_or_its_tools_do_not_say_cannot_be_written(call: dict[str, Any]) -> None:
    with pytest.raises(SpanError):
        marked("set P-101 to 1200", PUMP, PING).point({"calls": [call]}, SCHEMA)


@pytest.mark.parametrize(
    ("tools", "where"),
    [
        ("ping", "$.tools"),
        ([], "$.tools"),
        ([{**PING, "name": f"t{i}"} for i in range(MAX_TOOLS + 1)], "$.tools"),
        ([PING, PING], "$.tools[1].name"),
        ([PING, "ping"], "$.tools[1]"),
        ([{**PING, "name": ""}], "$.tools[0].name"),
        ([{**PING, "name": "x" * 65}], "$.tools[0].name"),
        ([{**PING, "description": "x" * 1001}], "$.tools[0].description"),
        ([{**PING, "parameters": {"type": "array"}}], "$.tools[0].parameters"),
        ([{**PING, "parameters": {"required": ["a"]}}], "$.tools[0].parameters.required"),
        ([{**PING, "parameters": {"required": [["a"]]}}], "$.tools[0].parameters.required"),
        ([tool_with(a={"type": "array"})], "$.tools[0].parameters.properties.a"),
        ([tool_with(a={"type": ["string", "null"]})], "$.tools[0].parameters.properties.a"),
        ([tool_with(a="string")], "$.tools[0].parameters.properties.a"),
        ([tool_with(a={"enum": []})], "$.tools[0].parameters.properties.a.enum"),
        (
            [tool_with(a={"type": "integer", "minimum": "1"})],
            "$.tools[0].parameters.properties.a.minimum",
        ),
        ([tool_with(a={"enum": [None]})], "$.tools[0].parameters.properties.a.enum"),
        (
            [tool_with(**{f"a{i}": {"type": "string"} for i in range(9)})],
            "$.tools[0].parameters.properties",
        ),
        (
            [tool_with(a={"enum": [f"e{i}" for i in range(65)]})],
            "$.tools[0].parameters.properties.a.enum",
        ),
    ],
)
def test_tools_that_cannot_be_called_are_refused_and_the_place_is_named(
    tools: Any, where: str
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        RULES.mark({"request": "hi", "tools": tools})
    assert caught.value.violations[0][0] == where
    assert where in caught.value.message


def test_tools_leave_room_for_three_kinds_of_pieces_at_most() -> None:
    kinds = [{"name": f"k{i}", "patterns": [{"pattern": "x"}]} for i in range(4)]
    with pytest.raises(ValueError, match="at most 3 kinds"):
        SpanRules.model_validate({"fields": ["request"], "tools": "tools", "kind": kinds})

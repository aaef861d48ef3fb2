"""How reports may be laid out, and what of it is held out."""

from __future__ import annotations

from collections.abc import Mapping

MAX_READINGS = 8
MAX_CHARS = 420
NUM_READINGS = {
    "prose": (50, 28, 14, 5, 2, 1),
    "chat": (36, 32, 18, 8, 4, 2),
    "list": (0, 22, 26, 20, 12, 10, 6, 4),
    "table": (1,),
}
"""How often a report of a layout has 1, 2, ... readings, where its clauses allow it. A table has
what its rows and columns give."""
NUM_SHORT = {"prose": (55, 35, 10), "chat": (50, 35, 15), "list": (0, 40, 40, 20), "table": (1,)}
"""The same of the short half of the reports."""
GRIDS = ((1, 2), (1, 3), (2, 2), (2, 2), (2, 3), (3, 2), (2, 4), (4, 2), (3, 1), (2, 1), (1, 4))
SHORT_GRIDS = ((1, 2), (1, 3), (1, 3), (1, 4), (2, 2), (2, 2), (2, 3), (3, 1), (3, 1), (4, 1))
"""How many sensors and times a table has."""
HELD_COMBINATIONS = frozenset(
    {
        "temperature+chat", "pressure+list", "flow+table", "level+chat", "vibration+table",
        "current+list", "humidity+prose", "torque+table", "ph+list", "frequency+chat",
        "weight+list", "conductivity+prose", "force+chat", "power+table", "voltage+chat",
    }
)  # fmt: skip
"""Quantity and layout of the first reading that never occur together in training."""
TABLES: Mapping[str, tuple[str, ...]] = {
    # Orientation to the separators it is written with.
    "times-down": ("pipe", "edged", "tab", "comma", "semicolon", "space"),
    "times-across": ("pipe", "edged", "tab", "comma", "semicolon", "space"),
    "rows": ("pipe", "edged", "tab", "comma", "semicolon", "space"),
    "limits": ("pipe", "edged", "tab", "comma", "semicolon"),
    "one-row": ("pipe", "tab", "comma", "space"),
    "machines": ("pipe", "edged", "tab", "comma", "space"),
}
HELD_TABLES = frozenset(
    {
        "times-down-semicolon",
        "times-across-tab",
        "rows-edged",
        "limits-comma",
        "one-row-tab",
        "machines-edged",
    }
)
SEPARATORS = {
    "pipe": (" | ", " | ", "|"), "edged": (" | ",), "tab": ("\t",), "comma": (",", ", ", ","),
    "semicolon": (";", "; "), "space": ("  ", "   ", "    "),
}  # fmt: skip
LISTS: Mapping[str, tuple[str, ...]] = {
    "list-colon": ("{s}: {v}", "{s} : {v}", "{s}:{v}"),
    "list-dash": ("- {s} {v}", "- {s}: {v}", "* {s} {v}"),
    "list-dot": ("・{s} {v}", "・{s}:{v}", "・{s}{v}", "● {s} {v}"),
    "list-equal": ("{s} = {v}", "{s}={v}"),
    "list-plain": ("{s} {v}",),
    "list-number": ("{i}. {s} {v}", "{i}\\) {s}: {v}", "\\({i}\\) {s} {v}"),
    "list-status": ("{s}: {v} (OK|ok|normal|high|low|NG|正常|高め)", "{s} {v} - (ok|high|正常)"),
    "list-limit": ("{s}: {v} \\((max|limit|上限|設定) {w}\\)", "{s} {v} / (SP|target|基準) {w}"),
    "list-unit-first": ("{s} \\({u}\\): {x}", "{s} [{u}] {x}", "{s}\\({u}\\) {x}", "{s}, {u}: {x}"),
    "list-timed": ("{h} {s} {v}", "{h} - {s}: {v}", "{h}, {s}, {v}", "{h} {s}={v}"),
    "list-time-behind": ("{s}: {v} \\({t}\\)", "{s} {v} @ {t}", "{s} {v} {t}"),
    "list-arrow": ("{s} -> {v}", "> {s} {v}", "{s} .. {v}"),
    "list-tabbed": ("{s}\t{v}", "{s}    {v}"),
}
HELD_LISTS = frozenset({"list-arrow", "list-number", "list-time-behind"})
CHATS: Mapping[str, tuple[str, ...]] = {
    "chat-stamped": ("\\[{h}] {who}: ", "\\[{h}] {who} "),
    "chat-clock-name": ("{h} {who}: ", "{h} {who}> ", "{h} {who} - "),
    "chat-name-clock": ("{who} ({h}): ", "{who} {h}: ", "{who}, {h}: "),
    "chat-angle": ("<{who}> ", "<{who} {h}> "),
    "chat-names": ("{who}: ", "{who}> "),
    "chat-at": ("@{who} ", "{who} "),
    "chat-radio": ("{who} to control, ", "control from {who}, ", "{who}です、"),
}
HELD_CHATS = frozenset({"chat-angle"})
ASKED = "chat-asked"
MISSING_CELLS = ("---", "-", "N/A", "n/a", "--", "欠測", "×", "x", "", "not read", "ERR", "読めず",
                 "—", "*", "n.r.", "未測定", "?", "no signal")  # fmt: skip
SIDES = {
    "en": (("supply", "return"), ("inlet", "outlet"), ("top", "bottom"), ("left", "right"),
           ("suction", "discharge"), ("upper", "lower"), ("front", "rear")),
    "ja": (("入口", "出口"), ("上部", "下部"), ("左側", "右側"), ("吸込", "吐出"),
           ("前側", "後側")),
}  # fmt: skip
SENTENCE_ENDS = {"en": (". ", ". ", "\n", ".\n", "; "), "ja": ("。", "。", "\n", "。\n")}

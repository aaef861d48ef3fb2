"""Reports as lists and chats."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from .layouts import ASKED, CHATS, MAX_READINGS
from .meaning import Report
from .plans import Plans, brings_time
from .scribe import Scribe


class Lists:
    """Writes one reading to a line, or one message to a line."""

    def __init__(self, scribe: Scribe, plans: Plans) -> None:
        self._scribe = scribe
        self._plant = scribe.plant
        self._plans = plans

    def write(self, rng: Random, report: Report, lines: Sequence[str], wanted: int) -> None:
        """A list with its title."""
        line = rng.choice(lines)
        around = self._scribe.around[report.lang]
        is_apart = rng.random() < 0.3
        if is_apart:
            is_timed = "{h}" in line or "{t}" in line
            title = rng.choice(around["title"] if is_timed else around["title"] + around["titled"])
            self._scribe.say(rng, report, title, {"mach": self._plant.names.machine(rng, report)})
            report.parts.append("\n")
        elif rng.random() < 0.5 and "{h}" not in line and "{t}" not in line:
            self._scribe.say(rng, report, rng.choice(around["head"]))
            report.parts.append("\n")
        elif rng.random() < 0.5:
            self._scribe.say(rng, report, rng.choice(around["opener"]))
            report.parts.append("\n")
        end = "\n" if rng.random() < 0.9 else rng.choice((" / ", "; ", "、", ", "))
        for i in range(max(2, wanted)):
            gives = ["s v t" if "{t}" in line else "s v h" if "{h}" in line else "s v a"]
            if "{x}" in line:
                gives = ["s x a"]
            if rng.random() < 0.1 and "(" not in line:
                gives = [gives[0].replace("v", "-").replace("x", "-")]
            if "{h}" in line and i and rng.random() < 0.2:
                report.minute -= report.step  # the same time again
            text = line.replace("{i}", str(i + 1))
            if "-" in gives[0]:
                text = text.replace("{v}", "{miss}").replace("{x}", "{miss}")
            clause = {"text": [text], "gives": gives, "lang": report.lang, "apart": is_apart}
            clause["plain"] = "{w}" not in line
            self._scribe.clause(rng, report, clause)
            report.parts.append(end)
            if rng.random() < 0.06:
                self._scribe.aside(rng, report, "aside")
                report.parts.append(end)
        report.parts.pop()

    def write_chat(self, rng: Random, report: Report, family: str, wanted: int) -> None:
        """Messages of two people."""
        prefixes = CHATS[rng.choice(sorted(CHATS)) if family == ASKED else family]
        prefix = rng.choice(prefixes)
        lang = report.lang
        times = "head" if "{h}" in prefix else rng.choice(("none", "any"))
        plan = self._plans.plan(
            rng, self._plans.other(rng, lang, "none", is_first=True), wanted, times, lang
        )
        people = [self._scribe.grammars[lang].expand("{who}", rng) for _ in range(2)]
        for i, clause in enumerate(plan):
            if i and (len(report.readings) + len(clause["gives"]) > MAX_READINGS):
                break
            if i and report.num_chars > 230:
                break
            if report.is_stale and not brings_time(clause) and "{h}" not in prefix:
                continue
            if i:
                report.parts.append("\n")
            who = {"who": people[i % 2]}
            self._scribe.say(rng, report, prefix.replace("(", "\\(").replace(")", "\\)"), who)
            if family == ASKED and rng.random() < 0.7:
                asked = self._plant.new_sensor(rng, report)
                questions = {
                    "en": ("what about {s}?", "{s}?", "and {s}?", "how is the {s}?", "{s} please"),
                    "ja": ("{s}は?", "{s}はどう?", "{s}お願いします", "{s}いくつ?"),
                }[lang]
                report.parts.append(rng.choice(questions).replace("{s}", asked.shown) + "\n")
                report.last, report.last_name = asked, asked.name
                self._scribe.say(
                    rng,
                    report,
                    prefix.replace("(", "\\(").replace(")", "\\)"),
                    {"who": people[(i + 1) % 2]},
                )
                replies = {
                    "en": ("{v}", "it is {v}", "{v} now", "reads {v}", "{v}, ok"),
                    "ja": ("{v}です", "{v}", "今{v}", "{v}でした"),
                }[lang]
                clause = {"text": replies, "gives": ["p v a"], "lang": lang}
            self._scribe.clause(rng, report, clause)
            if rng.random() < 0.15:
                report.parts.append("\n")
                self._scribe.say(rng, report, prefix.replace("(", "\\(").replace(")", "\\)"), who)
                self._scribe.aside(rng, report, "aside")

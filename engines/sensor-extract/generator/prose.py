"""Reports in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

from .layouts import MAX_READINGS, SENTENCE_ENDS
from .meaning import Report
from .plans import Plans, brings_time, is_timed_behind, shares_time_behind
from .scribe import Scribe


class Prose:
    """Writes sentences and notes."""

    def __init__(self, scribe: Scribe, plans: Plans) -> None:
        self._scribe = scribe
        self._plans = plans

    def write(self, rng: Random, report: Report, own: Mapping[str, Any], wanted: int) -> None:
        """Clauses of a family among others, with what stands around them."""
        lang = report.lang
        around = self._scribe.around[lang]
        report.is_own_said = False
        joiner = rng.choice(around["joiner"])
        is_mixed = rng.random() < 0.03
        times = rng.choices(("none", "head", "any", "tail"), (28, 24, 40, 8))[0]
        if brings_time(own) and times in ("none", "tail"):
            times = rng.choice(("head", "any"))
        if rng.random() < 0.3:
            self._scribe.say(rng, report, rng.choice(around["opener"]))
            report.parts.append(" " if lang == "en" else "")
        if report.prints_units == 0.0 and rng.random() < 0.4:
            self._scribe.unit_head(rng, report)
        if shares_time_behind(own) or own.get("untimed"):
            # Whether a time that holds or the one behind is meant for the first would be a guess.
            times = "none"
        if rng.random() < 0.1:
            kind = "event" if rng.random() < 0.5 else "aside"
            self._scribe.aside(rng, report, kind)
            report.parts.append(rng.choice(SENTENCE_ENDS[lang]))
        if times == "head" and not any(g.endswith(" h") for g in own["gives"]):
            self._scribe.say(rng, report, rng.choice(around["head"]))
            report.parts.append(" " if lang == "en" else "")
        plan = self._plans.plan(
            rng, own, wanted, times, "en" if is_mixed and lang == "ja" else lang
        )
        for i, clause in enumerate(plan):
            if i and len(report.readings) + len(clause["gives"]) > MAX_READINGS:
                break
            if i and report.num_chars > 260:
                break
            if report.is_stale and not brings_time(clause):
                continue
            if report.ambient is not None and shares_time_behind(clause):
                continue
            is_last = i == len(plan) - 1
            if rng.random() < 0.05:
                self._scribe.say(rng, report, rng.choice(around["lead"]))
            num_before = len(report.readings)
            self._scribe.clause(rng, report, clause)
            report.is_own_said |= clause is own and len(report.readings) > num_before
            glue = joiner
            if rng.random() < 0.2:
                glue = rng.choice(around["joiner"])
            is_new = not is_last and report.ambient is None and not plan[i + 1].get("needs")
            if is_new and is_timed_behind(clause):
                # "85 °C, 10:00, oil 4 bar" could be the time of either.
                glue = rng.choice(SENTENCE_ENDS[lang])
            if not is_last and report.ambient is None and is_timed_behind(plan[i + 1]):
                # In one sentence its time would hold for what stands before it.
                is_short = len(report.readings) == 1 and plan[i + 1].get("needs")
                if not is_short and "." not in glue and "。" not in glue and "\n" not in glue:
                    glue = rng.choice(SENTENCE_ENDS[lang])
            if rng.random() < 0.1:
                kind = "aside"
                if report.ambient is None and not report.is_stale and rng.random() < 0.35:
                    kind, glue = "event", rng.choice(SENTENCE_ENDS[lang])
                report.parts.append(glue)
                self._scribe.aside(rng, report, kind)
            report.parts.append("" if is_last else glue)
        if report.parts[-1] == joiner:
            report.parts.pop()
        if times == "tail" and report.ambient is None:
            self._scribe.tail(rng, report, joiner)
        elif rng.random() < 0.06:
            report.parts.append(rng.choice(SENTENCE_ENDS[lang]))
            self._scribe.aside(rng, report, "event")
        if rng.random() < 0.55:
            report.parts.append("。" if lang == "ja" else ".")
        if rng.random() < 0.12:
            report.parts.append(rng.choice(("\n", " ")))
            self._scribe.say(rng, report, rng.choice(around["closer"]))

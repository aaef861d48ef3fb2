"""Names of sensors: tags, machines with quantities, in English and Japanese."""

from __future__ import annotations

import re
from collections.abc import Mapping
from random import Random
from typing import Any

from .meaning import Report

_GAUGES = {
    "en": ("gauge", "meter", "sensor", "transmitter", "probe", "indicator", "detector",
           "transducer", "instrument", "display", "switch"),
    "ja": ("計", "計", "センサ", "センサー", "発信器", "検出器", "指示計"),
}  # fmt: skip
_AROUND_TAG = {
    "en": ("{m} {t} {q}", "{m} {t} {q}", "{q} of {m} {t}", "{q} of {t}", "{q} on {t}", "{q} at {t}",
           "{q} on {m} {t}", "{q} {g} {t}", "{q} {g} {t}", "{m} {q} {g} {t}", "{g} {t}", "{m} {t}",
           "{t} {q}", "{t} {q}", "{t} {g}", "{t} on the {m}", "{m} ({t})"),
    "ja": ("{m}{t}の{q}", "{m} {t} {q}", "{t}の{q}", "{t} {q}", "{q}{g}{t}", "{q}{g} {t}",
           "{m}の{q}{g}{t}", "{g}{t}", "{m}{t}", "{m}({t})", "{m}の{t}", "{q}({t})"),
}  # fmt: skip
"""How words stand around a tag; q what is measured, m a machine, g a kind of gauge."""


class Names:
    """Draws names.

    Args:
        machines: the table of that name in lexicon.toml.
    """

    def __init__(self, machines: Mapping[str, Any]) -> None:
        self.words: Mapping[bool, Mapping[str, list[str]]] = {
            False: {"en": machines["en"], "ja": machines["ja"]},
            True: {"en": machines["en_held"], "ja": machines["ja_held"]},
        }
        self.tags_held: list[str] = machines["tags_held"]
        self._places = {"en": machines["places_en"], "ja": machines["places_ja"]}

    def draw(
        self, rng: Random, report: Report, entry: Mapping[str, Any], *, is_apart: bool
    ) -> tuple[str, str]:
        """What answers call a sensor, and how the report shows it."""
        lang = report.lang
        if rng.random() < 0.03:
            lang = "en" if lang == "ja" else "ja"
        tags = self.tags_held if report.names["is_held"] else entry["tags"]
        if not is_apart and rng.random() < (0.34 if report.layout != "table" else 0.5):
            tag = new_tag(rng, rng.choice(tags), is_any=not report.names["is_held"])
            if rng.random() < 0.6:
                return tag, tag
            if report.layout != "table" and rng.random() < 0.5:
                return tag, self._around_tag(rng, report, entry, lang, tag)
            name = self._plain_name(rng, report, entry, lang)
            shapes: tuple[str, ...] = (
                "{n} {t}",
                "{n} ({t})",
                "{t} ({n})",
                "{t} {n}",
                "{n} [{t}]",
                "{n} - {t}",
            )
            if lang == "ja":
                shapes = ("{n}{t}", "{n}({t})", "{t}({n})", "{t} {n}", "{n} {t}", "{t}の{n}")
            if report.layout == "table":
                shapes = ("{t} {n}", "{n} {t}", "{n} ({t})")
            if name[-1].isascii():
                shapes = ("{n} {t}", "{t} {n}", "{n} ({t})")
            return tag, rng.choice(shapes).replace("{n}", name).replace("{t}", tag)
        if is_apart:
            name = rng.choice(entry[lang])
            if rng.random() < 0.4:
                name = f"{rng.choice(self._places[lang])}{' ' if lang == 'en' else ''}{name}"
            name = _without_echo(name)
            return name, name
        name = self._plain_name(rng, report, entry, lang)
        return name, name

    def _around_tag(
        self, rng: Random, report: Report, entry: Mapping[str, Any], lang: str, tag: str
    ) -> str:
        """Words of which a tag is one: "tank T-12 level", "pressure gauge PI-3"."""
        words = {
            "q": rng.choice(entry[lang]),
            "m": rng.choice(report.names[lang]),
            "g": rng.choice(_GAUGES[lang]),
            "t": tag,
        }
        shown: str = rng.choice(_AROUND_TAG[lang])
        for slot, word in words.items():
            shown = shown.replace("{" + slot + "}", word)
        return shown

    def series(self, rng: Random, report: Report, count: int) -> list[str]:
        """Names of like machines that stand side by side: "zone 1", "zone 2"."""
        lang = report.lang
        machine = rng.choice(report.names[lang])
        start = rng.choice((1, 1, 1, 1, 2, 3, rng.randrange(1, 20)))
        step = rng.choice((1, 1, 1, 1, 2))
        numbers = [str(start + i * step) for i in range(count)]
        if rng.random() < 0.2:
            numbers = list("ABCDEFGH"[:count])
        if lang == "ja":
            shapes = ["{m}{i}", "{m}{i}", "No.{i}{m}", "第{i}{m}"]
            if numbers[0].isdigit():
                shapes += ["{i}号機", "{i}号{m}", "{m}{i}号", "{m}{i}号機"]
            shape = rng.choice(shapes)
            if report.names["is_held"] and "{m}" not in shape:
                shape = "{m}{i}"
            return [shape.replace("{m}", machine).replace("{i}", i) for i in numbers]
        shape = rng.choice(("{m} {i}", "{m} {i}", "{m} {i}", "{m} #{i}", "#{i} {m}", "no. {i} {m}"))
        if rng.random() < 0.3:
            shape = shape[:1].upper() + shape[1:]
            machine = machine[:1].upper() + machine[1:]
        names = [shape.replace("{m}", machine).replace("{i}", i) for i in numbers]
        if rng.random() < 0.2:
            names[0] = f"{rng.choice(report.names[lang])} {names[0]}"
        return [_without_echo(name) for name in names]

    def machine(self, rng: Random, report: Report) -> str:
        """A machine, with its number or as a tag."""
        machine, number = rng.choice(report.names[report.lang]), rng.randrange(1, 13)
        if report.lang == "ja":
            return rng.choice(
                (f"{number}号機", f"{machine}{number}", machine, f"No.{number}{machine}")
            )
        if rng.random() < 0.3 and not report.names["is_held"]:
            return new_tag(
                rng, rng.choice(("P", "M", "K", "C", "MTR", "PMP", "FAN", "E")), is_any=True
            )
        name = rng.choice(
            (f"{machine} {number}", f"{machine} {number}", machine, f"{machine} #{number}")
        )
        return name[0].upper() + name[1:] if rng.random() < 0.4 else name

    def _plain_name(self, rng: Random, report: Report, entry: Mapping[str, Any], lang: str) -> str:
        quantity = rng.choice(entry[lang])
        machine = rng.choice(report.names[lang])
        is_held = report.names["is_held"]
        place = rng.choice(self._places[lang])
        number = str(rng.choice((1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, rng.randrange(1, 40))))
        letter = rng.choice("ABCDEFGH")
        stem = machine if is_held else rng.choice(entry[f"stems_{lang}"])
        if lang == "ja":
            open_stem = rng.choice(entry["stems_ja"])
            return _without_echo(
                self._ja_name(rng, quantity, machine, stem, open_stem, place, number, letter)
            )
        numbered = rng.choice(
            (f"{machine} {number}",) * 5
            + (f"{machine} {letter}", f"{machine} #{number}", f"No. {number} {machine}",
               f"{machine} no. {number}", f"#{number} {machine}", f"No.{number} {machine}")
        )  # fmt: skip
        open_stem = rng.choice(entry["stems_en"])
        if entry["id"] == "ph":
            return f"{rng.choice((stem, numbered, machine))} pH" if rng.random() < 0.9 else "pH"
        shape = rng.choices(range(10), (22, 18, 16, 9 * (not is_held), 9, 8, 6, 5, 5, 5))[0]
        match shape:
            case 0:
                name = f"{stem} {quantity}"
            case 1:
                name = f"{numbered} {quantity}"
            case 2:
                name = f"{machine} {quantity}"
            case 3:
                name = quantity
            case 4:
                name = f"{machine} {place} {quantity}"
            case 5:
                name = f"{numbered} {place} {quantity}"
            case 6:
                name = numbered
            case 7:
                name = f"{quantity} {rng.choice(('of', 'on', 'at', 'in'))} {numbered}"
                if rng.random() < 0.4:
                    name = f"{quantity} of the {machine}"
            case 8:
                name = stem
            case _:
                name = f"{numbered} {open_stem} {quantity}"
        name = _without_echo(name)
        if rng.random() < 0.12:
            name = " ".join(word[:1].upper() + word[1:] for word in name.split(" "))
        return name

    def _ja_name(
        self, rng: Random, quantity: str, machine: str, stem: str, open_stem: str, place: str,
        number: str, letter: str,
    ) -> str:  # fmt: skip
        of = rng.choice(("", "", "の"))
        is_named = quantity[-1] in "温圧水油" and len(quantity) == 2
        if quantity == "pH":
            return f"{rng.choice((stem, machine))}{of}pH" if rng.random() < 0.9 else "pH"
        numbered = rng.choice(
            (f"{number}号{rng.choice(('機', '炉', machine))}",) * 3
            + (f"No.{number}{machine}",) * 2
            + (f"{machine}{number}", f"{machine}{letter}", f"第{number}{machine}")
            + (f"{machine}{number}号", f"{machine}{number}号機", f"{machine}{letter}系")
        )
        match rng.choices(range(9), (20, 18, 18, 10, 9, 8, 9, 5, 6))[0]:
            case 0:
                return f"{stem}{'の' if is_named else ''}{quantity}"
            case 1:
                return f"{numbered}{of}{quantity}"
            case 2:
                return f"{machine}{of}{quantity}"
            case 3:
                return quantity if machine in self.words[False]["ja"] else f"{machine}{quantity}"
            case 4:
                return f"{machine}{place}{'の' if of else ''}{quantity}"
            case 5:
                return f"{numbered}の{open_stem}{quantity}"
            case 6:
                return numbered
            case 7:
                return stem
            case _:
                meter = {"温度": "温度計", "圧力": "圧力計", "流量": "流量計", "電流": "電流計"}
                base = meter.get(quantity, quantity)
                return f"{base if machine in self.words[False]['ja'] else machine + base}{number}"


def _without_echo(name: str) -> str:
    """A name in which no word follows itself: "water water meter"."""
    return re.sub(r"(?i)([A-Za-z]{2,}|[ァ-ヺー]{2,}|[一-龠々]{2,})( ?)\1(?![a-z])", r"\1", name)


def new_tag(rng: Random, stem: str, *, is_any: bool) -> str:
    """A tag of a stem, or of any letters."""
    if is_any and rng.random() < 0.12:
        stem = "".join(rng.choices("ABCDEFGHIJKLMNOPRSTUVWXYZ", k=rng.randrange(1, 5)))
    stem = stem.rstrip("-")
    digits = rng.choice((1, 2, 3, 3, 3, 4))
    number = "".join(rng.choices("0123456789", k=digits))
    suffix = rng.choice(("",) * 7 + ("A", "B", "-1", "-2"))
    if stem.upper() == "PH":
        return f"{stem}-{number}"
    shape = rng.choice(("{s}-{n}",) * 5 + ("{s}{n}",) * 4 + ("{s}_{n}", "{p}-{s}-{n}", "{p}{s}{n}"))
    tag = (
        shape.replace("{s}", stem).replace("{n}", number).replace("{p}", str(rng.randrange(1, 30)))
    )
    if tag[0].isdigit() and "-" not in tag and len(stem) < 2:
        tag = f"{stem}-{number}"
    return tag + suffix

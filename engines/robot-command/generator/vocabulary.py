"""Everything that is read from the files beside this package."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from skilld.training.grammar import Grammar
from skilld.training.terminals import terminals

from .invented import Inventor
from .order import Family, Table

ROOM = Path(__file__).parent.parent
# Of what training draws, and of what is held out, the share to be declined.
NEGATIVE_SHARE, HELD_NEGATIVE_SHARE = 0.15, 0.348
HELD_SHARE = 0.058


class Vocabulary:
    """Everything that is read from the files beside this one, ready to draw from."""

    def __init__(self) -> None:
        lexicon, phrases, families, negatives, meaning = (
            tomllib.loads((ROOM / f"{name}.toml").read_text(encoding="utf-8"))
            for name in ("lexicon", "phrases", "families", "negatives", "meaning")
        )
        self.things = words_of(lexicon["things"])
        self.places = words_of(lexicon["places"] | {"person": lexicon["people"]})
        self.robots = {lang: lexicon["robots"][lang].split() for lang in ("en", "ja")}
        self.phrases = weighted(phrases)
        self.actions: Table = {
            name: {k: v.split() if isinstance(v, str) else v for k, v in entry.items()}
            for name, entry in meaning["actions"].items()
        }
        self.handed: list[str] = meaning["things"].split()
        self.constraints: list[str] = meaning["constraints"].split()
        self.clashes: list[list[str]] = meaning["clashes"]
        self.single: list[str] = meaning["single"]
        self.held_combinations = frozenset(meaning["held_combinations"])
        self.speeds: Table = meaning["speeds"]
        self.inventor = self._inventor()
        drawn = terminals()
        for lang in ("en", "ja"):
            drawn[f"unknown_adj_{lang}"] = partial(self.inventor.adjective, lang)
            drawn[f"unknown_{lang}"] = partial(self.inventor.sound, lang)
            drawn[f"name_{lang}"] = partial(self.inventor.person, lang)
        drawn["unknown_verb"] = self.inventor.verb
        adjectives = {name: text.split() for name, text in lexicon["adjectives"].items()}
        for name in ("en", "ja_i", "ja_na"):
            more = self.inventor.adjectives(name)
            tail = [] if name == "ja_i" else [f"{{unknown_adj_{name[:2]}}}"] * (len(more) // 3)
            adjectives[name] = [*adjectives[name], *more, *tail]
        names = meaning["names"]
        names["en"] |= {"adj": adjectives["en"], "padj": adjectives["place"]}
        names["ja"] |= {"iadj": adjectives["ja_i"], "nadj": adjectives["ja_na"]}
        names["ja"]["padj"] = adjectives["ja_place"]
        self.grammars: dict[str, Grammar] = {}
        self.names: dict[str, Grammar] = {}
        for lang in ("en", "ja"):
            rules = weighted(names[lang])
            self.names[lang] = Grammar(rules, terminals=drawn)
            spoken = [weighted(table["rules"][lang]) for table in (families, negatives)]
            self.grammars[lang] = Grammar(
                rules | self.phrases[lang]["rules"] | spoken[0] | spoken[1], terminals=drawn
            )
        self.families: dict[str, Family] = {}
        self.weights: dict[str, float] = {}
        for table, is_negative in ((families, False), (negatives, True)):
            for entry in table["family"]:
                self.families[entry["id"]] = Family.read(entry)
            for is_held in (False, True):
                entries = [e for e in table["family"] if bool(e.get("held")) == is_held]
                declined = HELD_NEGATIVE_SHARE if is_held else NEGATIVE_SHARE
                share = declined if is_negative else 1 - declined
                share *= HELD_SHARE if is_held else 1 - HELD_SHARE
                total = sum(float(entry.get("weight", 1.0)) for entry in entries)
                for entry in entries:
                    self.weights[entry["id"]] = float(entry.get("weight", 1.0)) / total * share

    def _inventor(self) -> Inventor:
        """What makes names up, out of the words that are not held out."""
        table = tomllib.loads((ROOM / "nouns.toml").read_text(encoding="utf-8"))
        known: dict[str, list[str]] = {}
        held: list[str] = []
        for words, last in ((self.things, "things"), (self.places, "places")):
            for (lang, name, is_held), listed in words.items():
                if is_held:
                    held += listed
                elif name != "person":
                    known.setdefault(lang, []).extend(listed)
                    known.setdefault(f"{lang}_{last}", []).extend(listed)
        core = " ".join(str(way) for ways in self.phrases["en"]["core"].values() for way in ways)
        verbs = set(re.findall(r"(?<![{\w])[a-z]{3,}(?![\w}])", core))
        return Inventor(table, known=known, held=held, verbs=verbs)


def words_of(table: Mapping[str, Mapping[str, str]]) -> dict[tuple[str, str, bool], list[str]]:
    """By language, class and whether they are held out. `a b|two words` is three words."""
    result = {}
    for name, entry in table.items():
        for lang in ("en", "ja"):
            for key, is_held in ((lang, False), (f"held_{lang}", True)):
                first, *rest = entry[key].split("|")
                result[lang, name, is_held] = [*first.split(), *rest]
    return result


def weighted(table: Any) -> Any:  # Any: a TOML value
    """Alternatives that end in `~3` are listed three times (those of `~0.4` once)."""
    if isinstance(table, Mapping):
        return {key: weighted(value) for key, value in table.items()}
    if not isinstance(table, list):
        return table
    result = []
    for item in table:
        found = re.search(r"~([\d.]+)$", item)
        result += [item[: found.start()]] * max(1, int(float(found[1]))) if found else [item]
    return result

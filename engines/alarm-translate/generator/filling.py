"""Meaning and words for every slot of a shape."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .faults import Faults
from .identifiers import new_code, new_count, new_numbers, new_tag
from .instructions import Instructions
from .lexicon import Lexicon
from .meaning import Message, Thing, canonical_name
from .quantities import Quantities
from .shapes import SLOT, Shape
from .terms import forms_of
from .things import Things

_PLAIN = re.compile(r"\{s\} ?\{cp?\}|\{s\}の\{c\}")
"""Wordings in which a place is the subject; "at", a colon and the like make it a place."""
_COUNTERS = {
    "parts": "個", "screws": "本", "pallets": "枚", "boxes": "個", "bottles": "本", "labels": "枚",
    "caps": "個", "trays": "枚", "tools": "本", "sensors": "個", "alarms": "件",
}  # fmt: skip
_COMM = {
    "lost": ("断", ("loss of communication", "connection lost", "comms lost", "communication lost",
                   "link lost"), ("断", "切断", "途絶", "が切れました", "が切れた")),
    "error": ("異常", ("communication error", "comm error", "communication fault", "comms error",
                     "comm. fault"), ("異常", "エラー", "不良", "が異常です", "障害")),
    "timeout": ("タイムアウト", ("communication timeout", "comm timeout", "comms time-out",
                           "communication timed out"), ("タイムアウト", "時間切れ")),
}  # fmt: skip


class Filling:
    """Fills the slots of a message."""

    def __init__(self, lexicon: Lexicon, things: Things) -> None:
        self._lexicon = lexicon
        self._things = things
        self._faults = Faults(lexicon, things)
        self._quantities = Quantities(lexicon, things)
        self._instructions = Instructions(lexicon, things)

    def fill(self, m: Message, shape: Shape, slots: frozenset[str], template: str) -> None:
        """Give every slot of a shape a meaning, and its words on both sides."""
        rng = m.rng
        rules = shape.rules
        wanted = slots | frozenset(SLOT.findall(shape.canonical["en"]))
        if wanted & {"name"}:
            condition, part = self._faults.draw(m, needs_noun="cn" in slots, is_main=True)
            self._faults.say(m, "", part, condition)
            self._things.put_term(m, "name", part)
        elif wanted & {"c", "cn", "cp", "cn0"}:
            needs_noun = "cn" in slots or bool(rules.get("noun_only"))
            is_strict = bool(rules.get("noun_only"))
            while True:
                condition, part = self._faults.draw(
                    m,
                    needs_noun=needs_noun,
                    is_main=True,
                    is_strict=is_strict,
                    only=rules.get("only"),
                    groups=rules.get("groups"),
                    no_place=not _PLAIN.fullmatch(template),
                )
                owner = self._things.owner(m, part, is_needed=True) if rules.get("owner") else None
                if owner is not None or not rules.get("owner"):
                    break
            self._faults.say(m, "", part, condition)
            if owner is not None:
                inner = Thing(part, self._things.identifier(m, part) if rng.random() < 0.35 else "")
                m.source["p"] = self._things.name(rng, inner, m.lang)
                m.source["o"] = self._things.name(rng, owner, m.lang)
                m.target["s"] = canonical_name(Thing(part, inner.ident, owner=owner), m.to)
            else:
                self._things.put(
                    m, "s", self._things.thing(m, part, is_bare=bool(rules.get("bare")))
                )
            if "s2" in wanted:
                if rules.get("same_group"):
                    other = rng.choice(self._lexicon.open_parts(condition))
                    self._faults.say(m, "", part, condition)
                else:
                    condition2, other = self._faults.draw(m, needs_noun=False)
                    self._faults.say(m, "2", other, condition2)
                self._things.put(m, "s2", self._things.thing(m, other))
        elif "s" in wanted:
            part = self._things.any_part(rng, shape)
            self._things.put(m, "s", self._things.thing(m, part))
            if "s2" in wanted:
                group = self._lexicon.parts[self._lexicon.group_of[part.en]]
                self._things.put(m, "s2", self._things.thing(m, rng.choice(group)))
        if {"g", "g_no", "g_plain"} & wanted:
            self._faults.put_cause(m)
        if "f" in wanted:
            self._faults.put_clause(m)
        for name in ("loc", "loc2"):
            if name in wanted:
                groups = ["place", "place", "machine", "mech"] if rules.get("item") else ["place"]
                if shape.id == "count-at":
                    groups = ["place", "place", "place", "machine"]
                place = rng.choice(self._lexicon.parts[rng.choice(groups)])
                ident = self._things.identifier(m, place, always=True)
                self._things.put(m, name, Thing(place, ident))
        if "q" in wanted:
            self._quantities.put(m, slots, shape)
        if "qn" in wanted:
            quantity = rng.choice(self._lexicon.of_parts[:10])
            self._things.put_term(m, "qn", quantity)
            self._quantities.put_value(m, "v", quantity, new_numbers(m, quantity, 1)[0])
        for name in ("i", "i2"):
            if wanted & {name, f"{name}_te", f"{name}_kudasai", f"{name}_nai", f"{name}_suru"}:
                self._instructions.put(m, name, is_main=name == "i", shape=shape)
        if "dur" in wanted:
            self._quantities.put_duration(m)
        for name in ("n", "n2"):
            if name in wanted:
                m.source[name] = m.target[name] = new_count(m)
        if "n2" in wanted and m.source["n"] == m.source["n2"]:
            m.source["n2"] = m.target["n2"] = str(int(m.source["n"]) + 1)
        if shape.id == "of-total" and int(m.source["n"]) > int(m.source["n2"]):
            for words in (m.source, m.target):
                words["n"], words["n2"] = words["n2"], words["n"]
        if "w" in wanted:
            self._put_counted(m, slots)
        self._put_words(m, wanted, rules)

    def _put_words(self, m: Message, wanted: frozenset[str], rules: Mapping[str, Any]) -> None:
        rng = m.rng
        for name, table in (
            ("btn", "buttons"), ("pos", "positions"), ("op", "operations"), ("thing", "things"),
            ("work", "works"), ("wait", "waits"), ("until", "untils"), ("solo", "solos"),
        ):  # fmt: skip
            if name in wanted:
                self._things.put_term(m, name, rng.choice(self._lexicon.words[table]))
        if "many" in wanted:
            self._instructions.put_all(m)
        if "code" in wanted:
            code = new_code(rng, m.draw)
            while " " in code or (code.isdigit() and rng.random() < 0.3):
                code = new_code(rng, m.draw)
            m.source["code"] = m.target["code"] = code
        if "ev" in wanted:
            events = self._lexicon.events[
                "loc" if "loc" in wanted else "s" if "s" in wanted else ""
            ]
            self._things.put_term(m, "ev", rng.choice(events))
        if "mode" in wanted:
            first, second = rng.sample(self._lexicon.words["modes"], 2)
            self._things.put_term(m, "mode", first)
            self._things.put_term(m, "mode2", second)
        if "id" in wanted:
            value = new_tag(rng, m.draw) if rng.random() < 0.3 else new_count(m)
            m.source["id"] = m.target["id"] = value
        if "done" in wanted:
            allowed = rules.get("done")
            done = [t for t in self._lexicon.words["done"] if allowed is None or t.en in allowed]
            term = rng.choice(done)
            if m.target.get("op") in ("homing", "原点復帰") and "s" in wanted:
                term = done[0]  # else it is a condition: "not homed"
            m.target["done"] = term.canonical(m.to)
            nouns, sentences = forms_of(term.alts[m.lang], m.lang)
            m.source["done"] = rng.choice((term.canonical(m.lang), *nouns, *(
                sentences if m.lang == "en" else ())))  # fmt: skip
            m.source["donep"] = rng.choice(sentences or (f"が{term.ja}しました",))
        if "cbad" in wanted:
            word = rng.choice(list(_COMM))
            ja, en_sources, ja_sources = _COMM[word]
            m.target["cbad"] = word if m.to == "en" else ja
            m.source["cbad"] = word if m.lang == "en" else ja
            m.source["cword"] = rng.choice(en_sources if m.lang == "en" else ja_sources)

    def _put_counted(self, m: Message, slots: frozenset[str]) -> None:
        rng = m.rng
        term = rng.choice(self._lexicon.words["items_counted"])
        state = rng.choice(self._lexicon.words["counted"])
        self._things.put_term(m, "w", term)
        if m.source.get("n") == "1" and "n2" not in m.source:
            english = m.source if m.lang == "en" else m.target
            english["w"] = _singular(english["w"])
        m.target["cs"] = state.canonical(m.to)
        m.target["ctr"] = _COUNTERS[term.en]
        nouns, sentences = forms_of(state.alts[m.lang], m.lang)
        canonical = state.canonical(m.lang)
        if m.lang == "en":
            m.source["cs"] = rng.choice((canonical, canonical, *nouns, *sentences))
        else:
            m.source["cs"] = rng.choice((canonical, canonical, *nouns))
            m.source["csp"] = rng.choice((canonical, *sentences, *nouns))
        m.source["ctr"] = rng.choice((_COUNTERS[term.en], _COUNTERS[term.en], "個", "ヶ"))


def _singular(word: str) -> str:
    if word.endswith("pcs"):
        return word.replace("pcs", "pc")
    return re.sub(r"(?<=x)es$|s$", "", word)

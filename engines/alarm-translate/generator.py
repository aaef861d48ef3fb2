"""Alarm lines that were meant first and written in two languages afterwards.

A meaning is a tree: a shape (shapes.toml) over terms (lexicon.toml), identifiers and values. The
source is one of its wordings with variants, then noise; the translation is its one canonical
wording in the other language. What is no alarm line is in negatives.toml.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

from skilld.skills.span_marks import SpanError
from skilld.skills.spans import SpanRules
from skilld.training import noise
from skilld.training.example import Draw, Example
from skilld.training.grammar import Grammar
from skilld.training.terminals import terminals

VERSION = "1.5.0"
FOLDER = Path(__file__).parent
LANGUAGES = ("en", "ja")

HELD_TAGS = ("QX", "ZK", "TK", "HV", "WJ")
HELD_CODES = ("DQ", "HX", "MOTN", "UF")
HELD_NUMBERS = ("47", "63", "91")
"""Beginnings of tags, alarm codes and numbers that training never sees."""

_KANA_OR_HAN = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")
_PLAIN = re.compile(r"\{s\} ?\{cp?\}|\{s\}の\{c\}")
"""Wordings in which a place is the subject; "at", a colon and the like make it a place."""
_ARTICLE = re.compile(r"\b(no|low|enough|insufficient|little) the ", re.IGNORECASE)
_SLOT = re.compile(r"\{(\w+)\}")
_BEHIND_VALUE = re.compile(r"(?<=\d[%秒分個])[ ](?=[にをがは未])|(?<=\d時間)[ ](?=[にをがは未])")
_OTHER = {"en": "ja", "ja": "en"}
_COUNTERS = {
    "parts": "個", "screws": "本", "pallets": "枚", "boxes": "個", "bottles": "本", "labels": "枚",
    "caps": "個", "trays": "枚", "tools": "本", "sensors": "個", "alarms": "件",
}  # fmt: skip
_DICTIONARY_FORMS = {
    "を押して": "を押す", "を開けて": "を開ける", "を閉めて": "を閉める", "を締めて": "を締める",
    "を取り除いて": "を取り除く", "の電源を入れて": "の電源を入れる",
    "の電源を切って": "の電源を切る", "に触れて": "に触れる", "に入って": "に入る",
}  # fmt: skip
_JA_TIME = {"s": "秒", "min": "分", "h": "時間"}
_OWNED = frozenset({"mech", "fluid", "sensor", "elec", "drive", "safety"})
_OWNERS = (
    "axis",
    "servo axis",
    "spindle",
    "gripper",
    "turntable",
    "lift",
    "press",
    "tank",
    "pump",
    "control panel",
)
_LETTERED = frozenset(
    {"station", "line", "cell", "zone", "lane", "pump", "tank", "buffer", "motor"}
)
_COMM = {
    "lost": ("断", ("loss of communication", "connection lost", "comms lost", "communication lost",
                   "link lost"), ("断", "切断", "途絶", "が切れました", "が切れた")),
    "error": ("異常", ("communication error", "comm error", "communication fault", "comms error",
                     "comm. fault"), ("異常", "エラー", "不良", "が異常です", "障害")),
    "timeout": ("タイムアウト", ("communication timeout", "comm timeout", "comms time-out",
                           "communication timed out"), ("タイムアウト", "時間切れ")),
}  # fmt: skip

_BEFORE_NOUN = {
    "high": ("high", "high", "excessive", "too high"),
    "low": ("low", "low", "insufficient", "too low"),
    "rising": ("rising", "increasing"), "not reached": ("unreached",),
    "incorrect": ("incorrect", "wrong"),
    "falling": ("falling", "dropping", "decreasing"),
    "unstable": ("unstable", "fluctuating"), "out of range": ("out of range", "out-of-range"),
    "abnormal": ("abnormal", "irregular", "faulty"), "normal": ("normal",),
}  # fmt: skip

_NAME_FORMS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "en": {
        "any number": ("{0} {1}", "{0} no. {1}", "{0} #{1}", "{0} No.{1}", "{0}-{1}", "{0}{1}",
                       "{0} number {1}", "the {0} {1}", "{0} ({1})", "{0} no.{1}"),
        "any letter": ("{0} {1}",),
        # No tag in brackets, none in front: those are codes of the alarm.
        "any tag": ("{0} {1}", "{0} {1}", "{0} {1}", "the {0} {1}"),
        "axis number": ("axis {1}", "axis {1}", "axis no. {1}", "axis #{1}"),
        "axis letter": ("{1}-axis", "{1}-axis", "{1} axis", "axis {1}"),
        "axis tag": ("axis {1}", "axis {1}", "{1} axis"),
    },
    "ja": {
        "any number": ("{0}{1}", "{0} {1}", "{0}No.{1}", "{0}#{1}", "{1}番{0}", "第{1}{0}",
                       "{0}{1}号", "{1}号{0}", "No.{1}{0}", "{0}({1})", "{0}-{1}", "{1}番の{0}"),
        "any letter": ("{0}{1}", "{0}{1}", "{1}{0}"),
        "any tag": ("{0}{1}", "{0}{1}", "{0}{1}", "{0} {1}", "{1}{0}"),
        "axis number": ("軸{1}", "第{1}軸", "{1}軸"),
        "axis letter": ("{1}軸",),
        "axis tag": ("{1}軸", "軸{1}"),
    },
}  # fmt: skip

_HEADS = {
    "en": ("{}: ", "{}: ", "{}: ", "[{}] ", "{} - ", "({}) ", "<{}> ", "{}:", "*** {}: ", "{} / "),
    "ja": ("{}: ", "{}：", "{}：", "[{}] ", "【{}】", "（{}）", "<{}> ", "{}:", "{}／"),
}  # fmt: skip
_TAILS = {
    "en": (("{} ({})", "{} ({})", "{} [{}]"), ("{} {}", "{} {}", "{}, {}", "{} - {}")),
    "ja": (("{}({})", "{}（{}）", "{} [{}]", "{}【{}】"), ("{} {}", "{} {}", "{}　{}", "{}、{}")),
}  # fmt: skip
_CLEAR_LEVELS = frozenset({"alarm", "warning", "caution", "info"})

Words = dict[str, str]
Pair = tuple[str, str]
"""Source and target."""


@dataclass(frozen=True, slots=True)
class Term:
    """One entry of the lexicon: canonical pair, variants by language, and further columns."""

    en: str
    ja: str
    alts: Mapping[str, tuple[str, ...]]
    columns: tuple[str, ...]

    def canonical(self, lang: str) -> str:
        """The canonical word; a leading `~` of a condition is no part of it."""
        return self.en.removeprefix("~") if lang == "en" else self.ja


@dataclass(frozen=True, slots=True)
class Thing:
    """A named thing: the right conveyor, conveyor 3, pump P-101, the motor of conveyor 3."""

    term: Term
    ident: str = ""
    side: Term | None = None
    owner: Thing | None = None


@dataclass(frozen=True, slots=True)
class Phrases:
    """What a condition may be called where it stands behind a certain part."""

    en_nouns: tuple[str, ...]
    en_behind: tuple[str, ...]
    ja_nouns: tuple[str, ...]
    ja_sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Shape:
    """A sentence shape of shapes.toml."""

    id: str
    weight: float
    canonical: Mapping[str, str]
    sources: Mapping[str, tuple[str, ...]]
    rules: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Family:
    """One source wording of a shape."""

    shape: Shape
    lang: str
    template: str
    slots: frozenset[str]


@dataclass(slots=True)
class Message:
    """A meaning while it is put together: words of both sides, and what it combines."""

    rng: Random
    draw: Draw
    lang: str
    source: Words = field(default_factory=dict)
    target: Words = field(default_factory=dict)
    combination: str = ""

    @property
    def to(self) -> str:
        """The language translated into."""
        return _OTHER[self.lang]


class AlarmTranslateGenerator:
    """See the module docstring; the protocol is `skilld.training.example.Generator`."""

    def __init__(self) -> None:
        lexicon = _toml("lexicon.toml")
        skill = _toml("skills/alarm-translate.toml")
        negatives = _toml("negatives.toml")
        self._spans = SpanRules(**skill["spans"])
        self._schema = skill["output_schema"]
        self._parts = {name: _terms(text) for name, text in lexicon["parts"].items()}
        every_part = [term for terms in self._parts.values() for term in terms]
        words = {name: _terms(text) for name, text in lexicon["words"].items()}
        self._words = {name: _unambiguous(terms) for name, terms in words.items()}
        quantities = lexicon["quantities"]
        clear = {
            term.en: term
            for term in _unambiguous(
                [*every_part, *_terms(quantities["alone"]), *_terms(quantities["of_parts"])]
            )
        }
        self._parts = {g: [clear[t.en] for t in terms] for g, terms in self._parts.items()}
        self._part_words = frozenset(
            name.lower()
            for term in clear.values()
            for lang in LANGUAGES
            for name in (term.canonical(lang), *term.alts[lang])
        )
        self._known_pairs: dict[tuple[str, str], bool] = {}
        self._owners = [clear[en] for en in _OWNERS]
        self._machine = clear["machine"]
        self._alone = [clear[t.en] for t in _terms(quantities["alone"])]
        self._of_parts = [clear[t.en] for t in _terms(quantities["of_parts"])]
        self._groups = {name: list(terms) for name, terms in self._parts.items()}
        for name, members in (lexicon["groups"] | quantities["groups"]).items():
            self._groups[name] = [clear[en] for en in members]
        self._group_of = {t.en: g for g, terms in self._parts.items() for t in terms}
        self._conditions = _terms(lexicon["conditions"]["terms"])
        self._states = _unambiguous(_terms(quantities["states"]["terms"]))
        verbs = lexicon["verbs"]
        self._verbs = _terms(verbs["terms"], columns=3)
        self._verb_groups = self._groups | {
            name: [clear[en] for en in members] for name, members in verbs["groups"].items()
        }
        self._units = {"en": lexicon["units"], "ja": lexicon["units_ja"]}
        self._respell = {
            lang: [
                (re.compile(rf"(?<![A-Za-z]){re.escape(w)}(?![A-Za-z])" if lang == "en" else w), to)
                for w, to in lexicon["respell"][lang].items()
            ]
            for lang in LANGUAGES
        }
        self._pair()
        self._shapes = _shapes()
        self._families = {
            f"{shape.id}.{lang}.{i}": Family(
                shape, lang, text.removeprefix("!"), frozenset(_SLOT.findall(text))
            )
            for shape in self._shapes.values()
            for lang in LANGUAGES
            for i, text in enumerate(shape.sources[lang])
        }
        self._held_families = {
            f"{shape.id}.{lang}.{i}"
            for shape in self._shapes.values()
            for lang in LANGUAGES
            for i, text in enumerate(shape.sources[lang])
            if text.startswith("!")
        }
        self._negatives = {f["id"]: f for f in negatives["family"]}
        self._held_families |= {f["id"] for f in negatives["family"] if f.get("held")}
        drawn = terminals()
        self._grammar = Grammar({}, terminals=drawn)
        self._foreign = Grammar(negatives["rules"], terminals=drawn)
        self._held_pattern = re.compile(
            rf"(?<![A-Za-z0-9])(?:{'|'.join(self.held_values)})", re.IGNORECASE
        )

    @property
    def version(self) -> str:
        """Changes whenever the same seed gives other examples."""
        return VERSION

    @property
    def families(self) -> Mapping[str, float]:
        """Family id to weight. Negatives are about one in eight."""
        weights = {
            name: f.shape.weight / len(f.shape.sources[f.lang])
            for name, f in self._families.items()
        }
        scale = sum(weights.values()) * 0.15 / len(self._negatives)
        return weights | {name: f.get("weight", 1.0) * scale for name, f in self._negatives.items()}

    @property
    def held_families(self) -> frozenset[str]:
        """Wordings and kinds of foreign text that training never sees."""
        return frozenset(self._held_families)

    @property
    def held_values(self) -> tuple[str, ...]:
        """Beginnings of tags, codes and numbers that training never sees."""
        return HELD_TAGS + HELD_CODES + HELD_NUMBERS

    @property
    def held_combinations(self) -> frozenset[str]:
        """Pairs of part and condition, part and action, thing and quantity."""
        return frozenset(self._held_pairs)

    def sample(self, rng: Random, *, family: str, draw: Draw) -> Example:
        """One example of a family."""
        if family in self._negatives:
            return self._negative(rng, family, draw)
        while True:
            example = self._positive(rng, family, draw)
            if example is not None:
                return example

    # ------------------------------------------------------------ combinations

    def _pair(self) -> None:
        """Find what goes with what, and hold one pair in eight out."""
        held: set[str] = set()
        self._condition_parts: dict[str, dict[bool, list[Term]]] = {}
        by_part: dict[str, list[Term]] = {}
        for condition in self._conditions:
            parts = self._members(condition.columns[0].split(), self._groups)
            self._condition_parts[condition.en] = self._split(parts, condition.en, held)
            for part in parts:
                by_part.setdefault(part.en, []).append(condition)
        self._phrases = {
            (part, condition.en): phrases
            for part, conditions in by_part.items()
            for condition, phrases in _phrases(conditions)
        }
        self._verb_parts: dict[str, dict[bool, list[Term]]] = {}
        for verb in self._verbs:
            names = [n for n in verb.columns[-1].split() if n not in ("quantity", "cause")]
            parts = self._members(names, self._verb_groups)
            if "quantity" in verb.columns[-1].split():
                parts += self._alone
            self._verb_parts[verb.en] = self._split(parts, verb.en, held)
        self._quantity_owners: dict[str, dict[bool, list[Term]]] = {}
        for quantity in self._of_parts:
            parts = [
                part
                for part in self._members(quantity.columns[3].split(), self._groups)
                if f"{part.en} {quantity.en}" not in {q.en for q in self._alone}
            ]
            self._quantity_owners[quantity.en] = self._split(parts, quantity.en, held)
        self._held_pairs = held
        # "Overload on pump 2" is a condition of the pump, never an event at it.
        everywhere = {_bare(name) for term in self._conditions for name in _names(term)}
        of_places = {
            _bare(name)
            for term in self._conditions
            if "place" in term.columns[0].split()
            for name in _names(term)
        }
        events = self._words["events"]
        self._events = {
            "": [*events, *self._bare_conditions(events)],
            "s": [t for t in events if not {_bare(n) for n in _names(t)} & everywhere],
            "loc": [t for t in events if not {_bare(n) for n in _names(t)} & of_places],
        }

    def _bare_conditions(self, events: Sequence[Term]) -> list[Term]:
        """Conditions that say enough without a subject: overcurrent, wire break."""
        taken = {_bare(name) for term in (*events, *self._words["levels"]) for name in _names(term)}
        conditions = [c for c in self._conditions if not c.en.startswith("~")]
        clear = _unambiguous([*events, *self._words["levels"], *conditions])[-len(conditions) :]
        return [
            Term(c.en, c.ja, {lang: _forms(c.alts[lang], lang)[0] for lang in LANGUAGES}, ())
            for c in clear
            if not {_bare(c.en), c.ja} & taken and c.en not in ("fault", "failure", "life end")
        ]

    def _members(self, names: Iterable[str], groups: Mapping[str, list[Term]]) -> list[Term]:
        found = {term.en: term for name in names for term in groups[name]}
        return list(found.values())

    def _split(self, parts: list[Term], other: str, held: set[str]) -> dict[bool, list[Term]]:
        split: dict[bool, list[Term]] = {False: [], True: []}
        for part in parts:
            name = _combination(part.en, other)
            # With few partners, all are needed to learn what the word is at all.
            is_held = len(parts) >= 5 and zlib.crc32(name.encode()) % 8 == 0
            split[is_held].append(part)
            if is_held:
                held.add(name)
        return split

    # ------------------------------------------------------------ one line

    def _positive(self, rng: Random, name: str, draw: Draw) -> Example | None:
        family = self._families[name]
        shape = family.shape
        message = Message(rng, draw, family.lang)
        self._fill(message, shape, family.slots, family.template)
        source = self._grammar.expand(family.template, rng, bound=message.source)
        source = _ARTICLE.sub(r"\1 ", source)
        target = self._grammar.expand(shape.canonical[message.to], rng, bound=message.target)
        is_open = family.template.endswith(("{c}", "{cp}", "{st}", "{stp}", "{ev}"))
        if "{cn} {s}" in family.template and self._is_name(source):
            return None  # "leak sensor 3" is a sensor
        source, target = self._decorated(message, shape, source, target, is_open=is_open)
        target = (_sentence_case if message.to == "en" else _tight_units)(target)
        for attempt in range(4):
            text = self._noisy(rng, source, family.lang, draw=draw, is_plain=attempt == 3)
            if len(text) > 160 or len(target) > 200:
                continue
            clean = unicodedata.normalize("NFKC", text)
            if family.lang == "ja" and not _KANA_OR_HAN.search(clean):
                continue
            if not draw.held_values and self._held_pattern.search(clean):
                return None
            try:
                self._spans.mark({"text": text}).point({"translation": target}, self._schema)
            except SpanError:
                continue
            return Example(name, {"text": text}, {"translation": target}, message.combination)
        return None

    def _decorated(
        self, m: Message, shape: Shape, source: str, target: str, *, is_open: bool
    ) -> Pair:
        """A time, a level or a code around the line."""
        rng = m.rng
        is_instruction = shape.id in _INSTRUCTIONS
        has_tail = ": " in shape.canonical["en"]  # a time behind it would belong to the tail
        if not is_instruction and not has_tail and rng.random() < 0.05:
            clock = _clock(rng)
            if m.lang == "en":
                form = rng.choice(("{0} {1}", "{1} at {0}", "[{0}] {1}", "{0}: {1}"))
                source = form.format(clock, source)
            else:
                form = rng.choice(("{0} {1}", "{0}に{1}", "{0}、{1}", "{1}（{0}）"))
                source = form.format(clock, source)
            target = f"{target} at {clock}" if m.to == "en" else f"{clock} {target}"
        roll = rng.random()
        if roll < 0.06 and not is_instruction and not has_tail and not shape.rules.get("code"):
            return self._code_behind(m, source, target, is_open=is_open)
        if rng.random() >= (0.05 if is_instruction else 0.26):
            return source, target
        level = rng.choice(self._words["levels"]) if rng.random() < 0.5 else None
        code = self._code(rng, m.draw) if level is None or rng.random() < 0.4 else ""
        if level is None:
            head_from, head_to = code, code
        else:
            word = self._say(rng, level, m.lang)
            gap = rng.choice(
                ("", " ", " no. ", " #") if m.lang == "en" else ("", " ", "No.", "コード")
            )
            if m.lang == "en" and gap == "":
                gap = " "
            head_from = f"{word}{gap}{code}" if code else word
            head_to = level.canonical(m.to)
            if code:
                head_to += ("" if m.to == "ja" else " ") + code
        # "401 parts missing", "fault pump 2": a bare number or word could belong to the line.
        is_clear = not code.isdigit() and (bool(code) or level is None or level.en in _CLEAR_LEVELS)
        if is_clear and rng.random() < 0.35:
            form = "{} "
        elif m.lang == "ja" and code[:3].isalpha() and rng.random() < 0.2:
            form = "{}"
        else:
            form = rng.choice(_HEADS[m.lang])
        return form.format(head_from) + source, f"{head_to}: {target}"

    def _code_behind(self, m: Message, source: str, target: str, *, is_open: bool) -> Pair:
        """The code of the alarm behind it; without brackets only where no thing could claim it."""
        rng = m.rng
        code = self._code(rng, m.draw)
        while code.isdigit() or code in source:
            code = self._code(rng, m.draw)
        forms = _TAILS[m.lang]
        form = rng.choice(forms[0] + forms[1] if is_open else forms[0])
        return form.format(source.rstrip(), code), f"{target} ({code})"

    def _fill(self, m: Message, shape: Shape, slots: frozenset[str], template: str) -> None:
        """Give every slot of a shape a meaning, and its words on both sides."""
        rng = m.rng
        rules = shape.rules
        wanted = slots | frozenset(_SLOT.findall(shape.canonical["en"]))
        if wanted & {"name"}:
            condition, part = self._fault(m, needs_noun="cn" in slots, is_main=True)
            self._say_condition(m, "", part, condition)
            self._put_term(m, "name", part)
        elif wanted & {"c", "cn", "cp", "cn0"}:
            needs_noun = "cn" in slots or bool(rules.get("noun_only"))
            is_strict = bool(rules.get("noun_only"))
            while True:
                condition, part = self._fault(
                    m,
                    needs_noun=needs_noun,
                    is_main=True,
                    is_strict=is_strict,
                    only=rules.get("only"),
                    groups=rules.get("groups"),
                    no_place=not _PLAIN.fullmatch(template),
                )
                owner = self._owner(m, part, is_needed=True) if rules.get("owner") else None
                if owner is not None or not rules.get("owner"):
                    break
            self._say_condition(m, "", part, condition)
            if owner is not None:
                inner = Thing(part, self._ident(m, part) if rng.random() < 0.35 else "")
                m.source["p"] = self._name(rng, inner, m.lang)
                m.source["o"] = self._name(rng, owner, m.lang)
                m.target["s"] = _canonical_name(Thing(part, inner.ident, owner=owner), m.to)
            else:
                self._put_thing(m, "s", self._thing(m, part, is_bare=bool(rules.get("bare"))))
            if "s2" in wanted:
                if rules.get("same_group"):
                    other = rng.choice(self._open_parts(condition))
                    self._say_condition(m, "", part, condition)
                else:
                    condition2, other = self._fault(m, needs_noun=False)
                    self._say_condition(m, "2", other, condition2)
                self._put_thing(m, "s2", self._thing(m, other))
        elif "s" in wanted:
            part = self._any_part(rng, shape)
            self._put_thing(m, "s", self._thing(m, part))
            if "s2" in wanted:
                group = self._parts[self._group_of[part.en]]
                self._put_thing(m, "s2", self._thing(m, rng.choice(group)))
        if {"g", "g_no", "g_plain"} & wanted:
            self._put_cause(m)
        if "f" in wanted:
            self._put_clause(m)
        for name in ("loc", "loc2"):
            if name in wanted:
                groups = ["place", "place", "machine", "mech"] if rules.get("item") else ["place"]
                if shape.id == "count-at":
                    groups = ["place", "place", "place", "machine"]
                place = rng.choice(self._parts[rng.choice(groups)])
                ident = self._ident(m, place, always=True)
                self._put_thing(m, name, Thing(place, ident))
        if "q" in wanted:
            self._put_quantity(m, slots, shape)
        if "qn" in wanted:
            quantity = rng.choice(self._of_parts[:10])
            self._put_term(m, "qn", quantity)
            self._put_value(m, "v", quantity, self._numbers(m, quantity, 1)[0])
        for name in ("i", "i2"):
            if wanted & {name, f"{name}_te", f"{name}_kudasai", f"{name}_nai", f"{name}_suru"}:
                self._put_instruction(m, name, is_main=name == "i", shape=shape)
        if "dur" in wanted:
            self._put_duration(m)
        for name in ("n", "n2"):
            if name in wanted:
                m.source[name] = m.target[name] = self._count(m)
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
                self._put_term(m, name, rng.choice(self._words[table]))
        if "many" in wanted:
            self._put_all(m)
        if "code" in wanted:
            code = self._code(rng, m.draw)
            while " " in code or (code.isdigit() and rng.random() < 0.3):
                code = self._code(rng, m.draw)
            m.source["code"] = m.target["code"] = code
        if "ev" in wanted:
            events = self._events["loc" if "loc" in wanted else "s" if "s" in wanted else ""]
            self._put_term(m, "ev", rng.choice(events))
        if "mode" in wanted:
            first, second = rng.sample(self._words["modes"], 2)
            self._put_term(m, "mode", first)
            self._put_term(m, "mode2", second)
        if "id" in wanted:
            value = self._tag(rng, m.draw) if rng.random() < 0.3 else self._count(m)
            m.source["id"] = m.target["id"] = value
        if "done" in wanted:
            allowed = rules.get("done")
            done = [t for t in self._words["done"] if allowed is None or t.en in allowed]
            term = rng.choice(done)
            if m.target.get("op") in ("homing", "原点復帰") and "s" in wanted:
                term = done[0]  # else it is a condition: "not homed"
            m.target["done"] = term.canonical(m.to)
            nouns, sentences = _forms(term.alts[m.lang], m.lang)
            m.source["done"] = rng.choice((term.canonical(m.lang), *nouns, *(
                sentences if m.lang == "en" else ())))  # fmt: skip
            m.source["donep"] = rng.choice(sentences or (f"が{term.ja}しました",))
        if "cbad" in wanted:
            word = rng.choice(list(_COMM))
            ja, en_sources, ja_sources = _COMM[word]
            m.target["cbad"] = word if m.to == "en" else ja
            m.source["cbad"] = word if m.lang == "en" else ja
            m.source["cword"] = rng.choice(en_sources if m.lang == "en" else ja_sources)

    # ------------------------------------------------------------ faults

    def _fault(
        self,
        m: Message,
        *,
        needs_noun: bool,
        is_main: bool = False,
        is_strict: bool = False,
        only: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
        no_place: bool = True,
    ) -> tuple[Term, Term]:
        """A condition and a part that may have it."""
        rng = m.rng
        is_held = is_main and m.draw.held_combination
        conditions = self._conditions
        if only is not None:
            conditions = [c for c in conditions if c.en in only]
        while True:
            condition = rng.choice(conditions)
            parts = self._condition_parts[condition.en][is_held]
            if groups is not None:
                parts = [p for p in parts if self._group_of[p.en] in groups]
            if no_place:
                parts = [p for p in parts if self._group_of[p.en] != "place"]
            if not parts or (is_strict and condition.en.startswith("~")):
                continue
            part = rng.choice(parts)
            if needs_noun and not self._phrases[part.en, condition.en].en_nouns:
                continue
            if is_main:
                m.combination = _combination(part.en, condition.en)
            return condition, part

    def _open_parts(self, condition: Term) -> list[Term]:
        parts = self._condition_parts[condition.en]
        return parts[False] or parts[True]

    def _say_condition(self, m: Message, suffix: str, part: Term, condition: Term) -> None:
        rng = m.rng
        phrases = self._phrases[part.en, condition.en]
        m.target[f"c{suffix}"] = m.target[f"cn0{suffix}"] = condition.canonical(m.to)
        src = m.source
        canonical = condition.canonical(m.lang)
        if m.lang == "en":
            nouns, behind = phrases.en_nouns, phrases.en_behind
            is_canonical = rng.random() < 0.35
            src[f"c{suffix}"] = canonical if is_canonical else rng.choice((*nouns, *behind))
            src[f"cn{suffix}"] = rng.choice(nouns) if nouns else canonical
            src[f"cp{suffix}"] = rng.choice(behind) if behind else f"has {rng.choice(nouns)}"
        else:
            nouns, behind = phrases.ja_nouns, phrases.ja_sentences
            src[f"c{suffix}"] = canonical if rng.random() < 0.4 else rng.choice(nouns)
            plain = (f"が{src[f'c{suffix}']}です", f"の{src[f'c{suffix}']}", f" {canonical}")
            is_plain = not behind or rng.random() < 0.15
            src[f"cp{suffix}"] = rng.choice(plain if is_plain else behind)
        for key in ("c", "cn", "cp"):
            if f"{key}{suffix}" in src:
                src[f"{key}{suffix}"] = self._respelled(rng, src[f"{key}{suffix}"], m.lang)
        src[f"cp0{suffix}"] = src[f"cp{suffix}"]
        src[f"cn0{suffix}"] = src[f"c{suffix}"]

    def _put_cause(self, m: Message) -> None:
        condition, part = self._fault(m, needs_noun=True, is_strict=True)
        own = Message(m.rng, m.draw, m.lang)
        self._say_condition(own, "", part, condition)
        self._put_thing(own, "s", self._thing(m, part))
        s, t = own.source, own.target
        if m.lang == "en":
            m.source["g"] = m.rng.choice(
                (f"{s['s']} {s['cn']}", f"{s['s']} {s['cn']}", f"{s['cn']} of {s['s']}")
            )
        else:
            m.source["g_no"] = f"{s['s']}の{s['c']}"
            m.source["g_plain"] = m.rng.choice((m.source["g_no"], f"{s['s']}{s['c']}"))
        m.target["g"] = f"{t['s']} {t['c']}"
        m.target["g_no"] = f"{t['s']}の{t['c']}"

    def _put_clause(self, m: Message) -> None:
        """A whole clause, in one of the plainer wordings."""
        condition, part = self._fault(m, needs_noun=False, is_main=not m.combination)
        own = Message(m.rng, m.draw, m.lang)
        self._say_condition(own, "", part, condition)
        self._put_thing(own, "s", self._thing(m, part))
        s, t = own.source, own.target
        if m.lang == "en":
            forms = [f"{s['s']} {s['c']}", f"{s['s']} {s['c']}", f"{s['s']} {s['cp']}"]
        else:
            forms = [f"{s['s']} {s['c']}", f"{s['s']}{s['c']}", f"{s['s']}の{s['c']}"]
        m.source["f"] = m.rng.choice(forms)
        m.target["f"] = f"{t['s']} {t['c']}"

    # ------------------------------------------------------------ things

    def _any_part(self, rng: Random, shape: Shape) -> Term:
        groups = _SUBJECTS.get(shape.id, ("drive", "machine", "mech", "fluid", "safety"))
        return rng.choice(self._groups[rng.choice(groups)])

    def _thing(self, m: Message, part: Term, *, is_bare: bool = False) -> Thing:
        """A part with an identifier, a side or an owner, or just so."""
        rng = m.rng
        if is_bare and rng.random() < 0.7:
            return Thing(part)
        roll = rng.random()
        if roll < 0.2:
            owner = self._owner(m, part, is_needed=False)
            if owner is not None:
                inner = self._ident(m, part) if rng.random() < 0.35 else ""
                return Thing(part, inner, owner=owner)
        if roll < 0.28 and self._group_of[part.en] not in ("place", "material", "basic", "net"):
            side = rng.choice(self._words["sides"])
            if not self._is_term(side, part):
                return Thing(part, side=side)
        return Thing(part, self._ident(m, part))

    def _owner(self, m: Message, part: Term, *, is_needed: bool) -> Thing | None:
        """What a part may belong to: a machine, an axis; or a place, unless it must be an owner."""
        rng = m.rng
        if self._group_of[part.en] not in _OWNED:
            return None
        roll = rng.random()
        group = "owners" if roll < 0.25 else "machine" if roll < 0.75 or is_needed else "place"
        owner = rng.choice(self._owners if group == "owners" else self._parts[group])
        ident = self._ident(m, owner, always=rng.random() < 0.75 or group == "place")
        if owner in (part, self._machine) or (not ident and self._is_term(owner, part)):
            return None
        return Thing(owner, ident)

    def _is_term(self, first: Term, second: Term) -> bool:
        """Two terms beside each other that read as a third one, or may."""
        pair = first.en, second.en
        if pair not in self._known_pairs:
            self._known_pairs[pair] = any(
                f"{a}{gap}{b}".lower() in self._part_words
                for lang, gap in (("en", " "), ("ja", ""), ("ja", "の"))
                for a in (first.canonical(lang), *first.alts[lang])
                for b in (second.canonical(lang), *second.alts[lang])
            )
        return self._known_pairs[pair]

    def _is_name(self, source: str) -> bool:
        """A line begins with two or three words that are one term."""
        words = source.lower().split()
        return any(" ".join(words[:n]) in self._part_words for n in (2, 3))

    def _ident(self, m: Message, part: Term, *, always: bool = False) -> str:
        rng = m.rng
        group = self._group_of[part.en]
        if part.en == "axis":
            choice = rng.random()
            if choice < 0.5 and not m.draw.held_values:
                return rng.choice("XYZXYZABCUVW")
            return self._count(m) if choice < 0.8 else f"J{rng.randrange(1, 8)}"
        if group in ("material", "basic"):
            return ""
        roll = rng.random() * (0.72 if always else 1.0)
        if roll < 0.5:
            return self._count(m)
        if roll < 0.65:
            return self._tag(rng, m.draw)
        if roll < 0.72:
            if part.en in _LETTERED and not m.draw.held_values:
                return rng.choice("ABCDEFGH")
            return self._count(m)
        return ""

    def _put_thing(self, m: Message, name: str, thing: Thing) -> None:
        m.source[name] = self._name(m.rng, thing, m.lang)
        m.target[name] = _canonical_name(thing, m.to)
        m.target[f"{name}_of"] = m.target[name] + _joint(thing, m.to)

    def _name(self, rng: Random, thing: Thing, lang: str) -> str:
        """A thing as somebody may write it."""
        word = self._say(rng, thing.term, lang)
        ident = thing.ident
        is_plain = rng.random() < 0.5
        if thing.side is not None:
            side = self._say(rng, thing.side, lang)
            if lang == "en":
                return f"{word} ({side})" if rng.random() < 0.1 else f"{side} {word}"
            form = rng.choice(("{0}{1}", "{0}{1}", "{1}（{0}）", "{0}の{1}"))
            return form.format(side, word).replace("のの", "の").replace("の）", "）")
        if not ident:
            name = f"the {word}" if lang == "en" and rng.random() < 0.12 else word
        else:
            kind = "number" if ident.isdigit() else "letter" if len(ident) == 1 else "tag"
            key = f"{'axis' if thing.term.en == 'axis' else 'any'} {kind}"
            form = rng.choice(_NAME_FORMS[lang][key]) if not is_plain or key != "any number" else (
                _NAME_FORMS[lang][key][0])  # fmt: skip
            name = form.format(word, ident)
        if thing.owner is None:
            return name
        owner = self._name(rng, thing.owner, lang)
        if lang == "en":
            owner = owner.removeprefix("the ")
            form = rng.choice(("{0} {1}", "{0} {1}", "{0} {1}", "{1} of {0}", "{1} of the {0}",
                               "{1} on {0}"))  # fmt: skip
            if form == "{1} on {0}" and self._group_of[thing.owner.term.en] == "place":
                form = "{1} of {0}"  # "at a place" is another meaning
        else:
            form = rng.choice(("{0}の{1}", "{0}の{1}", "{0}の{1}", "{0}{1}", "{0} {1}"))
        return form.format(owner, name)

    # ------------------------------------------------------------ quantities

    def _put_quantity(self, m: Message, slots: frozenset[str], shape: Shape) -> None:
        rng = m.rng
        is_held = m.draw.held_combination
        is_alone = rng.random() < (0.8 if shape.rules.get("bare") else 0.55)
        if is_alone and not is_held:
            quantity = rng.choice(self._of_parts if rng.random() < 0.2 else self._alone)
            m.source["q"] = self._say(rng, quantity, m.lang)
            if m.lang == "en" and rng.random() < 0.1:
                m.source["q"] = f"the {m.source['q']}"
            m.target["q"] = quantity.canonical(m.to)
        else:
            while True:
                quantity = rng.choice(self._of_parts)
                owners = self._quantity_owners[quantity.en][is_held]
                if not owners:
                    continue
                part = rng.choice(owners)
                is_named = self._group_of[part.en] == "place"
                thing = Thing(part, self._ident(m, part, always=is_named))
                if thing.ident or not self._is_term(part, quantity):
                    break
            m.combination = _combination(part.en, quantity.en)
            owner = self._name(rng, thing, m.lang)
            word = self._say(rng, quantity, m.lang)
            if m.lang == "en":
                is_of = rng.random() < 0.22
                m.source["q"] = f"{word} of {owner}" if is_of else f"{owner} {word}"
            else:
                m.source["q"] = owner + rng.choice(("の", "の", "", " ")) + word
            name = _canonical_name(thing, m.to) + _joint(thing, m.to)
            m.target["q"] = name + quantity.canonical(m.to)
        state = rng.choice(self._states)
        if shape.id in ("over", "under"):  # a wording that says "high" before the values
            state = self._states[0 if shape.id == "over" else 1]
        m.target["st"] = state.canonical(m.to)
        nouns, sentences = _forms(state.alts[m.lang], m.lang)
        canonical = state.canonical(m.lang)
        every = (canonical, canonical, *nouns, *(sentences if m.lang == "en" else ()))
        m.source["st"] = rng.choice(every)
        m.source["stp"] = rng.choice(sentences or (f"が{canonical}",))
        m.source["sta"] = rng.choice(_BEFORE_NOUN[canonical]) if m.lang == "en" else ""
        if "lim" in slots:
            table = "low_limits" if shape.id.startswith("under") else "limits"
            terms = self._words[table]
            term = terms[0] if rng.random() < 0.75 else rng.choice(terms[1:])
            self._put_term(m, "lim", term)
        if "v" not in slots:
            return
        low, high = sorted(self._numbers(m, quantity, 2), key=_size)
        is_under = shape.id in ("under", "expected") or (
            shape.id == "state-value" and state.en.endswith("low")
        )
        value, limit = (low, high) if is_under else (high, low)
        self._put_value(m, "v", quantity, value)
        if "l" in slots:
            self._put_value(m, "l", quantity, limit)

    def _numbers(self, m: Message, quantity: Term, count: int) -> list[str]:
        """Different numbers within the range of a quantity, as printed."""
        rng = m.rng
        lowest, highest = map(float, quantity.columns[1:3])
        places = 0 if highest >= 200 else 2 if highest <= 12 and rng.random() < 0.4 else 1
        if places == 1 and rng.random() < (0.65 if highest > 30 else 0.15):
            places = 0
        if highest <= 12 and places == 0:
            places = 1
        found: list[str] = []
        while len(found) < count:
            if m.draw.held_values:
                tail = "".join(rng.choices("0123456789", k=rng.randrange(2)))
                text = rng.choice(HELD_NUMBERS) + tail
                if places:
                    text += f".{rng.randrange(10)}"
            else:
                number = rng.uniform(lowest, highest)
                if places == 0 and abs(number) > 60 and rng.random() < 0.5:
                    number = round(number, -1)
                text = f"{number:.{places}f}"
                if abs(number) >= 1000 and rng.random() < 0.15:
                    text = f"{number:,.{places}f}"
            if text not in found:
                found.append(text)
        return found

    def _put_value(self, m: Message, name: str, quantity: Term, number: str) -> None:
        units = quantity.columns[0].split()
        # Both values of a line have one unit.
        unit = units[zlib.crc32(quantity.en.encode() + m.source["q"].encode()) % len(units)] if (
            "q" in m.source) else units[0]  # fmt: skip
        m.source[name] = self._with_unit(m.rng, number, unit, m.lang)
        m.target[name] = _canonical_value(number, unit, m.to)

    def _with_unit(self, rng: Random, number: str, unit: str, lang: str) -> str:
        spellings = self._units[lang].get(unit) or self._units["en"][unit]
        spelling = unit if lang == "en" and rng.random() < 0.4 else rng.choice(spellings)
        is_word = len(spelling) > 3 and spelling.isalpha() and spelling.isascii()
        gap = " " if is_word or rng.random() < (0.5 if lang == "en" else 0.3) else ""
        return f"{number}{gap}{spelling}"

    def _put_duration(self, m: Message) -> None:
        unit = m.rng.choice(("s", "s", "s", "min", "min", "h"))
        if m.draw.held_values:
            number = m.rng.choice(HELD_NUMBERS)
        else:
            number = str(
                m.rng.choice((1, 2, 3, 5, 8, 10, 15, 20, 30, 60, 90, m.rng.randrange(2, 200)))
            )
            if unit == "s" and m.rng.random() < 0.1:
                number += f".{m.rng.randrange(1, 10)}"
        said = self._with_unit(m.rng, number, unit, m.lang)
        m.source["dur"] = said.replace("秒間", "秒").replace("分間", "分")
        m.target["dur"] = _canonical_value(number, unit, m.to)

    # ------------------------------------------------------------ instructions

    def _put_instruction(self, m: Message, name: str, *, is_main: bool, shape: Shape) -> None:
        rng = m.rng
        is_held = is_main and m.draw.held_combination and not m.combination
        if not is_held and shape.id in _SOLO and rng.random() < 0.2:
            self._put_solo(m, name)
            return
        while True:
            verb = rng.choice(self._verbs)
            if verb.en in ("touch", "enter") and not shape.id.startswith("prohibition"):
                continue
            parts = self._verb_parts[verb.en][is_held]
            if parts:
                break
        part = rng.choice(parts)
        if is_main and not m.combination:
            m.combination = _combination(part.en, verb.en)
        thing = self._thing(m, part) if part.en in self._group_of else Thing(part)
        obj = self._name(rng, thing, m.lang)
        goal = _canonical_name(thing, m.to)
        te, nai = verb.ja, verb.columns[0]
        m.target[name] = f"{verb.en} {goal}"
        m.target[f"{name}_te"] = goal + te
        m.target[f"{name}_kudasai"] = f"{goal}{te}ください"
        m.target[f"{name}_nai"] = goal + nai
        m.target[f"{name}_suru"] = goal + _dictionary_form(te)
        src = m.source
        if m.lang == "en":
            word = verb.en if rng.random() < 0.5 else rng.choice((verb.en, *verb.alts["en"]))
            article = "the " if rng.random() < 0.25 and not obj.startswith("the ") else ""
            src[name] = f"{word} {article}{obj}"
            return
        teforms = _ja_list(verb.columns[1])
        said = te if rng.random() < 0.5 else rng.choice((te, *teforms))
        please = "ください" if rng.random() < 0.7 else "下さい"
        nouns = _ja_list(verb.columns[2])
        src[f"{name}_te"] = obj + said
        src[f"{name}_kudasai"] = f"{obj}{said}{please}"
        src[f"{name}_nai"] = obj + nai
        src[f"{name}_suru"] = obj + _dictionary_form(te)
        particle = rng.choice(("を", "の", "を", ""))
        src[f"{name}_noun"] = obj + particle + rng.choice(nouns)

    def _put_all(self, m: Message) -> None:
        """An action on all things of a kind."""
        rng = m.rng
        is_held = m.draw.held_combination
        while True:
            verb = rng.choice(self._verbs)
            parts = [p for p in self._verb_parts[verb.en][is_held] if p.en in self._group_of]
            if parts and verb.en not in ("touch", "enter", "set"):
                break
        part = rng.choice(parts)
        m.combination = _combination(part.en, verb.en)
        word = self._say(rng, part, m.lang)
        m.source["many"] = _plural(word) if m.lang == "en" else word
        m.target["many"] = _plural(part.en) if m.to == "en" else part.ja
        m.source["v_en"] = rng.choice((verb.en, verb.en, *verb.alts["en"]))
        m.source["v_te"] = rng.choice((verb.ja, verb.ja, *_ja_list(verb.columns[1])))
        m.target["v_en"], m.target["v_te"] = verb.en, verb.ja

    def _put_solo(self, m: Message, name: str) -> None:
        """An instruction that is a term of its own."""
        term = m.rng.choice(self._words["solos"])
        te = m.target
        te[name] = term.en
        te[f"{name}_te"] = term.ja
        te[f"{name}_kudasai"] = f"{term.ja}ください"
        said = self._say(m.rng, term, m.lang)
        m.source[name] = said
        m.source[f"{name}_te"] = said
        m.source[f"{name}_kudasai"] = said + m.rng.choice(("ください", "ください", "下さい"))
        m.source[f"{name}_noun"] = said + m.rng.choice(("ください", "下さい", "おくこと"))

    # ------------------------------------------------------------ counts and identifiers

    def _count(self, m: Message) -> str:
        rng = m.rng
        if m.draw.held_values:
            tail = rng.choice(("", "", str(rng.randrange(10))))
            return rng.choice(HELD_NUMBERS) + tail
        if rng.random() < 0.75:
            return str(rng.randrange(1, 10))
        return str(rng.choice((10, 11, 12, rng.randrange(13, 100), rng.randrange(100, 400))))

    def _put_counted(self, m: Message, slots: frozenset[str]) -> None:
        rng = m.rng
        term = rng.choice(self._words["items_counted"])
        state = rng.choice(self._words["counted"])
        self._put_term(m, "w", term)
        if m.source.get("n") == "1" and "n2" not in m.source:
            english = m.source if m.lang == "en" else m.target
            english["w"] = _singular(english["w"])
        m.target["cs"] = state.canonical(m.to)
        m.target["ctr"] = _COUNTERS[term.en]
        nouns, sentences = _forms(state.alts[m.lang], m.lang)
        canonical = state.canonical(m.lang)
        if m.lang == "en":
            m.source["cs"] = rng.choice((canonical, canonical, *nouns, *sentences))
        else:
            m.source["cs"] = rng.choice((canonical, canonical, *nouns))
            m.source["csp"] = rng.choice((canonical, *sentences, *nouns))
        m.source["ctr"] = rng.choice((_COUNTERS[term.en], _COUNTERS[term.en], "個", "ヶ"))

    def _tag(self, rng: Random, draw: Draw) -> str:
        letters = "".join(rng.choices("ABCDEFGHKLMPRSTVXY", k=rng.choice((1, 1, 2, 2, 2, 3))))
        if draw.held_values:
            letters = rng.choice(HELD_TAGS)
        digits = "".join(rng.choices("0123456789", k=rng.choice((2, 3, 3, 4))))
        form = rng.choice(
            ("{}-{}", "{}-{}", "{}{}", "{}{}", "{}-{}A", "{}{}-2", "{}_{}", "{}-{}-1")
        )
        return form.format(letters, digits)

    def _code(self, rng: Random, draw: Draw) -> str:
        digits = "".join(rng.choices("0123456789", k=rng.choice((2, 3, 3, 4))))
        if draw.held_values:
            return f"{rng.choice(HELD_CODES)}-{digits}"
        return rng.choice(
            (
                digits, digits, f"ALM {digits}", f"ALM{digits}", f"ERR {digits}", f"E{digits}",
                f"E-{digits}", f"AL.{digits[:2]}", f"SRVO-{digits}", f"F{digits}", f"A{digits}",
                f"W{digits}", f"SV{digits}", f"EX{digits}", f"0x{digits}A", f"16#{digits}",
                f"A{digits}.{digits[0]}", f"ALM-{digits}", f"ERR-{digits}", f"WRN {digits}",
                f"{rng.choice('ABCDEGHKMP')}{rng.choice('LMRST')}-{digits}",
                f"MSG {digits}", f"AL-{digits}",
            )
        )  # fmt: skip

    # ------------------------------------------------------------ words

    def _put_term(self, m: Message, name: str, term: Term) -> None:
        m.source[name] = self._say(m.rng, term, m.lang)
        m.target[name] = term.canonical(m.to)

    def _say(self, rng: Random, term: Term, lang: str) -> str:
        alts = term.alts[lang]
        if lang == "ja" and rng.random() < 0.02:
            word = term.canonical("en")
            return rng.choice((word.upper(), word.capitalize(), word))
        word = rng.choice(alts) if alts and rng.random() < 0.45 else term.canonical(lang)
        return self._respelled(rng, word, lang)

    def _respelled(self, rng: Random, word: str, lang: str) -> str:
        if rng.random() < 0.78:
            return word
        for pattern, spellings in self._respell[lang]:
            if pattern.search(word):
                return pattern.sub(rng.choice(spellings), word, count=1)
        return word

    # ------------------------------------------------------------ noise

    def _noisy(self, rng: Random, text: str, lang: str, *, draw: Draw, is_plain: bool) -> str:
        if is_plain:
            return text
        if lang == "en":
            text = self._styled(rng, text)
        level = 1.0 if draw.is_noisy else 0.2
        if rng.random() < level:
            for _ in range(rng.choice((1, 1, 2, 3)) if draw.is_noisy else 1):
                text = self._slip(rng, text, lang, draw=draw)
        ending = rng.random()
        if ending < 0.06:
            text += "." if lang == "en" else "。"
        elif ending < 0.09:
            text += rng.choice(("!", "!!", "！", "...", " ***"))
        if lang == "ja":
            roll = rng.random()
            if roll < (0.15 if draw.is_noisy else 0.06):
                text = noise.half_width_kana(text)
            elif roll < (0.4 if draw.is_noisy else 0.18):
                text = "".join(
                    noise.full_width(c) if c.isalnum() and c.isascii() else c for c in text
                )
        elif rng.random() < (0.08 if draw.is_noisy else 0.015):
            text = noise.full_width(text)
        return text

    def _styled(self, rng: Random, text: str) -> str:
        roll = rng.random()
        if roll < 0.4:
            return text[:1].upper() + text[1:]
        if roll < 0.58:
            return self._outside(text, str.upper)
        if roll < 0.7:
            return self._outside(text, str.lower)
        if roll < 0.76:
            return self._outside(text, str.title)
        return text

    def _slip(self, rng: Random, text: str, lang: str, *, draw: Draw) -> str:
        choice = rng.randrange(8)
        if lang == "en":
            if choice < 4:
                return self._outside(text, lambda part: noise.typo(part, rng), rng=rng)
            if choice == 4 and draw.is_noisy:
                return self._outside(text, lambda part: noise.misread(part, rng), rng=rng)
            if choice == 5:
                return text.replace(" ", "  ", 1)
            if choice == 6:
                return re.sub(r"[,;:]", "", text, count=1)
            return self._outside(text, str.upper)
        if choice < 3:
            return text.replace(" ", "")
        if choice == 3:
            return text.replace(" ", "\u3000")
        if choice == 4:
            return text.replace("の", "", 1)
        if choice == 5:
            return re.sub(r"[。、：]", " ", text, count=1)
        if choice == 6 and draw.is_noisy and len(text) > 8:
            i = rng.randrange(2, len(text) - 2)
            return text if text[i].isascii() else text[:i] + " " + text[i:]
        return re.sub(r"ー", rng.choice(("", "-", "−")), text, count=1) if draw.is_noisy else text

    def _outside(
        self, text: str, change: Callable[[str], str], *, rng: Random | None = None
    ) -> str:
        """Change what lies between marked pieces; with `rng` only one such stretch."""
        if not text.isascii() and unicodedata.normalize("NFKC", text) != text:
            return text
        pieces = self._spans.mark({"text": text}).pieces
        bounds = [0, *(i for piece in pieces for i in (piece.start, piece.end)), len(text)]
        parts = [text[a:b] for a, b in pairwise(bounds)]
        free = [i for i in range(0, len(parts), 2) if parts[i].strip()]
        for i in [rng.choice(free)] if rng is not None and free else free:
            parts[i] = change(parts[i])
        return "".join(parts)

    # ------------------------------------------------------------ what is no alarm

    def _negative(self, rng: Random, family: str, draw: Draw) -> Example:
        entry = self._negatives[family]
        while True:
            if entry.get("damaged"):
                text = self._damaged(rng)
            else:
                text = self._foreign.expand(rng.choice(entry["text"]), rng).strip()
                if entry["reason"] != "unreadable":
                    if rng.random() < (0.5 if draw.is_noisy else 0.08):
                        text = noise.typo(text, rng)
                    if rng.random() < 0.12:
                        text = noise.recase(text, rng)
            text = text[:160].strip()
            if text and (draw.held_values or not self._held_pattern.search(text)):
                return Example(family, {"text": text}, {"abstain": entry["reason"]})

    def _damaged(self, rng: Random) -> str:
        """An alarm line of which most letters are gone."""
        name = rng.choice([n for n in self._families if n not in self._held_families])
        example = None
        while example is None:
            example = self._positive(rng, name, Draw())
        text = list(str(example.input["text"]))
        junk = rng.choice(("?", "#", "□", "\ufffd", "*", "~^|\\%&", "xqzjvw", "�?¿"))
        for i in range(len(text)):
            if rng.random() < 0.68:
                text[i] = rng.choice(junk)
        return "".join(text)


def load() -> AlarmTranslateGenerator:
    """The generator, for `skilld.training`."""
    return AlarmTranslateGenerator()


_INSTRUCTIONS = frozenset(
    {
        "instruction", "two-instructions", "prohibition", "prohibition-while", "before", "wait",
        "press-to", "press", "press-after", "move-to", "set-value", "reduce-value", "switch-mode",
        "urgent", "if-needed", "wait-until", "solo", "all-of", "switch-mode-only",
    }
)  # fmt: skip
_SOLO = frozenset(
    {
        "then-instruction",
        "if-instruction",
        "two-instructions",
        "press-after",
        "before",
        "event-then",
    }
)
_SUBJECTS: Mapping[str, tuple[str, ...]] = {
    "prohibition-while": ("drive", "machine"),
    "not-reached": ("drive", "machine", "mech", "robot"),
    "not-reached-plain": ("drive", "machine", "mech", "robot"),
    "not-at": ("drive", "machine", "mech", "item", "robot"),
    "moving-to": ("machine", "drive"),
    "move-to": ("drive", "machine", "mech", "item"),
    "mode-active": ("machine", "drive", "place"),
    "switch-mode": ("machine", "drive"),
    "waiting-for": ("machine", "place"),
    "wait-until": ("drive", "machine", "fluid"),
    "op-progress-of": ("machine", "drive", "robot"),
    "not-possible-of": ("machine", "drive", "robot"),
    "event-of": ("machine", "machine", "elec", "net"),
    "waiting-thing": ("machine", "place", "drive"),
    "required": ("drive", "machine", "mech", "fluid", "sensor", "elec"),
    "op-state-of": ("machine", "drive"),
    "thing-of": ("machine", "place", "elec"),
    "due-in": ("mech", "fluid", "sensor", "battery", "item"),
    "overdue": ("drive", "machine", "mech", "fluid"),
    "mismatch": ("sensor", "elec", "safety", "item"),
    "difference": ("drive", "fluid", "machine"),
    "interference": ("drive", "machine", "mech"),
    "comm-between": ("elec", "net", "machine"),
    "stop-because": ("machine", "place", "drive"),
}


def _toml(name: str) -> dict[str, Any]:
    return tomllib.loads((FOLDER / name).read_text(encoding="utf-8"))


def _terms(text: str, *, columns: int = 0) -> list[Term]:
    """Terms of a table of lines. Verbs have two more Japanese forms instead of variants."""
    terms = []
    for line in text.strip().splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if columns:
            en, ja, nai, en_alts, te_forms, nouns, objects = cells
            alts = {"en": _ja_list(en_alts), "ja": ()}
            terms.append(Term(en, ja, alts, (nai, te_forms, nouns, objects)))
            continue
        en, ja = cells[:2]
        variants = [_ja_list(cell) for cell in (*cells[2:4], "", "")[:2]]
        terms.append(Term(en, ja, dict(zip(LANGUAGES, variants, strict=True)), tuple(cells[4:])))
    return terms


def _ja_list(cell: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in cell.split(";") if word.strip())


def _names(term: Term) -> tuple[str, ...]:
    return (term.en, term.ja, *term.alts["en"], *term.alts["ja"])


def _unambiguous(terms: Sequence[Term]) -> list[Term]:
    """The terms without variants that two of them share, or that are another one's own name."""
    count: dict[str, Counter[str]] = {lang: Counter() for lang in LANGUAGES}
    for term in terms:
        for lang in LANGUAGES:
            names = {term.canonical(lang), *term.alts[lang]}
            count[lang].update({_bare(name) for name in names})
    return [
        Term(
            term.en,
            term.ja,
            {
                lang: tuple(a for a in term.alts[lang] if count[lang][_bare(a)] == 1)
                for lang in LANGUAGES
            },
            term.columns,
        )
        for term in terms
    ]


def _phrases(conditions: Sequence[Term]) -> list[tuple[Term, Phrases]]:
    """Each condition of one part with the wordings that mean no other one of them."""
    result = []
    for term in _unambiguous(conditions):
        en_nouns, en_behind = _forms(term.alts["en"], "en")
        ja_nouns, ja_sentences = _forms(term.alts["ja"], "ja")
        own = term.canonical("en")
        if term.en.startswith("~"):
            en_behind = (own, own, f"is {own}", *en_behind)
        else:
            en_nouns = (own, own, *en_nouns)
        result.append((term, Phrases(en_nouns, en_behind, (term.ja, *ja_nouns), ja_sentences)))
    return result


def _forms(alts: Sequence[str], lang: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Variants that are nouns, and those that are the rest of a sentence."""
    if lang == "en":
        behind = tuple(a[1:] for a in alts if a.startswith("~"))
        return tuple(a for a in alts if not a.startswith("~")), behind
    sentences = tuple(a for a in alts if a[0] in "がのにをとか" and len(a) > 2)
    return tuple(a for a in alts if a not in sentences), sentences


def _bare(name: str) -> str:
    return re.sub(r"^~?(?:is |has |was |are )?", "", name.lower()).replace("-", " ")


def _shapes() -> dict[str, Shape]:
    shapes = {}
    for entry in _toml("shapes.toml")["shape"]:
        shapes[entry["id"]] = Shape(
            id=entry["id"],
            weight=entry.get("weight", 1.0),
            canonical={"en": entry["en"][:1].lower() + entry["en"][1:], "ja": entry["ja"]},
            sources={lang: tuple(entry[f"from_{lang}"]) for lang in LANGUAGES},
            rules=entry,
        )
    return shapes


def _combination(part: str, other: str) -> str:
    return f"{part}+{other.removeprefix('~')}".replace(" ", "_")


def _canonical_name(thing: Thing, lang: str) -> str:
    word, ident = thing.term.canonical(lang), thing.ident
    if thing.side is not None:
        return thing.side.canonical(lang) + (" " if lang == "en" else "") + word
    if thing.term.en == "axis" and ident and not ident.isdigit() and len(ident) == 1:
        name = f"{ident}-axis" if lang == "en" else f"{ident}軸"
    else:
        name = word + (" " if lang == "en" and ident else "") + ident
    if thing.owner is None:
        return name
    return _canonical_name(thing.owner, lang) + _joint(thing.owner, lang) + name


def _joint(owner: Thing, lang: str) -> str:
    """What stands between a thing and its part or quantity."""
    if lang == "en":
        return " "
    return "の" if owner.ident else ""


def _canonical_value(number: str, unit: str, lang: str) -> str:
    if unit == "%":
        return f"{number}%"
    if lang == "ja" and unit in (*_JA_TIME, "parts"):
        return f"{number}{_JA_TIME.get(unit, '個')}"
    return f"{number} {unit}"


def _dictionary_form(te: str) -> str:
    if te.endswith("させて"):
        return te.removesuffix("て") + "る"
    return _DICTIONARY_FORMS.get(te) or f"{te.removesuffix('して')}する"


def _plural(word: str) -> str:
    if re.search(r"(?:s|x|ch|sh)$", word):
        return f"{word}es"
    return re.sub(r"(?<=[^aeiou])y$", "ie", word) + "s"


def _singular(word: str) -> str:
    if word.endswith("pcs"):
        return word.replace("pcs", "pc")
    return re.sub(r"(?<=x)es$|s$", "", word)


def _sentence_case(text: str) -> str:
    return text[:1].upper() + text[1:] if re.match(r"[a-z]{2}", text) else text


def _tight_units(text: str) -> str:
    return _BEHIND_VALUE.sub("", text)


def _size(number: str) -> float:
    return float(number.replace(",", ""))


def _clock(rng: Random) -> str:
    hour, minute = rng.randrange(24), rng.randrange(60)
    clock = f"{hour:02d}:{minute:02d}" if rng.random() < 0.8 else f"{hour}:{minute:02d}"
    return f"{clock}:{rng.randrange(60):02d}" if rng.random() < 0.2 else clock

"""Terms: words of both languages, as the tables of lexicon.toml give them."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1]
LANGUAGES = ("en", "ja")


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
class Phrases:
    """What a condition may be called where it stands behind a certain part."""

    en_nouns: tuple[str, ...]
    en_behind: tuple[str, ...]
    ja_nouns: tuple[str, ...]
    ja_sentences: tuple[str, ...]


def read_toml(name: str) -> dict[str, Any]:
    """A table file of the engine."""
    return tomllib.loads((FOLDER / name).read_text(encoding="utf-8"))


def read_terms(text: str, *, columns: int = 0) -> list[Term]:
    """Terms of a table of lines. Verbs have two more Japanese forms instead of variants."""
    terms = []
    for line in text.strip().splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if columns:
            en, ja, nai, en_alts, te_forms, nouns, objects = cells
            alts = {"en": listed(en_alts), "ja": ()}
            terms.append(Term(en, ja, alts, (nai, te_forms, nouns, objects)))
            continue
        en, ja = cells[:2]
        variants = [listed(cell) for cell in (*cells[2:4], "", "")[:2]]
        terms.append(Term(en, ja, dict(zip(LANGUAGES, variants, strict=True)), tuple(cells[4:])))
    return terms


def listed(cell: str) -> tuple[str, ...]:
    """The variants of a cell."""
    return tuple(word.strip() for word in cell.split(";") if word.strip())


def names_of(term: Term) -> tuple[str, ...]:
    """All names of a term, of both languages."""
    return (term.en, term.ja, *term.alts["en"], *term.alts["ja"])


def unambiguous(terms: Sequence[Term]) -> list[Term]:
    """The terms without variants that two of them share, or that are another one's own name."""
    count: dict[str, Counter[str]] = {lang: Counter() for lang in LANGUAGES}
    for term in terms:
        for lang in LANGUAGES:
            names = {term.canonical(lang), *term.alts[lang]}
            count[lang].update({bare(name) for name in names})
    return [
        Term(
            term.en,
            term.ja,
            {
                lang: tuple(a for a in term.alts[lang] if count[lang][bare(a)] == 1)
                for lang in LANGUAGES
            },
            term.columns,
        )
        for term in terms
    ]


def phrases_of(conditions: Sequence[Term]) -> list[tuple[Term, Phrases]]:
    """Each condition of one part with the wordings that mean no other one of them."""
    result = []
    for term in unambiguous(conditions):
        en_nouns, en_behind = forms_of(term.alts["en"], "en")
        ja_nouns, ja_sentences = forms_of(term.alts["ja"], "ja")
        own = term.canonical("en")
        if term.en.startswith("~"):
            en_behind = (own, own, f"is {own}", *en_behind)
        else:
            en_nouns = (own, own, *en_nouns)
        result.append((term, Phrases(en_nouns, en_behind, (term.ja, *ja_nouns), ja_sentences)))
    return result


def forms_of(alts: Sequence[str], lang: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Variants that are nouns, and those that are the rest of a sentence."""
    if lang == "en":
        behind = tuple(a[1:] for a in alts if a.startswith("~"))
        return tuple(a for a in alts if not a.startswith("~")), behind
    sentences = tuple(a for a in alts if a[0] in "がのにをとか" and len(a) > 2)
    return tuple(a for a in alts if a not in sentences), sentences


def bare(name: str) -> str:
    """A name without auxiliary verbs and hyphens, to compare it."""
    return re.sub(r"^~?(?:is |has |was |are )?", "", name.lower()).replace("-", " ")


def combination_of(part: str, other: str) -> str:
    """The word that stands for a pairing."""
    return f"{part}+{other.removeprefix('~')}".replace(" ", "_")

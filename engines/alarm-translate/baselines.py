"""What one would do without a model: a dictionary, and rules for the order of words.

`rules` finds the longest terms of lexicon.toml, variants included, and puts them together by a few
rules of either language. It does not read the sentence shapes.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from skilld.skills.pointing import SpanRules

FOLDER = Path(__file__).parent
_JAPANESE = re.compile(r"[\u3040-\u30ff]")
_HAN = re.compile(r"[\u4e00-\u9fff]")
_CHINESE = re.compile(
    r"[电机压泵传机请过载热关闭检查温开阀气动缸报错误讯设备號馬達閥變頻輸帶響應沒請檢]"
)
_FOREIGN = re.compile(r"[\u0400-\u04ff\uac00-\ud7a3äöüßñáéíóúàèçğşąęłżźćã¿¡ÄÖÜÁÉÍÓÚÀÈÇ]")
_NUMBER = r"[-+]?\d[\d.,]*"
_PREFIX = re.compile(r"^\W*([A-Z]{1,5}[-. ]?\d[\w.-]*|\d{2,4})\W*[:\])>】]\W*")
_BARE_PREFIX = re.compile(r"^((?:ALM|ERR|WRN|MSG|AL)[ .-]?\d+|[A-Z]{1,5}-?\d{2,}[A-Z]?)\s+(?=\D)")
_SUFFIX = re.compile(r"\s*[\[(【]([A-Z]{1,5}[-. ]?\d[\w.-]*)[\])】]\W*$")
_CLOCK = re.compile(r"(?:\bat )?(?<!\d)(\d{1,2}:\d{2}(?::\d{2})?)(?!\d)[に、:]?")
_BRACKETS = re.compile(r"[\[\](){}<>*「」]")
_UNIT_JA = {"s": "秒", "sec": "秒", "min": "分", "h": "時間", "pcs": "個", "seconds": "秒"}
_UNIT_EN = {"秒": "s", "分": "min", "時間": "h", "℃": "°C", "度": "°C"}
_FILLERS = re.compile(
    r"\b(the|a|an|please|pls|is|are|has|been|was|there|detected|occurred|reported|you|must)\b"
    r"|\b(no\.?|number)\s*(?=\d)|#|!",
    re.IGNORECASE,
)
_FILLERS_JA = re.compile(
    r"(が発生しました|が発生|発生しました|を検出しました|検出|発生|しました|です|しています|No\.|番|号機|号|第)"
)


def rules(inputs: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any] | None]:
    """Translate by dictionary and order rules."""
    return [_line(unicodedata.normalize("NFKC", str(i["text"])).strip()) for i in inputs]


def copy_slot(
    neighbour_input: Mapping[str, Any], neighbour: Mapping[str, Any], asked: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The neighbour's translation with the codes and numbers of the asked line, in their order."""
    if "abstain" in neighbour:
        return neighbour
    spans, schema = _skill()
    theirs, ours = spans.mark(neighbour_input), spans.mark(asked)
    text = str(theirs.point(neighbour, schema)["translation"])
    old = list(dict.fromkeys(piece.mark for piece in theirs.pieces))
    new = [str(piece.value) for piece in ours.pieces]
    for i, mark in enumerate(old):
        text = text.replace(mark, new[i] if i < len(new) else "")
    return {"translation": text}


def _line(text: str) -> Mapping[str, Any]:
    if _FOREIGN.search(text):
        return {"abstain": "wrong_language"}
    is_japanese = bool(_JAPANESE.search(text))
    if not is_japanese and _HAN.search(text):
        if _CHINESE.search(text):
            return {"abstain": "wrong_language"}
        is_japanese = True
    head = clock = ""
    if found := _CLOCK.search(text):
        clock = found[1]
        text = f"{text[: found.start()]} {text[found.end() :]}".strip()
    tail = ""
    if found := _SUFFIX.search(text):
        tail, text = f" ({found[1]})", text[: found.start()]
    if found := _PREFIX.match(text) or _BARE_PREFIX.match(text):
        head, text = f"{found[1]}: ", text[found.end() :]
    words = list(_scan(text, "ja" if is_japanese else "en"))
    letters = sum(c.isalpha() for c in text)
    known = sum(len(said) for kind, said, _ in words if kind not in ("text", "number"))
    if known < 0.35 * letters or not letters:
        is_text = letters > 0.6 * len(text.replace(" ", "")) or text.isdigit()
        return {"abstain": "not_an_alarm" if is_text else "unreadable"}
    text = _BRACKETS.sub(" ", text).strip()
    body = _to_english(text) if is_japanese else _to_japanese(text)
    if not is_japanese:
        return {"translation": head + (f"{clock} {body}" if clock else body) + tail}
    body += (f" at {clock}" if clock else "") + tail
    return {"translation": head + body if head else body[:1].upper() + body[1:]}


# ------------------------------------------------------------ English to Japanese


def _to_japanese(text: str) -> str:
    text = text.rstrip(".! ")
    for pattern, order in (
        (r"(.+?) (?:due to|because of|caused by) (.+)", "{1:の}により{0}"),
        (
            rf"(.+?)\W+({_NUMBER}.*?) (?:exceeds|exceeded|above|over|higher than|>) "
            rf"(?:the )?(?:limit|max|threshold)?\W*({_NUMBER}.*)",
            "{0} {1} が上限 {2} を超過",
        ),
        (
            rf"(.+?)\W+({_NUMBER}.*?) (?:is )?(?:below|under|less than|<) "
            rf"(?:the )?(?:limit|min|threshold)?\W*({_NUMBER}.*)",
            "{0} {1} が下限 {2} 未満",
        ),
        (r"(.+?) (?:at|in|on) ((?:station|line|cell|zone|lane|buffer|stn)\b.*)", "{1}で{0}"),
        (r"(.+?)\b[:.;] (.+)", "{0}: {1}"),
        (r"(.+?) before (.+)", "{1}の前に{0}"),
        (r"(.+?) and press (.+)", "{0:て}{1}を押してください"),
    ):
        found = re.fullmatch(pattern, text, re.IGNORECASE)
        if found is not None:
            parts = [_phrase_to_japanese(part) for part in found.groups()]
            order = order.replace("{1:の}", parts[-1].replace(" ", "の", 1))
            return order.replace("{0:て}", parts[0].removesuffix("ください")).format(*parts)
    return _phrase_to_japanese(text)


def _phrase_to_japanese(text: str) -> str:
    if found := re.fullmatch(r"(.+?) (?:of|on|at|in) (.+)", text, re.IGNORECASE):
        text = f"{found[2]} {found[1]}"  # what belongs to something stands behind it
    words = [w for w in _scan(_FILLERS.sub(" ", text), "en") if w[1].strip(" ,#()-")]
    if not words:
        return ""
    is_forbidden = bool(re.match(r"\W*(do not|don't|never)\b", text, re.IGNORECASE))
    verb = next((i for i, w in enumerate(words[:4]) if w[0] == "verb"), None)
    if verb is not None and not any(w[0] in ("part", "condition") for w in words[:verb]):
        te = words[verb][2]
        obj = _joined_japanese(words[verb + 1 :])
        return (
            f"{obj}{te.removesuffix('て')}ないでください" if is_forbidden else f"{obj}{te}ください"
        )
    return _joined_japanese(words)


def _joined_japanese(words: Sequence[tuple[str, str, str]]) -> str:
    parts: list[str] = []
    before = ""
    for kind, said, meaning in words:
        word = meaning
        if kind == "text":
            word = _UNIT_JA.get(said.strip().lower(), said.strip())
            if before == "number" and word and not _HAN.match(word) and word != "%":
                word = f" {word}"
        if (kind in ("condition", "state", "event") and parts) or (
            kind == "number" and before == "quantity"
        ):
            word = f" {word}"
        elif kind in ("part", "quantity") and before == "number":
            word = f"の{word}"
        parts.append(word)
        before = kind
    return "".join(parts)


# ------------------------------------------------------------ Japanese to English


def _to_english(text: str) -> str:
    text = text.rstrip("。! ").replace("下さい", "ください")
    for pattern, order in (
        (
            rf"(.+?)\s*({_NUMBER}\D*?)\s*が?\s*(?:上限|最大値|しきい値)値?\s*({_NUMBER}.*?)\s*を?(?:超.*|オーバー.*)",
            "{0} {1} exceeds limit {2}",
        ),
        (
            rf"(.+?)\s*({_NUMBER}\D*?)\s*が?\s*(?:下限|最小値|しきい値)値?\s*({_NUMBER}.*?)\s*(?:を?下回.*|未満|以下)",
            "{0} {1} below limit {2}",
        ),
        (r"(.+?)(?:により|によって|のため|による)、?(.+)", "{1} due to {0}"),
        (r"((?:ステーション|ライン|セル|ゾーン|レーン|バッファ).*?)(?:で|にて)(.+)", "{1} at {0}"),
        (r"(.+?)[:。：] ?(.+)", "{0}: {1}"),
        (r"(.+?)の?前に、?(.+)", "{1} before {0}"),
        (r"(.+?[てで])、?(.+ください)", "{0} and {1}"),
    ):
        found = re.fullmatch(pattern, text)
        if found is not None:
            return order.format(*(_phrase_to_english(part) for part in found.groups()))
    return _phrase_to_english(text)


def _phrase_to_english(text: str) -> str:
    is_forbidden = "ないで" in text
    words = list(_scan(_FILLERS_JA.sub("", text), "ja"))
    verbs = [w[2] for w in words if w[0] == "verb"]
    rest: list[str] = []
    before = ""
    for kind, said, meaning in words:
        if kind == "verb":
            continue
        if kind == "text":
            meaning = _UNIT_EN.get(said.strip(), said.strip())
            if _JAPANESE.search(meaning) or _HAN.search(meaning) or not meaning.strip("の、 ・"):
                continue
            if meaning == "%" and before == "number" and rest:
                rest[-1] += "%"
                continue
        rest.append(meaning)
        before = kind
    body = " ".join(rest)
    if not verbs:
        return body
    return f"do not {verbs[0]} {body}" if is_forbidden else f"{verbs[0]} {body}"


# ------------------------------------------------------------ the dictionary


def _scan(text: str, lang: str) -> Iterator[tuple[str, str, str]]:
    """A text as terms, numbers and the rest: (kind, as said, canonical translation)."""
    terms, pattern = _dictionary(lang)
    end = 0
    for found in pattern.finditer(text):
        if found.start() > end:
            yield "text", text[end : found.start()], ""
        said = found[0]
        kind, meaning = terms.get(said.lower(), ("number", said))
        yield kind, said, meaning
        end = found.end()
    if end < len(text):
        yield "text", text[end:], ""


@cache
def _dictionary(lang: str) -> tuple[dict[str, tuple[str, str]], re.Pattern[str]]:
    lexicon = tomllib.loads((FOLDER / "lexicon.toml").read_text(encoding="utf-8"))
    tables = [("part", text) for text in lexicon["parts"].values()]
    tables += [("quantity", lexicon["quantities"][k]) for k in ("of_parts", "alone")]
    tables += [
        ("state", lexicon["quantities"]["states"]["terms"]),
        ("condition", lexicon["conditions"]["terms"]),
        ("verb", lexicon["verbs"]["terms"]),
    ]
    tables += [("event", lexicon["words"]["events"])]
    tables += [("word", text) for name, text in lexicon["words"].items() if name != "events"]
    own, other = (0, 1) if lang == "en" else (1, 0)
    terms: dict[str, tuple[str, str]] = {}
    for kind, text in tables:
        for line in text.strip().splitlines():
            cells = [cell.strip() for cell in line.split("|")]
            variants = cells[own + 2]
            if kind == "verb":
                variants = cells[3] if lang == "en" else f"{cells[2]};{cells[4]};{cells[5]}"
            meaning = cells[other].removeprefix("~")
            for name in (cells[own], *variants.split(";")):
                said = name.strip().removeprefix("~").lower()
                if said:
                    terms.setdefault(said, (kind, meaning))
    longest = sorted(terms, key=len, reverse=True)
    edge = r"(?<![A-Za-z])(?:{})(?![A-Za-z])" if lang == "en" else "(?:{})"
    every = edge.format("|".join(map(re.escape, longest)))
    code = r"[A-Z]{1,4}[-_]?\d[\w.-]*"
    return terms, re.compile(f"{every}|{code}|{_NUMBER}", re.IGNORECASE)


@cache
def _skill() -> tuple[SpanRules, Mapping[str, Any]]:
    path = FOLDER / "skills" / "alarm-translate.toml"
    skill = tomllib.loads(path.read_text(encoding="utf-8"))
    return SpanRules.model_validate(skill["spans"]), skill["output_schema"]

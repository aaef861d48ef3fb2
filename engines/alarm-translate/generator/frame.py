"""What stands around a line: time of day, level, code of the alarm."""

from __future__ import annotations

from .identifiers import new_clock, new_code
from .lexicon import Lexicon
from .meaning import Message
from .shapes import Shape

_HEADS = {
    "en": ("{}: ", "{}: ", "{}: ", "[{}] ", "{} - ", "({}) ", "<{}> ", "{}:", "*** {}: ", "{} / "),
    "ja": ("{}: ", "{}：", "{}：", "[{}] ", "【{}】", "（{}）", "<{}> ", "{}:", "{}／"),
}  # fmt: skip
_TAILS = {
    "en": (("{} ({})", "{} ({})", "{} [{}]"), ("{} {}", "{} {}", "{}, {}", "{} - {}")),
    "ja": (("{}({})", "{}（{}）", "{} [{}]", "{}【{}】"), ("{} {}", "{} {}", "{}　{}", "{}、{}")),
}  # fmt: skip
_CLEAR_LEVELS = frozenset({"alarm", "warning", "caution", "info"})
Pair = tuple[str, str]
"""Source and target."""
_INSTRUCTIONS = frozenset(
    {
        "instruction", "two-instructions", "prohibition", "prohibition-while", "before", "wait",
        "press-to", "press", "press-after", "move-to", "set-value", "reduce-value", "switch-mode",
        "urgent", "if-needed", "wait-until", "solo", "all-of", "switch-mode-only",
    }
)  # fmt: skip


class Frame:
    """Puts a time, a level or a code around a line."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._lexicon = lexicon

    def framed(self, m: Message, shape: Shape, source: str, target: str, *, is_open: bool) -> Pair:
        """A time, a level or a code around the line."""
        rng = m.rng
        is_instruction = shape.id in _INSTRUCTIONS
        has_tail = ": " in shape.canonical["en"]  # a time behind it would belong to the tail
        if not is_instruction and not has_tail and rng.random() < 0.05:
            clock = new_clock(rng)
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
        level = rng.choice(self._lexicon.words["levels"]) if rng.random() < 0.5 else None
        code = new_code(rng, m.draw) if level is None or rng.random() < 0.4 else ""
        if level is None:
            head_from, head_to = code, code
        else:
            word = self._lexicon.say(rng, level, m.lang)
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
        code = new_code(rng, m.draw)
        while code.isdigit() or code in source:
            code = new_code(rng, m.draw)
        forms = _TAILS[m.lang]
        form = rng.choice(forms[0] + forms[1] if is_open else forms[0])
        return form.format(source.rstrip(), code), f"{target} ({code})"

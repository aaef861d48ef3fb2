"""Writes the thesaurus of the skill from the words of the generator.

Run it after a change of any of these: `python thesaurus.py`. Held-out
words are left out: they are what the skill must cope with.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
SKILL = FOLDER / "skills" / "maint-toolcall.toml"
_BEGIN, _END = "same = [\n", "]\n"

# Words that every other order begins with say nothing about what is wanted.
_EMPTY = frozenset(
    {
        "get", "do", "put", "make", "give", "take", "have", "is", "the", "i", "we", "need", "it",
        "a", "of", "to", "see", "let", "go", "there", "new", "one", "me", "as", "run", "for", "if",
        "what", "which", "tell", "how", "has", "sure", "from", "whether", "at", "by", "sort", "and",
        "on", "off", "back", "up", "out", "in", "down", "turn", "bring", "look", "pull", "mark",
        "going", "fire", "power", "wrap", "drop", "pass", "not", "place", "aside", "away", "that",
    }
)  # fmt: skip
_PARTICLES = frozenset({"on", "off", "down", "back", "up", "out", "in", "aside", "away"})


def entries() -> list[list[str]]:
    """One for each action, thing and enum meaning that can be said in more than one way."""
    found = [_action(verb) for verb in _load("verbs.toml")["verb"]]
    for table in _load("things.toml").values():
        for thing in table["train"]:
            words = [word.split("|")[0] for word in thing["words"]]
            found.append([*words, *thing["ja"]])
    for param in _load("params.toml").values():
        for sense in param.get("sense", ()):
            said = [*sense["words"], *sense["say"], *sense["ja"]]
            found.append([word.replace("_", " ") for word in (*said, *sense.get("direct", ()))])
    for service in _load("services.toml").values():
        if not service.get("held"):
            for slot in service["slots"].values():
                found += [_sense(sense) for sense in slot.get("e", ())]
    found += _load("wording.toml")["same"]
    return [unique for ways in found if len(unique := _unique(ways)) > 1]


def _action(verb: dict[str, Any]) -> list[str]:
    ways = [name.replace("_", " ") for name in verb["name"]]
    for template in verb["say"]:
        head = template.split("{")[0].strip()
        behind = re.search(r"\{o\} (on|off|down|back)$", template)
        options = head.strip("()").split("|") if head.startswith("(") and head[-1] == ")" else []
        if not options and re.fullmatch(r"[a-z ]+", head):
            options = [head]
        ways += [f"{option} {behind[1]}" if behind else option for option in options]
    # Of several words only a verb with its particle says what is done, whatever it is done to.
    kept = [way for way in ways if " " not in way or way.split()[-1] in _PARTICLES]
    kept += [way.split()[0] for way in ways if " " in way and way not in kept]
    return [*kept, *verb.get("ja", ())]


def _sense(sense: str) -> list[str]:
    """One meaning of an enum of services.toml: "words / what people say / the same in Japanese"."""
    return [word.replace("_", " ").strip() for word in re.split(r" / |\|", sense)]


def _unique(ways: list[str]) -> list[str]:
    kept: list[str] = []
    for way in ways:
        text = way.lower().strip()
        if text in _EMPTY or not re.fullmatch(r"[a-z0-9 -]+|[^\x00-\x7f]+", text):
            continue
        if text and text not in kept:
            kept.append(text)
    return kept


def _load(name: str) -> dict[str, Any]:
    return tomllib.loads((FOLDER / name).read_text(encoding="utf-8"))


def main() -> None:
    """Replace the thesaurus in the skill file."""
    text = SKILL.read_text(encoding="utf-8")
    start = text.index(_BEGIN) + len(_BEGIN)
    end = text.index(_END, start)
    lines = "".join(f"  {json.dumps(ways, ensure_ascii=False)},\n" for ways in entries())
    SKILL.write_text(text[:start] + lines + text[end:], encoding="utf-8")


if __name__ == "__main__":
    main()

"""Forms of English words."""

from __future__ import annotations

import re

# First words of an order that are no verbs, and verbs that double their last letter.
_NO_VERB = re.compile(
    r"(?:in|on|into|onto|from|at|speed|velocity|new|emergency|all|full|gripper|hands?|one|you|end|"
    r"home|back|faster|slower|jaws|claw|fingers|grip|there|quick|quickly|never)$",
    re.IGNORECASE,
)
_DOUBLED = re.compile(
    r"(?:put|set|get|cut|drop|grab|grip|let|stop|shut|run|slot|drag|tug|hit|tap|mop|scan|step|nod|"
    r"chop|strip|snap|rip|spin|flip|jam|ram|trip|trap|stab|slap|jab|whip|unplug|plug|skip|swap|wrap|"
    r"unwrap|knit|pin|dim|hug|pet|chip|trim|zip|unzip|pop|plug|swat|scrap|mow down)$"
)


def lower(text: str) -> str:
    """The first letter small, unless it is an abbreviation."""
    return text if text[1:2].isupper() or text.startswith("I ") else text[:1].lower() + text[1:]


def plural_of(noun: str) -> str:
    """Several of a noun."""
    if noun.endswith(("pliers", "scissors", "tweezers", "glasses")):
        return noun
    if noun.endswith(("s", "x", "ch", "sh")):
        return noun + "es"
    if noun.endswith("knife"):
        return noun[:-2] + "ves"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"


def gerund(clause: str) -> str:
    """The first verb of an order in -ing; empty if it does not begin with one."""
    found = re.match(r"[A-Za-z]+(?![-'\w])", clause)
    if found is None or _NO_VERB.match(found[0]):
        return ""
    verb = found[0].lower()
    if verb.endswith("ie"):
        made = verb[:-2] + "ying"
    elif verb.endswith("e") and not verb.endswith(("ee", "oe")):
        made = verb[:-1] + "ing"
    else:
        made = verb + (verb[-1] if _DOUBLED.match(verb) else "") + "ing"
    return made + clause[found.end() :]

"""An action on a thing, and whether two of them could be meant by the same words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .things import Thing
from .verbs import Verb

# Actions of different things that can be asked for in the same words.
_SAME_WORDS = (
    frozenset({"reset", "clear", "ack"}),
    frozenset({"status", "stock"}),
    frozenset({"notify", "sendto"}),
)
_FIRST_WORDS: dict[str, frozenset[str]] = {}  # by the verb's id


@dataclass(frozen=True, slots=True)
class Action:
    """An action on a thing, not yet a tool."""

    verb: Verb
    thing: Thing

    @property
    def id(self) -> str:
        """The pair, as combinations name it."""
        return f"{self.verb['id']}+{self.thing.id}"

    @property
    def object(self) -> str:
        """How a request names the thing; see the head of verbs.toml."""
        return str(self.verb["object"])


def combination(actions: Sequence[Action]) -> str:
    """What may be held out: an action with its thing, or the first two actions."""
    if len(actions) == 1:
        return actions[0].id
    return f"{actions[0].verb['id']}&{actions[1].verb['id']}"


def clash(a: Action, b: Action, *, is_bare: bool = False) -> bool:
    """One request could mean either; a bare one does not say what kind of thing it is about."""
    va, vb = a.verb["id"], b.verb["id"]
    if any(va in group and vb in group for group in _SAME_WORDS) and va != vb:
        return True
    is_like = va == vb or va in b.verb.get("near", ()) or vb in a.verb.get("near", ())
    if is_bare:
        return is_like or not _first_words(a.verb).isdisjoint(_first_words(b.verb))
    is_same = a.thing.same == b.thing.same or a.thing.id == b.thing.id
    is_any = "any" in (a.thing.same, b.thing.same)
    return is_like and (is_same or is_any)


def _first_words(verb: Verb) -> frozenset[str]:
    """What orders for an action begin with: its verbs."""
    if verb["id"] not in _FIRST_WORDS:
        found: set[str] = set()
        for template in (*verb["say"], *verb["name"]):
            head = template[1 : template.index(")")] if template[0] == "(" else template
            found |= {option.replace("_", " ").split(" ")[0] for option in head.split("|")}
        _FIRST_WORDS[verb["id"]] = frozenset(
            found - {"i", "we", "{o}", "{person}", "get", "do", "put"}
        )
    return _FIRST_WORDS[verb["id"]]

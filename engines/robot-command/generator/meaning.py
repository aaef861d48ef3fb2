"""What is to be done, before a word of it is chosen."""

from __future__ import annotations

from dataclasses import replace

from skilld.skills.pointing.values import number_value

from .draft import Draft
from .naming import Namer
from .order import OF_THE_ROBOT, Order, Speed

SPEED_LIMIT_MM_S = 1500
# Verbs of forms, by action.
BARE_VERBS = {
    "en": {
        "pick": "pick|pick up|PICK", "place": "place|put|PLACE",
        "move_object": "move|transfer|MOVE",
        "push": "push|PUSH", "inspect": "inspect|check|INSPECT", "count": "count|COUNT",
        "hand_over": "give|hand over|deliver",
    },
    "ja": {
        "pick": "ピック|把持|取る", "place": "置く|プレース|配置",
        "move_object": "搬送|移載|運ぶ|運搬",
        "push": "押す", "inspect": "点検|検査|確認", "count": "カウント|数える",
        "hand_over": "渡す|手渡し",
    },
}  # fmt: skip


class Imagination:
    """Draws orders that a family can say."""

    def __init__(self, draft: Draft, namer: Namer) -> None:
        self._draft = draft
        self._words = draft.words
        self._rng = draft.rng
        self._family = draft.family
        self._fields = draft.family.fields
        self._lang = draft.lang
        self._namer = namer
        self._phrases = draft.words.phrases[draft.lang]

    def order(self) -> Order | None:
        """What is to be done; None if that does not fit the family."""
        rng, fields = self._rng, self._fields
        action = self._action()
        entry = self._words.actions[action]
        needs, is_form = fields.get("needs"), bool(fields.get("form"))
        has_thing = bool(entry.get("things")) and (
            "gripper" not in action or needs == "object" or rng.random() < 0.25
        )
        thing_class = ""
        if has_thing:
            held = self._words.held_combinations
            classes = [
                name
                for name in entry["things"]
                if self._family.reason or (f"{action}+{name}" in held) == self._draft.wants_pair
            ]
            if not classes and len(entry["things"]) == 1:  # there is nothing to hold out
                classes = entry["things"]
            if not classes:
                return None
            thing_class = rng.choice(classes)
        thing = self._namer.thing(thing_class, is_many=action == "count") if thing_class else None
        if action == "press" and thing is not None and thing.head not in thing.text:
            return None  # "push the red one" is no button
        place = None
        has_place = bool(entry.get("places")) and not fields.get("targetless")
        if has_place and (needs == "target" or is_form or rng.random() < entry["target_share"]):
            place = self._namer.place(fields.get("place") or rng.choice(entry["places"]))
        if (needs == "target" and place is None) or (needs == "object" and thing is None):
            return None
        if is_form and (place is None or thing is None):
            return None
        speed = None
        has_none = fields.get("speedless") or fields.get("manner") or is_form
        if entry.get("has_speed") and not has_none:
            share = {"set_speed": 0.65, "home": 0.12}.get(action, 0.19)
            share *= 0.6 if "short" in fields and action != "set_speed" else 1
            if needs == "speed" or rng.random() < share:
                speed = self.speed(is_over=bool(fields.get("over")))
        if needs == "speed" and speed is None:
            return None
        constraints = self._constraints(action, has_speed=speed is not None)
        return Order(action, thing_class, thing, place, speed, constraints)

    def wrong(self, order: Order) -> Order | None:
        """What is not meant: other names, another speed, another action."""
        rng, kind, actions = self._rng, self._fields.get("wrong"), self._words.actions
        is_other = kind in ("action", "all", "two")
        action = order.action
        if is_other:
            pool = self._words.single if kind == "two" else list(actions)
            if self._fields.get("end_wrong"):
                pool = [a for a in pool if actions[a].get("places")]
            action = rng.choice([a for a in pool if a != order.action])
        entry = actions[action]
        is_same_thing = kind == "action" and order.thing is not None
        if is_same_thing and (not entry.get("things") or "gripper" in action):
            return None
        thing, place = order.thing, order.place
        if not is_same_thing:
            thing_class = rng.choice(entry.get("things") or self._words.handed)
            is_alike = order.thing is not None and not is_other
            if is_alike:
                thing_class = order.thing_class
            head = order.thing.head if order.thing is not None and rng.random() < 0.6 else ""
            thing = self._namer.thing(thing_class, head=head if is_alike else "")
            if order.thing is not None and thing.text == order.thing.text:
                return None
        if kind != "action" or place is None:
            places = entry.get("places") or ["storage", "station"]
            head = ""
            if place is not None and order.action != "hand_over" and rng.random() < 0.6:
                head = place.head
            kind_of_place = rng.choice(places)
            place = self._namer.place(kind_of_place, head="" if kind_of_place == "person" else head)
            if order.place is not None and place.text == order.place.text:
                return None
        if is_other:
            thing = thing if entry.get("things") else None
            if not entry.get("places") or rng.random() > entry["target_share"]:
                place = None
        is_over = bool(self._fields.get("over")) and rng.random() < 0.3
        speed = self.speed(is_over=is_over)
        if order.speed is not None and speed.mm_s == order.speed.mm_s:
            return None
        return replace(order, action=action, thing=thing, place=place, speed=speed)

    def speed(self, *, is_over: bool = False) -> Speed:
        """A speed in a unit of the language, half of them round; over the limit or within it."""
        rng = self._rng
        while True:
            template, scale, decimals = rng.choice(self._words.speeds[self._lang])
            if "{w}" in template:
                text = rng.choice(self._words.speeds[f"{self._lang}_words"])
            else:
                low, high = (1500, rng.choice((2000, 3000, 9000))) if is_over else (1, 1500)
                most = high if rng.random() < 0.6 else min(high, max(low * 1.3, 400))
                step = 10.0**-decimals * (rng.choice((1, 1, 5, 10)) if decimals < 1 else 1)
                number = round(rng.uniform(low, most) / scale / step) * step
                text = f"{number:.{max(decimals, 0)}f}"
            if scale == 1 and len(text) == 4 and text.isdigit() and rng.random() < 0.2:
                text = f"{text[0]},{text[1:]}"
            mm_s = number_value(text, scale=scale)
            if mm_s is None or mm_s <= 0 or mm_s != round(mm_s, 2):
                continue
            if (mm_s > SPEED_LIMIT_MM_S) == is_over:
                return Speed(template.replace("{n}", text).replace("{w}", text), mm_s)

    def _action(self) -> str:
        fields, actions = self._fields, self._words.actions
        if "action" in fields:
            return str(fields["action"])
        names = list(actions)
        needs = fields.get("needs") or fields.get("it")
        if needs == "object":
            names = [a for a in names if actions[a].get("things") and "gripper" not in a]
        if needs == "target":
            names = [a for a in names if actions[a].get("places")]
        if needs == "speed":
            names = [a for a in names if actions[a].get("has_speed")]
        if fields.get("form"):
            names = list(BARE_VERBS[self._lang])
        if fields.get("wrong") == "two":
            names = [a for a in self._words.single if a != "go_to"]
        if fields.get("manner"):
            names = [a for a in names if {"slow", "fast"} <= set(actions[a]["constraints"])]
        if fields.get("there"):
            names = ["place", "move_object", "go_to"]
        if self._family.reason and needs != "speed" and "taken-back" not in self._family.id:
            names = [a for a in names if a not in OF_THE_ROBOT]
        if fields.get("tight"):
            names = [a for a in names if actions[a].get("places")]
        if self._draft.wants_pair and not self._family.reason:
            held = {pair.split("+")[0] for pair in self._words.held_combinations}
            names = [a for a in names if a in held] or names
        return self._rng.choices(names, [actions[a]["weight"] for a in names])[0]

    def _constraints(self, action: str, *, has_speed: bool) -> tuple[str, ...]:
        rng, fields = self._rng, self._fields
        if action == "set_speed":
            return () if has_speed else (rng.choice(("slow", "fast")),)
        if fields.get("manner"):
            return (rng.choice(("slow", "fast")),)
        pool = self._words.actions[action]["constraints"]
        if not pool or fields.get("form"):
            return ()
        count = rng.choices((0, 1, 2, 3), (58, 32, 8, 2))[0]
        if "short" in fields:
            count = int(rng.random() < 0.22)
        if "mods" in fields:
            count = rng.choice((2, 2, 3, 4))
        if self._family.reason or "verbless" in self._family.id or "passive" in self._family.id:
            count = int(rng.random() < 0.25)
        if fields.get("tight"):
            pool = [name for name in pool if self._phrases["constraint"][name]["adv"]]
        names = list(dict.fromkeys(rng.choices(pool, k=count)))
        for clash in self._words.clashes:
            if set(clash) <= set(names):
                names.remove(rng.choice(clash))
        if has_speed and "fast" in names:
            names.remove("fast")
        return tuple(names)

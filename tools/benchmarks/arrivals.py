"""`bursts`: who calls when. Open loop: nobody waits for an answer before the next one calls.

Time goes in slots. In a slot an engine is either on, with calls arriving as a Poisson process, or
off, with none. Whether it is on is drawn from a coin of its own or from one that all engines
share; how often the shared one counts decides how much the engines burst together.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

ON_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Arrival:
    """One call.

    Attributes:
        time_s: from the beginning.
        engine: which engine it is for, counted from 0.
        prompt_tokens: length of its prompt, the beginning it shares with others included.
        output_tokens: tokens it will generate.
    """

    time_s: float
    engine: int
    prompt_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Traffic:
    """What calls look like.

    Attributes:
        num_engines: each gets the same share of the calls.
        correlation: of any two engines being on, 0 to 1.
        slot_s: length of a slot.
        shared_tokens: beginning of every prompt of an engine, its system prompt.
        prompt_tokens: shortest and longest prompt; all lengths between are as likely.
        output_tokens: fewest and most tokens generated, likewise.
    """

    num_engines: int
    correlation: float
    slot_s: float
    shared_tokens: int
    prompt_tokens: tuple[int, int]
    output_tokens: tuple[int, int]


def bursts(traffic: Traffic, *, rate_per_s: float, num_slots: int, seed: int) -> list[Arrival]:
    """Calls in the order of their arrival.

    The same seed gives the same slots and the same lengths at every rate; a higher rate moves the
    calls closer together.

    Args:
        traffic: what they look like.
        rate_per_s: of all engines together, averaged over on and off.
        num_slots: how long it goes on, in slots.
        seed: of everything drawn.
    """
    on_rate_per_s = rate_per_s / traffic.num_engines / ON_SHARE
    arrivals: list[Arrival] = []
    for engine, slots in enumerate(on_slots(traffic, num_slots=num_slots, seed=seed)):
        draw = random.Random(f"{seed} calls {engine}")
        starts_s = [slot * traffic.slot_s for slot, is_on in enumerate(slots) if is_on]
        on_s = draw.expovariate(1.0) / on_rate_per_s  # time spent on, up to the next call
        while (turn := int(on_s // traffic.slot_s)) < len(starts_s):
            arrivals.append(
                Arrival(
                    time_s=starts_s[turn] + on_s - turn * traffic.slot_s,
                    engine=engine,
                    prompt_tokens=draw.randint(*traffic.prompt_tokens),
                    output_tokens=draw.randint(*traffic.output_tokens),
                )
            )
            on_s += draw.expovariate(1.0) / on_rate_per_s
    return sorted(arrivals, key=lambda arrival: arrival.time_s)


def on_slots(traffic: Traffic, *, num_slots: int, seed: int) -> Sequence[Sequence[bool]]:
    """For every engine, in which slots it is on: a fifth of them, wherever they fall."""
    num_on = round(ON_SHARE * num_slots)

    def coin(name: str) -> list[bool]:
        slots = [slot < num_on for slot in range(num_slots)]
        random.Random(f"{seed} {name}").shuffle(slots)
        return slots

    shared = coin("shared")
    # Two engines agree beyond chance when both follow the shared coin.
    follows = math.sqrt(traffic.correlation)
    states = []
    for engine in range(traffic.num_engines):
        own, choice = coin(f"own {engine}"), random.Random(f"{seed} choice {engine}")
        states.append(
            [a if choice.random() < follows else b for a, b in zip(shared, own, strict=True)]
        )
    return states

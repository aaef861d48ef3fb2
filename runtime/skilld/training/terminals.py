"""Terminals for grammars: numbers and identifiers that are new in every example."""

from __future__ import annotations

from skilld.training.grammar import Terminal


def terminals() -> dict[str, Terminal]:
    """Numbers and identifiers."""

    def digits(count: int) -> Terminal:
        return lambda rng: "".join(rng.choices("0123456789", k=count))

    def letters(count: int) -> Terminal:
        return lambda rng: "".join(rng.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=count))

    def hexadecimal(count: int) -> Terminal:
        return lambda rng: f"{rng.randrange(16**count):0{count}X}"

    made = {f"d{n}": digits(n) for n in range(1, 9)}
    made |= {f"U{n}": letters(n) for n in range(1, 5)}
    made |= {f"h{n}": hexadecimal(n) for n in (2, 4, 8)}
    made["n"] = lambda rng: str(rng.choice((1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, rng.randrange(99))))
    made["big"] = lambda rng: str(rng.randrange(1, 10 ** rng.randrange(1, 6)))
    made["val"] = lambda rng: f"{rng.uniform(0.3, 90):.{rng.randrange(2)}f}"
    return made

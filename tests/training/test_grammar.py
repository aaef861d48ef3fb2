from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from skilld.training.grammar import Grammar, GrammarError


def grammar(**rules: list[str]) -> Grammar:
    return Grammar(rules, terminals={"digit": lambda rng: str(rng.randrange(10))})


def test_the_same_seed_gives_the_same_text() -> None:
    g = grammar(word=["a{digit}", "b{digit}{word}", "(x|y|z)"])
    first = [g.expand("{word} (p|q) {digit}", Random(7)) for _ in range(3)]
    assert len(set(first)) == 1
    texts = {g.expand("{word} (p|q) {digit}", Random(seed)) for seed in range(50)}
    assert len(texts) > 10


def test_alternatives_follow_their_weights() -> None:
    g, rng = grammar(), Random(0)
    counts = Counter(g.expand("(rare|often~9)", rng) for _ in range(2000))
    assert set(counts) == {"rare", "often"}
    assert 0.86 < counts["often"] / 2000 < 0.94


def test_a_bound_slot_is_taken_as_it_is() -> None:
    g = grammar(code=["never"])
    assert g.expand("[{code}]", Random(0), bound={"code": "(a|b){digit}"}) == "[(a|b){digit}]"


def test_groups_without_alternatives_and_escapes_are_literal() -> None:
    assert grammar().expand(r"f(x) \(a\|b\) (|)", Random(0)) == "f(x) (a|b) "


def test_rules_may_recurse_but_must_end() -> None:
    ends = grammar(list=["{digit}", "{digit},{list}"])
    assert all(c.isdigit() or c == "," for c in ends.expand("{list}", Random(3)))
    with pytest.raises(GrammarError, match="recursion"):
        grammar(loop=["x{loop}"]).expand("{loop}", Random(0))


@pytest.mark.parametrize("template", ["(a|b", "{digit", "a)b", "{unknown}"])
def test_malformed_templates_are_refused(template: str) -> None:
    with pytest.raises(GrammarError):
        grammar().expand(template, Random(0))

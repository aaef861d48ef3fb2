"""A draft is right often enough to be worth a try, and knows when it is not."""

from __future__ import annotations

import itertools

from skilld.skills.drafting import AnswerMemory, Drafter

CODE = [70, 71, 72, 73]
PROMPT = [5, 6, *CODE, 7, 8]


def walk(drafter: Drafter, answer: list[int]) -> tuple[int, int]:
    """Let a drafter follow an answer, one step per wrong guess: steps, and draft tokens."""
    num_steps = num_drafted = begin = 0
    while begin < len(answer):
        draft = drafter.guess(99)
        rest = answer[begin:]
        num_right = len(
            list(
                itertools.takewhile(lambda pair: pair[0] == pair[1], zip(draft, rest, strict=False))
            )
        )
        drafter.accept(rest[: num_right + 1])
        begin += num_right + 1
        num_steps += 1
        num_drafted += len(draft)
    return num_steps, num_drafted


def test_nothing_is_guessed_where_nothing_is_known() -> None:
    drafter = Drafter(PROMPT, AnswerMemory())
    assert drafter.guess(8) == []
    drafter.accept([1, 2])
    assert drafter.guess(8) == []


def test_an_identifier_begun_in_the_answer_is_finished_from_the_prompt() -> None:
    drafter = Drafter(PROMPT, AnswerMemory())
    drafter.accept([1, 2, CODE[0]])
    assert drafter.guess(8)[:3] == CODE[1:]


def test_what_earlier_answers_said_is_guessed_again() -> None:
    memory = AnswerMemory()
    answer = [10, 11, 12, 13, 14, 15]
    first = walk(Drafter([], memory), answer)
    for _ in range(10):
        walk(Drafter([], memory), answer)
    assert first == (len(answer), 0)
    assert walk(Drafter([], memory), answer) == (1, len(answer))


def test_a_draft_is_no_longer_than_it_may_be() -> None:
    memory = AnswerMemory()
    for _ in range(20):
        walk(Drafter([], memory), list(range(10, 40)))
    assert len(Drafter([], memory, max_tokens=5).guess(99)) == 5
    assert len(Drafter([], memory, max_tokens=5).guess(2)) == 2


def test_a_draft_ends_where_it_becomes_unlikely() -> None:
    memory = AnswerMemory()
    for last in range(100, 120):
        walk(Drafter([], memory), [10, 11, last])
    assert Drafter([], memory, min_chance=0.5).guess(8) == [10, 11]
    assert len(Drafter([], memory, min_chance=0.01).guess(8)) == 3


def test_copying_that_fails_is_given_up_and_taken_up_again() -> None:
    memory = AnswerMemory()
    prompt = list(range(100, 200))
    for begin in range(60):  # every token of the answer is in the prompt, and misleads
        walk(Drafter(prompt, memory), [100 + begin, 300 + begin])
    assert walk(Drafter(prompt, memory), [180, 400]) == (2, 0)
    for begin in range(60):  # guesses not worth a try are compared all the same
        walk(Drafter(prompt, memory), [100 + begin, 101 + begin])
    drafter = Drafter(prompt, memory)
    drafter.accept([180])
    assert drafter.guess(8)[:1] == [181]


def test_the_memory_follows_a_change_of_habit() -> None:
    memory = AnswerMemory()
    for token in [12] * 500 + [13] * 100:
        walk(Drafter([], memory), [10, 11, token])
    assert Drafter([], memory).guess(8) == [10, 11, 13]


def test_the_memory_stays_bounded_over_identifiers_that_never_come_back() -> None:
    memory = AnswerMemory()
    for code in range(10_000):
        walk(Drafter([], memory), [10, 1000 + code, 11])
    assert len(memory._followers) <= 4096
    assert Drafter([], memory).guess(8) == [10]

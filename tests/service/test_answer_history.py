"""What answers are expected to need follows what the last ones needed."""

from skilld.service.answer_history import AnswerHistory


def test_nothing_but_the_limit_is_expected_while_few_answers_are_known() -> None:
    history = AnswerHistory()
    for _ in range(15):
        history.book(10, 4)
    assert history.expect(96) == (96, 96)


def test_one_long_answer_in_a_hundred_is_passed_over_and_three_are_not() -> None:
    one, three = AnswerHistory(), AnswerHistory()
    for number in range(100):
        one.book(20 if number < 1 else 10, 8 if number < 1 else 4)
        three.book(20 if number < 3 else 10, 8 if number < 3 else 4)
    assert one.expect(96) == (10, 4)
    assert three.expect(96) == (20, 8)


def test_a_call_with_a_tighter_limit_is_expected_to_keep_it() -> None:
    history = AnswerHistory()
    for _ in range(64):
        history.book(30, 12)
    assert history.expect(10) == (10, 10)


def test_old_answers_are_forgotten() -> None:
    history = AnswerHistory()
    for _ in range(256):
        history.book(90, 40)
    for _ in range(256 + 16):
        history.book(10, 4)
    assert history.expect(96) == (10, 4)

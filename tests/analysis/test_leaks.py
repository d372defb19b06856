"""Planted leaks are each caught, in whatever form; questions that only look alike are none."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe_ray.analysis.leaks import SHOWN, leaks, refuse_leaks, without_leaks
from coe_ray.bench.datasets.load import load_benchmark
from coe_ray.core.errors import DataError
from coe_ray.core.questions import make_question
from coe_ray.core.types import Question

SAMPLE = load_benchmark("sample")
SCORED, EXAMPLES = SAMPLE.questions, SAMPLE.examples
SERIES = [question for question in SCORED if (question.task or "").startswith("Time Series")]


def other(question: Question, text: str | None = None, options: tuple[str, ...] | None = None) -> Question:
    """A question of its own id with the content of another."""
    return make_question(text or question.text, options or question.options, question.answer, question.task)


def reordered(question: Question) -> Question:
    return other(question, options=(*question.options[1:], question.options[0]))


FULL_WIDTH = str.maketrans(
    {"?": "？", ",": "，", ".": "．", ":": "：", "(": "（", ")": "）", "a": "ａ", "Z": "Ｚ", "7": "７"}
)

FORMS: dict[str, Callable[[Question], Question]] = {
    "exactly": lambda question: question,
    "with other labels": lambda question: replace(question, task="Other", answer="D", category="dev/Other"),
    "in capitals": lambda question: other(question, question.text.upper()),
    "in small letters": lambda question: other(question, question.text.lower()),
    "with other spaces": lambda question: other(question, "  " + re.sub(r"\s+", "\n  ", question.text)),
    "without its last mark": lambda question: other(question, question.text.rstrip("?？.。 ")),
    "in quotes": lambda question: other(question, f"“{question.text}”"),
    "in full width": lambda question: other(question, question.text.translate(FULL_WIDTH)),
    "with options in another order": reordered,
    "with options that end in a stop": lambda question: other(
        question, options=tuple(f"{each}。" for each in question.options)
    ),
    "in all of that": lambda question: reordered(other(question, f" {question.text.upper().translate(FULL_WIDTH)} ")),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("place", range(0, len(SCORED), 23))
def test_a_scored_question_among_the_examples_is_caught(form: str, place: int) -> None:
    twin = FORMS[form](SCORED[place])
    (leak,) = leaks(SCORED, [*EXAMPLES, twin])
    assert (leak.scored, leak.known) == (SCORED[place], twin)
    with pytest.raises(DataError, match=f"1 of {len(SCORED)} scored questions are in the examples:"):
        refuse_leaks(SCORED, [*EXAMPLES[:3], twin, *EXAMPLES[3:]], "the examples")


@pytest.mark.parametrize("form", FORMS)
def test_what_is_left_without_leaks_is_all_but_them_in_order(form: str) -> None:
    twins = [FORMS[form](question) for question in SCORED[::50]]
    known = [each for pair in zip(EXAMPLES, twins, strict=False) for each in pair] + list(EXAMPLES[len(twins) :])
    assert without_leaks(SCORED, known) == tuple(EXAMPLES)
    assert leaks(SCORED, without_leaks(SCORED, known)) == []


def test_the_sample_has_no_leak_between_its_splits() -> None:
    assert leaks(SCORED, EXAMPLES) == []
    refuse_leaks(SCORED, EXAMPLES, "the examples")
    assert without_leaks(SCORED, EXAMPLES) == EXAMPLES


def test_time_series_of_one_template_are_no_leaks_of_each_other() -> None:
    alike = [question for question in SERIES if sum(map(str.isdigit, question.text)) > 40]
    assert len(alike) > 50
    for question in alike:
        assert leaks([question], [each for each in alike if each != question]) == []


@pytest.mark.parametrize(
    ("text", "twin"),
    [
        ("Forecast the next of 1.5, 2.5, 3.5", "Forecast the next of 1.5, 2.5, 3.6"),
        ("Forecast the next of 1.5, 2.5, 3.5", "Forecast the next of 1.5, 2.5, -3.5"),
        ("Forecast the next of 1.5, 2.5, 3.5", "Forecast the next of 15, 2.5, 3.5"),
        ("Forecast the next of 1 5 2", "Forecast the next of 15 2"),
        ("Forecast the next of 1 2 3", "Forecast the next of 3 2 1"),
        ("请预测 12 13 14 之后的数值", "请预测 12 13 15 之后的数值"),
    ],
)
def test_series_that_differ_in_a_number_are_two_questions(text: str, twin: str) -> None:
    options = ("4.5", "5.5", "6.5", "7.5")
    assert leaks([make_question(text, options)], [make_question(twin, options)]) == []
    # In another form the same numbers are the same question.
    assert leaks([make_question(text, options)], [make_question(f" {text.upper()} ", options[::-1])])


def test_the_same_wording_with_other_options_is_another_question() -> None:
    scored = make_question("Which tool compiles?", ("make", "ping"))
    assert leaks([scored], [make_question("Which tool compiles?", ("make", "top"))]) == []
    assert leaks([scored], [make_question("Which tool compiles?", ("make",))]) == []


def test_a_twin_in_the_mappings_data_is_caught_there() -> None:
    mapping = [*SCORED[100:], FORMS["in full width"](SCORED[3])]
    with pytest.raises(DataError, match="1 of 100 scored questions are in run other, which the mapping is made of"):
        refuse_leaks(SCORED[:100], mapping, "run other, which the mapping is made of")


def test_the_message_says_which_of_what_and_what_to_do() -> None:
    exact, near = replace(SCORED[0], category="english/Dev"), FORMS["in quotes"](SCORED[1])
    with pytest.raises(DataError) as error:
        refuse_leaks(SCORED, (exact, near), "the examples")
    head, first, second, remedy = str(error.value).splitlines()
    assert head == f"2 of {len(SCORED)} scored questions are in the examples:"
    assert first.startswith(f"  {SCORED[0].id} (the same of english/Dev): {SCORED[0].text[:20]!r}"[:-1])
    assert second.startswith(f"  {SCORED[1].id} (near duplicate {near.id}): ")
    assert "take them out there, or let them be left out with --leave-out-leaks" in remedy


@pytest.mark.parametrize("count", [SHOWN, SHOWN + 1, SHOWN + 70])
def test_of_many_leaks_some_are_shown_and_the_others_counted(count: int) -> None:
    with pytest.raises(DataError) as error:
        refuse_leaks(SCORED, SCORED[:count], "the examples")
    lines = str(error.value).splitlines()
    assert len([line for line in lines if "(the same" in line]) == SHOWN
    assert (f"  and {count - SHOWN} more" in lines) == (count > SHOWN)


def test_twins_within_the_scored_or_within_the_known_are_nobodys_leak() -> None:
    twin = FORMS["in capitals"](SCORED[0])
    assert leaks([SCORED[0], twin], EXAMPLES) == []
    assert leaks(SCORED[1:2], [SCORED[0], twin]) == []
    assert len(leaks([SCORED[0], twin], [SCORED[0]])) == 2


@given(st.text(min_size=1), st.lists(st.text(), max_size=5))
def test_any_question_is_found_again_whatever_its_text(text: str, options: list[str]) -> None:
    question = make_question(text, options)
    assert leaks([question], [make_question(text, options[::-1])])
    assert without_leaks([question], [question]) == ()
    assert without_leaks([], [question]) == (question,)
    assert leaks([], [question]) == leaks([question], []) == []

"""Runs drawn as text: a row an expert and a sign a question, as matrices and as any that could be."""

from collections.abc import Mapping, Sequence

import numpy as np
from hypothesis import strategies as st

from coe_ray.analysis.matrix import NO_LETTER, Ints, Labels, Matrix
from coe_ray.core.questions import make_question
from coe_ray.core.types import LETTERS, OUTCOMES, Question

NO_ANSWER = {"-": "unparsed", "?": "refused", "!": "failed"}
SIGNS = "ABCD-?!"


def asked(right: str, tasks: Sequence[str], categories: Sequence[str | None] = ()) -> tuple[Question, ...]:
    """A question for each of the `right` letters, of four options."""
    return tuple(
        make_question(f"Question {number} on {task}?", ("w", "x", "y", "z"), letter, task, category=category)
        for number, (letter, task, category) in enumerate(
            zip(right, tasks, categories or [None] * len(right), strict=True)
        )
    )


def grid(
    right: str,
    answers: Mapping[str, str],
    tasks: Sequence[str] | None = None,
    labels: Mapping[str, Labels] | None = None,
    questions: tuple[Question, ...] | None = None,
) -> Matrix:
    """`answers` by expert: letters, or `-` no letter, `?` refused, `!` failed. Without `tasks` all are of one."""
    questions = questions or asked(right, tasks or ["Build"] * len(right))
    rows = [_row(said, right) for said in answers.values()]
    return Matrix(
        questions,
        tuple(answers),
        np.array([outcomes for outcomes, _ in rows], dtype=np.intp),
        np.array([letters for _, letters in rows], dtype=np.intp),
        np.zeros((2, len(answers), len(right)), dtype=np.intp),
        labels or {},
    )


def _row(said: str, right: str) -> tuple[list[int], list[int]]:
    outcomes = [
        NO_ANSWER.get(sign, "correct" if sign == letter else "wrong") for sign, letter in zip(said, right, strict=True)
    ]
    places = {outcome: place for place, outcome in enumerate(OUTCOMES)}
    letters = [NO_LETTER if sign in NO_ANSWER else LETTERS.index(sign) for sign in said]
    return [places[outcome] for outcome in outcomes], letters  # type: ignore[index]  # they are outcomes


@st.composite
def grids(draw: st.DrawFn, signs: str = SIGNS, least: int = 1) -> Matrix:
    """Up to four experts, twelve questions, three tasks."""
    size = draw(st.integers(least, 12))
    right = draw(st.text("ABCD", min_size=size, max_size=size))
    tasks = draw(st.lists(st.sampled_from(["Build", "Code", "Test"]), min_size=size, max_size=size))
    experts = draw(st.integers(1, 4))
    said = [draw(st.text(signs, min_size=size, max_size=size)) for _ in range(experts)]
    return grid(right, dict(zip(["alpha", "beta", "gamma", "delta"], said, strict=False)), tasks)


def shown(places: Ints, names: Sequence[str]) -> list[str]:
    return [names[place] for place in places]

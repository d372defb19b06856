"""Confusion matrices: every task and count is there, legible on its shade."""

import pytest

from coe_ray.analysis.charts import heat_map
from coe_ray.analysis.charts.heat_map import DARK_SHARE, SHADES


def confusion(tasks: int) -> list[list[int]]:
    return [[1234 if true == named else (true + named) % 3 for named in range(tasks + 1)] for true in range(tasks)]


@pytest.mark.parametrize("tasks", [1, 2, 3, 8, 13])
def test_every_count_stands_in_its_cell_and_every_task_at_its_row_and_column(tasks: int) -> None:
    labels = [*(f"task {n}" for n in range(tasks)), "unknown"]
    matrix = confusion(tasks)
    axes = heat_map(labels, matrix).axes[0]
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    assert cells == {(c + 0.5, r + 0.5): f"{n:,}" for r, row in enumerate(matrix) for c, n in enumerate(row)}
    assert [label.get_text() for label in axes.get_xticklabels()] == labels
    assert [label.get_text() for label in axes.get_yticklabels()] == labels[:-1]
    assert axes.yaxis_inverted()
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("named task", "true task")


def test_a_task_without_questions_is_a_row_of_zeros() -> None:
    axes = heat_map(["a", "b", "unknown"], [[3, 0, 1], [0, 0, 0]]).axes[0]
    assert [text.get_text() for text in axes.texts] == ["3", "0", "1", "0", "0", "0"]


@pytest.mark.parametrize(
    ("labels", "matrix"),
    [(("a", "unknown"), [[1, 2], [3, 4]]), (("a", "b", "unknown"), [[1, 2], [3, 4]]), ((), []), (("a", "unknown"), [])],
)
def test_a_matrix_of_another_shape_is_refused(labels: tuple[str, ...], matrix: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="labels, but rows of"):
        heat_map(labels, matrix)


@pytest.mark.parametrize("share", [step / 100 for step in range(101)])
def test_a_count_is_legible_on_every_shade(share: float) -> None:
    """At least the 4.5 to 1 that WCAG 2 asks of text."""
    shade = luminance(SHADES(share)[:3])
    contrast = 1.05 / (shade + 0.05) if share > DARK_SHARE else (shade + 0.05) / 0.05
    assert contrast >= 4.5


def luminance(colour: tuple[float, ...]) -> float:
    """Relative luminance as WCAG 2 defines it, in [0, 1]."""
    linear = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour)
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

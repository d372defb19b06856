"""Leaderboards by hand: who is best, on average and in ties; files that are whole or refused."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe_ray.core.errors import DataError
from coe_ray.core.types import Provenance, RankedExpert
from coe_ray.routing.leaderboard import Leaderboard, Score

Row = tuple[str, str, int, int]
ROWS: list[Row] = [("a", "Build", 8, 10), ("b", "Build", 9, 10), ("a", "Test", 90, 100), ("b", "Test", 1, 2)]

EXPERTS = ("a", "b", "c")
SCORES = st.dictionaries(
    st.tuples(st.sampled_from(EXPERTS), st.sampled_from(["Build", "Code", "Test"])),
    st.integers(1, 12).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))),
    min_size=1,
).map(lambda cells: [(*pair, *counts) for pair, counts in cells.items()])


def experts(row: tuple[RankedExpert, ...]) -> list[str]:
    return [standing.expert for standing in row]


def test_the_best_of_a_task_has_the_highest_accuracy() -> None:
    board = Leaderboard.from_scores(ROWS)
    assert board.best("Build") == RankedExpert("b", 0.9, 9, 10)
    assert board.best("Test") == RankedExpert("a", 0.9, 90, 100)
    assert experts(board.ranked("Test")) == ["a", "b"]


def test_a_task_never_scored_has_no_best() -> None:
    board = Leaderboard.from_scores(ROWS)
    assert board.best("Plan") is None
    assert board.ranked("Plan") == ()


def test_on_average_every_task_weighs_the_same_whatever_its_size() -> None:
    rows: list[Row] = [("a", "Build", 0, 1), ("b", "Build", 1, 1), ("a", "Test", 80, 100), ("b", "Test", 20, 100)]
    board = Leaderboard.from_scores(rows)
    assert board.ranked_on_average == (RankedExpert("b", 0.6), RankedExpert("a", 0.4))
    assert board.ranked_on_average[0].expert == "b"


def test_ties_go_by_name_on_a_task_and_on_average() -> None:
    rows: list[Row] = [("b", "Build", 1, 2), ("c", "Build", 2, 4), ("a", "Build", 3, 6)]
    assert experts(Leaderboard.from_scores(rows).ranked("Build")) == ["a", "b", "c"]
    assert experts(Leaderboard.from_scores(rows).ranked_on_average) == ["a", "b", "c"]


def test_rounding_breaks_no_tie_on_average() -> None:
    # (0.1 + 0.2) / 2 and (0.3 + 0.0) / 2 differ as floats.
    rows: list[Row] = [("b", "Build", 1, 10), ("b", "Test", 2, 10), ("a", "Build", 3, 10), ("a", "Test", 0, 10)]
    assert Leaderboard.from_scores(rows).ranked_on_average == (RankedExpert("a", 0.15), RankedExpert("b", 0.15))


def test_an_expert_with_a_task_missing_stands_behind_those_with_all() -> None:
    board = Leaderboard.from_scores([*ROWS, ("star", "Build", 10, 10)])
    assert board.best("Build") == RankedExpert("star", 1.0, 10, 10)
    assert experts(board.ranked_on_average) == ["a", "b", "star"]


def test_tasks_and_experts_are_those_of_the_rows() -> None:
    board = Leaderboard.from_scores(ROWS)
    assert (board.tasks, board.experts) == (("Build", "Test"), ("a", "b"))


@pytest.mark.parametrize(("correct", "total"), [(3, 2), (-1, 2), (0, 0), (0, -1), (-2, -1)])
def test_counts_that_cannot_be_are_refused(correct: int, total: int) -> None:
    with pytest.raises(DataError, match=f"'a' on 'Build' has {correct} right of {total}; that cannot be"):
        Leaderboard.from_scores([("a", "Build", correct, total)])


def test_a_row_twice_is_refused() -> None:
    with pytest.raises(DataError, match=r"\('a', 'Build'\) has two rows"):
        Leaderboard.from_scores([*ROWS, ("a", "Build", 1, 1)])


def test_no_scores_are_no_leaderboard() -> None:
    with pytest.raises(DataError, match="no scores"):
        Leaderboard.from_scores([])


def test_narrowed_keeps_only_the_experts_wanted() -> None:
    board = Leaderboard.from_scores(ROWS, Provenance(run="r"))
    assert board.narrowed(["b", "other"]).experts == ("b",)
    assert board.narrowed(["b"]).provenance.run == "r"
    assert board.narrowed(board.experts) == board


def test_a_saved_leaderboard_is_loaded_the_same(tmp_path: Path) -> None:
    board = Leaderboard.from_scores(ROWS, Provenance(run="r", data="sample", created="2025-01-01"))
    path = tmp_path / "deep" / "board.json"
    board.save(path)
    again = Leaderboard.load(path)
    assert again == board
    assert again.version == board.version
    assert [each.name for each in path.parent.iterdir()] == ["board.json"]


def test_a_file_says_accuracy_and_interval_of_every_score(tmp_path: Path) -> None:
    path = tmp_path / "board.json"
    Leaderboard.from_scores([("a", "Build", 5, 10)]).save(path)
    (score,) = orjson.loads(path.read_bytes())["scores"]
    assert score["accuracy"] == 0.5
    assert score["ci95"] == pytest.approx([0.2366, 0.7634], abs=1e-4)  # Wilson's, by hand


def changed(path: Path, **values: Any) -> None:
    content = orjson.loads(path.read_bytes())
    content["scores"][0].update(values)
    path.write_bytes(orjson.dumps(content))


def test_a_file_changed_by_hand_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "board.json"
    Leaderboard.from_scores(ROWS).save(path)
    changed(path, correct=7)
    with pytest.raises(DataError, match="do not match version"):
        Leaderboard.load(path)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff", b"[]", b"null", b"{}", b'{"scores": [{}]}', b'{"scores": "x", "provenance": {}}']
)
def test_what_is_no_leaderboard_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "board.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"board.json: not a leaderboard file"):
        Leaderboard.load(path)


@pytest.mark.parametrize("wrong", [{"correct": "3"}, {"task": None}, {"total": None}])
def test_a_score_of_the_wrong_type_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    path = tmp_path / "board.json"
    Leaderboard.from_scores(ROWS).save(path)
    changed(path, **wrong)
    with pytest.raises(DataError, match="not a leaderboard file"):
        Leaderboard.load(path)


def test_a_missing_file_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"make one with `coe-ray leaderboard`"):
        Leaderboard.load(tmp_path / "none.json")


@given(SCORES, st.randoms())
def test_the_version_is_that_of_the_scores_in_any_order(rows: list[Row], random: Any) -> None:
    shuffled = random.sample(rows, len(rows))
    board, other = Leaderboard.from_scores(rows), Leaderboard.from_scores(shuffled, Provenance(run="another"))
    assert board.version == other.version
    assert board.scores == other.scores


@given(SCORES, SCORES)
def test_versions_are_equal_if_and_only_if_scores_are(rows: list[Row], others: list[Row]) -> None:
    board, other = Leaderboard.from_scores(rows), Leaderboard.from_scores(others)
    assert (board.version == other.version) is (sorted(rows) == sorted(others))


@given(SCORES)
def test_the_first_is_never_worse_than_the_others(rows: list[Row]) -> None:
    board = Leaderboard.from_scores(rows)
    for task in board.tasks:
        row = board.ranked(task)
        assert row[0].accuracy == max(correct / total for _, of, correct, total in rows if of == task)
        assert list(row) == sorted(row, key=lambda standing: (-standing.accuracy, standing.expert))


@given(SCORES)
def test_averages_are_means_over_tasks(rows: list[Row]) -> None:
    for standing in Leaderboard.from_scores(rows).ranked_on_average:
        each = [Fraction(correct, total) for expert, _, correct, total in rows if expert == standing.expert]
        assert standing.accuracy == float(sum(each) / len(each))


def test_a_board_of_1000_tasks_and_30_experts_is_made_ranked_and_narrowed() -> None:
    """In less than a second; a search among all scores for each of them would take minutes."""
    rows = [(f"e{expert:02}", f"t{task:04}", (expert + task) % 50, 50) for task in range(1000) for expert in range(30)]
    board = Leaderboard.from_scores(rows)
    assert all(board.ranked(task)[0].accuracy == max(s.accuracy for s in board.ranked(task)) for task in board.tasks)
    assert len(board.ranked_on_average) == 30
    assert board.narrowed(["e07"]).scores == board.scores[7::30]


def test_the_served_form_is_made_once() -> None:
    board = Leaderboard.from_scores(ROWS)
    first, second = board.as_dict(), board.as_dict()
    assert first["scores"] is second["scores"]
    first["more"] = 1
    assert "more" not in second and "more" not in board.as_dict()


def test_a_path_may_be_a_string(tmp_path: Path) -> None:
    board = Leaderboard.from_scores(ROWS)
    board.save(str(tmp_path / "x.json"))
    assert Leaderboard.load(str(tmp_path / "x.json")) == board


@given(st.integers(1, 500).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))))
def test_an_interval_lies_around_its_accuracy_within_0_and_1(counts: tuple[int, int]) -> None:
    score = Score("a", "Build", *counts)
    low, high = score.interval
    assert 0 <= low <= score.accuracy + 1e-9
    assert score.accuracy - 1e-9 <= high <= 1

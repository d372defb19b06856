"""The choice: best at the task, else best on average, and the reason says which and why."""

import pytest

from coe_ray.core.types import UNKNOWN, Classification, RankedExpert, Route
from coe_ray.routing.leaderboard import Leaderboard
from coe_ray.routing.router import choose_expert, narrow_route, rank_experts, stay_with
from tests.support.planted import BOARD


def routed(task: str, board: Leaderboard = BOARD) -> Route:
    return choose_expert(Classification(task, "rule", "raw", 0.5), board)


def test_a_known_task_goes_to_its_best_expert() -> None:
    decision = routed("Build")
    assert (decision.expert, decision.reason) == ("beta", "best on Build")
    assert decision.row == BOARD.ranked("Build")
    assert decision.leaderboard == BOARD.version
    assert decision.classification.task == "Build"


def test_unknown_goes_to_the_best_on_average() -> None:
    decision = routed(UNKNOWN)
    assert (decision.expert, decision.reason) == ("alpha", "best on average: no task of the list fits")
    assert decision.row == BOARD.ranked_on_average


def test_a_task_that_was_never_scored_goes_to_the_best_on_average() -> None:
    assert routed("Plan").expert == "alpha"
    assert routed("Plan").reason == "best on average: Plan is not on the leaderboard"


def test_a_scored_task_named_unknown_is_still_the_class_beyond_the_list() -> None:
    board = Leaderboard.from_scores([("a", UNKNOWN, 1, 1), ("b", UNKNOWN, 0, 1)])
    assert routed(UNKNOWN, board).reason == "best on average: no task of the list fits"


def test_runner_up_and_margin_are_those_of_the_row() -> None:
    decision = routed("Build")
    assert (decision.runner_up, decision.margin) == (RankedExpert("alpha", 0.5, 2, 4), 0.25)


def test_a_tie_is_said_with_everyone_in_it() -> None:
    board = Leaderboard.from_scores([("c", "Build", 1, 2), ("a", "Build", 1, 2), ("b", "Build", 2, 4)])
    decision = routed("Build", board)
    assert (decision.expert, decision.margin) == ("a", 0.0)
    assert decision.reason == "best on Build; tied with b, c, first by name"


def test_a_tie_on_average_is_said_too() -> None:
    board = Leaderboard.from_scores([("a", "Build", 1, 2), ("b", "Build", 1, 2)])
    assert routed(UNKNOWN, board).reason.endswith("; tied with b, first by name")


def test_one_expert_alone_has_no_runner_up() -> None:
    decision = routed("Build", Leaderboard.from_scores([("a", "Build", 1, 2)]))
    assert (decision.runner_up, decision.margin) == (None, 0.0)


def test_no_label_ranks_as_unknown_does() -> None:
    assert rank_experts(None, BOARD) == rank_experts(UNKNOWN, BOARD) == BOARD.ranked_on_average
    assert rank_experts("Build", BOARD) == BOARD.ranked("Build")


def test_a_route_is_narrowed_to_those_who_can_read_the_request() -> None:
    decision = routed("Build")
    narrowed = narrow_route(decision, ["alpha"])
    assert (narrowed.expert, narrowed.row) == ("alpha", (RankedExpert("alpha", 0.5, 2, 4),))
    assert narrowed.reason == "best on Build; beta cannot read this request"
    assert (narrowed.classification, narrowed.leaderboard) == (decision.classification, decision.leaderboard)


def test_where_everybody_can_read_it_the_route_stays_as_it_is() -> None:
    decision = routed("Build")
    assert narrow_route(decision, ["alpha", "beta", "gamma"]) is decision


def test_a_conversation_stays_with_the_expert_that_answered_it() -> None:
    decision = routed("Build")
    stayed = stay_with(decision, "alpha")
    assert (stayed.expert, stayed.row, stayed.by_rank) == ("alpha", decision.row, ("alpha", "beta"))
    assert stayed.reason == "the conversation goes on with alpha, which answered it so far"
    assert (stayed.classification.by, stayed.classification.task) == ("conversation", "Build")


@pytest.mark.parametrize("expert", ["beta", None, "gone"])
def test_a_conversation_whose_expert_is_not_known_or_the_best_goes_by_the_leaderboard(expert: str | None) -> None:
    stayed = stay_with(routed("Build"), expert)
    assert (stayed.expert, stayed.reason) == ("beta", "best on Build; the conversation goes on")
    assert stayed.classification.by == "conversation"


def test_a_conversation_does_not_stay_with_who_cannot_read_it() -> None:
    assert stay_with(narrow_route(routed("Build"), ["beta"]), "alpha").expert == "beta"

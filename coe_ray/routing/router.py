"""Router: classification and leaderboard → route. Pure: it chooses and never calls a model."""

from collections.abc import Collection
from dataclasses import replace

from coe_ray.core.types import UNKNOWN, Classification, RankedExpert, Route
from coe_ray.routing.leaderboard import Leaderboard


def rank_experts(task: str | None, leaderboard: Leaderboard) -> tuple[RankedExpert, ...]:
    """The experts for a task label, best first: the one rule for live traffic, benches and studies.

    By accuracy on the task (eq. 3); on average (eq. 8) for *unknown* and for a task that was never scored.
    """
    row = leaderboard.ranked(task) if task and task != UNKNOWN else ()
    return row or leaderboard.ranked_on_average


def choose_expert(classification: Classification, leaderboard: Leaderboard) -> Route:
    """The route to the best expert for the classified task, with the reason."""
    task = classification.task
    row = rank_experts(task, leaderboard)
    if task == UNKNOWN:
        reason = "best on average: no task of the list fits"
    elif leaderboard.ranked(task):
        reason = f"best on {task}"
    else:
        reason = f"best on average: {task} is not on the leaderboard"
    return Route(row[0].expert, classification, row, reason + _tie_note(row), leaderboard.version)


def narrow_route(route: Route, experts: Collection[str]) -> Route:
    """The route to the best of these experts: the others cannot read the request. They must hold one of the row."""
    row = tuple(ranked for ranked in route.row if ranked.expert in experts)
    if len(row) == len(route.row):
        return route
    left_out = ", ".join(ranked.expert for ranked in route.row if ranked.expert not in experts)
    reason = route.reason.removesuffix(_tie_note(route.row)) + _tie_note(row)
    return replace(route, expert=row[0].expert, row=row, reason=f"{reason}; {left_out} cannot read this request")


def stay_with(route: Route, expert: str | None) -> Route:
    """The route of a conversation that goes on: with the expert that answered it so far, if that can read it."""
    route = replace(route, classification=replace(route.classification, by="conversation"))
    if expert == route.expert or expert not in route.by_rank:
        return replace(route, reason=f"{route.reason}; the conversation goes on")
    return replace(route, expert=expert, reason=f"the conversation goes on with {expert}, which answered it so far")


def _tie_note(row: tuple[RankedExpert, ...]) -> str:
    equal = [ranked.expert for ranked in row if ranked.accuracy == row[0].accuracy]
    return f"; tied with {', '.join(equal[1:])}, first by name" if len(equal) > 1 else ""

"""Classification + leaderboard → route. Pure: it chooses and never calls a model."""

from coe_ray.core.types import UNKNOWN, Classification, RankedExpert, Route
from coe_ray.routing.leaderboard import Leaderboard


def choose_expert(classification: Classification, leaderboard: Leaderboard) -> Route:
    """The expert that is best at the task (eq. 3); for *unknown* the best on average (eq. 8)."""
    task = classification.task
    row = leaderboard.ranked(task) if task != UNKNOWN else ()
    if row:
        reason = f"best on {task}"
    else:
        row = leaderboard.ranked_on_average()
        why = "no task of the list fits" if task == UNKNOWN else f"{task} is not on the leaderboard"
        reason = f"best on average: {why}"
    return Route(row[0].expert, classification, row, reason + _tie(row), leaderboard.version)


def _tie(row: tuple[RankedExpert, ...]) -> str:
    equal = [standing.expert for standing in row if standing.accuracy == row[0].accuracy]
    return f"; tied with {', '.join(equal[1:])}, first by name" if len(equal) > 1 else ""

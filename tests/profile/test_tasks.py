"""The shipped task sets: those of the paper, each task told apart by name and described."""

import pytest

from coe_ray.core.types import UNKNOWN
from coe_ray.profile.tasks import TASK_SETS


@pytest.mark.parametrize(("name", "size"), [("devops-eval-a", 5), ("devops-eval-b", 8), ("opseval", 4)])
def test_a_set_has_the_papers_number_of_tasks(name: str, size: int) -> None:
    assert len(TASK_SETS[name]) == size


def test_names_differ_over_all_sets_and_none_is_unknown() -> None:
    names = [task.name.casefold() for tasks in TASK_SETS.values() for task in tasks]
    assert len(set(names)) == len(names)
    assert UNKNOWN not in names


def test_every_task_is_described_on_one_line() -> None:
    descriptions = [task.description for tasks in TASK_SETS.values() for task in tasks]
    assert all(text and "\n" not in text for text in descriptions)

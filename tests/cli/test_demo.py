"""`coe-ray demo`: its questions exist, and a changed profile is another run."""

import pytest

from coe_ray.cli.demo import PROFILE, QUESTIONS, _find_question, _run_folder
from coe_ray.profile.profile import load_profile


@pytest.mark.parametrize(("task", "language"), QUESTIONS)
def test_its_questions_are_in_the_sample(task: str, language: str) -> None:
    question = _find_question(task, language)
    assert (question.task, question.language) == (task, language)


def test_a_changed_profile_is_another_run() -> None:
    profile = load_profile(PROFILE)
    changed = profile.model_copy(update={"classifier": profile.classifier.model_copy(update={"k": 2})})
    assert _run_folder(profile) == _run_folder(load_profile(PROFILE))
    assert _run_folder(profile) != _run_folder(changed)

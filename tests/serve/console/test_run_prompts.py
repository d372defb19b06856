"""The prompts of a question: out of the run's journal, and made again from its profile."""

import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from coe_ray.core.run_folder import RunFolder
from coe_ray.core.types import Question
from coe_ray.serve.console.run_prompts import find_prompts
from coe_ray.serve.console.run_rows import read_question


@pytest.fixture
def folder(runs: Path) -> RunFolder:
    return RunFolder(runs / "sample-test-1")


@pytest.fixture
def question(folder: RunFolder) -> Question:
    question = read_question(folder, str(pq.read_table(folder.questions)["id"][0].as_py()))
    assert question
    return question


def test_prompts_that_were_sent_name_systems_and_models(folder: RunFolder, question: Question) -> None:
    prompts = find_prompts(folder, folder.card(), question)
    assert all(prompt.sent for prompt in prompts)
    assert [(prompt.systems, prompt.models) for prompt in prompts] == [
        (["classifier"], ["sorter"]),
        (["aria", "basalt", "cinder"], ["aria", "basalt", "cinder"]),
        (["timeseries"], ["statistics"]),
    ]


def test_without_the_journal_they_are_made_again(folder: RunFolder, question: Question, tmp_path: Path) -> None:
    sent = {name: prompt for prompt in find_prompts(folder, folder.card(), question) for name in prompt.systems}
    prompts = find_prompts(folder, _with(folder, journal=str(tmp_path / "gone")), question)
    assert [prompt.systems for prompt in prompts] == [["aria"], ["basalt"], ["cinder"], ["timeseries"]]
    assert not any(prompt.sent for prompt in prompts)
    assert all(prompt.messages == sent[prompt.systems[0]].messages for prompt in prompts)


def test_a_journal_outside_the_folder_of_runs_is_not_read(
    folder: RunFolder, question: Question, tmp_path: Path
) -> None:
    outside = tmp_path / "journal"
    shutil.copytree(folder.journal, outside)
    (folder.root / "link").symlink_to(outside)
    for journal in (str(outside), str(folder.root / "link"), "/etc", "../..", "s3://bucket/journal"):
        assert not any(prompt.sent for prompt in find_prompts(folder, _with(folder, journal=journal), question))
    (folder.root / "link").unlink()


def test_a_journal_that_runs_share_in_their_folder_is_read(runs: Path, folder: RunFolder, question: Question) -> None:
    shared = RunFolder(runs / "night-shift")
    card = {**shared.card(), "journal": str(folder.journal)}
    assert any(prompt.sent for prompt in find_prompts(shared, card, question))


def test_without_the_profile_models_are_named(folder: RunFolder, question: Question) -> None:
    prompts = find_prompts(folder, _with(folder, profile="/nowhere.yaml"), question)
    models = {model for prompt in prompts for model in prompt.models}
    assert models == {"sorter", "aria", "basalt", "cinder", "statistics"}
    assert all(prompt.sent and not prompt.systems for prompt in prompts)


def _with(folder: RunFolder, **changes: str) -> dict[str, Any]:
    return {**folder.card(), **changes}

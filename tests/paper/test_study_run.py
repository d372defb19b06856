"""Run of a study: where its files lie, and what makes a folder another study's."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from coe_ray.paper.study_run import EMBEDDINGS, TRAINED, read_embeddings, read_trained, run_folder, study_identity
from tests.paper.small_study import make_plan, make_request


def test_the_run_folder_is_named_for_the_profile(tmp_path: Path) -> None:
    plan = make_plan(tmp_path)
    assert run_folder(make_request(tmp_path, tmp_path, tmp_path), plan).root == tmp_path / "out" / "runs" / "small"


def test_other_questions_scoring_shots_or_classifiers_are_another_study(tmp_path: Path) -> None:
    plan, request = make_plan(tmp_path), make_request(tmp_path, tmp_path, tmp_path)
    own = study_identity(request, plan)
    others = [
        study_identity(request, replace(plan, questions=plan.questions[1:])),
        study_identity(replace(request, scoring="next-token"), plan),
        study_identity(replace(request, shots=2), plan),
        study_identity(request, replace(plan, classifiers={})),
    ]
    assert own not in others
    assert study_identity(replace(request, fine_tune=True), plan) == own


def test_without_vectors_and_trained_labels_there_are_none(tmp_path: Path) -> None:
    folder = run_folder(make_request(tmp_path, tmp_path, tmp_path), make_plan(tmp_path))
    assert (read_embeddings(folder), read_trained(folder)) == (None, None)
    folder.root.mkdir(parents=True)
    np.savez(folder.root / EMBEDDINGS, ids=np.array(["a", "b"]), vectors=np.eye(2))
    (folder.root / TRAINED).write_text('{"a": "Logs"}', "utf-8")
    vectors = read_embeddings(folder)
    assert vectors is not None
    assert {name: vector.tolist() for name, vector in vectors.items()} == {"a": [1, 0], "b": [0, 1]}
    assert read_trained(folder) == {"a": "Logs"}

"""Run of a study: collects the answers for each profile, all behind one journal, and computes what the tables need."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from coe_ray.bench.collect import CollectionPlan, DeployModels, ReportLine, check_plan, collect_answers
from coe_ray.bench.graceful_shutdown import GracefulShutdown
from coe_ray.bench.run import settings_fingerprint
from coe_ray.bench.stream import plain_errors
from coe_ray.core.files import hold_lock, replace_atomic, write_atomic
from coe_ray.core.run_folder import RunFolder
from coe_ray.llm.weights import fetch_weights
from coe_ray.paper.bench_coe import fine_tuned_labels
from coe_ray.paper.study_plan import StudyPlan, StudyRequest
from coe_ray.retrieval.encoder import SentenceEncoder, Vectors

EMBEDDINGS, TRAINED = "embeddings.npz", "trained.json"
BATCH = 256


def run_folder(request: StudyRequest, plan: StudyPlan) -> RunFolder:
    return RunFolder(request.out / "runs" / plan.profile.name)


def execute_plan(
    request: StudyRequest, plan: StudyPlan, say: ReportLine, deploy: DeployModels, shutdown: GracefulShutdown
) -> None:
    """Ask what is not yet answered; the same request again resumes. Needs a running Ray. Raises `CoeError`."""
    folder = run_folder(request, plan)
    collection = CollectionPlan(
        reference=plan.reference,
        profile=plan.run_profile,
        benchmark=replace(plan.benchmark, questions=plan.questions),
        questions=plan.questions,
        folder=folder,
        identity=study_identity(request, plan),
        journal=str(request.out / "journal"),
        extra_classifiers=plan.classifiers,
        shots=plan.shots,
    )
    check_plan(collection)
    with plain_errors(folder), hold_lock(folder.lock):
        collect_answers(collection, say, deploy, shutdown)
        _embed(folder, plan, say)
        if request.fine_tune:
            _fine_tune(folder, plan, say)


def study_identity(request: StudyRequest, plan: StudyPlan) -> dict[str, Any]:
    """The facts by which a run folder is recognised as another study's."""
    classifiers = {name: each.profile.model_dump(mode="json") for name, each in plan.classifiers.items()}
    ids = "".join(question.id for question in plan.questions)
    return {
        "profile": plan.reference,
        "settings": settings_fingerprint(plan.run_profile),
        "labellers": hashlib.sha256(orjson.dumps(classifiers, option=orjson.OPT_SORT_KEYS)).hexdigest(),
        "data": request.data,
        "split": "test",
        "scoring": request.scoring,
        "shots": request.shots,
        "questions": hashlib.sha256(ids.encode()).hexdigest(),
        "journal": str(request.out / "journal"),
    }


def _embed(folder: RunFolder, plan: StudyPlan, say: ReportLine) -> None:
    """Write the vectors that a trained classifier learns from: of every question and example, made once."""
    file = folder.root / EMBEDDINGS
    if file.is_file() or not any(each.profile.classifier.k for each in plan.classifiers.values()):
        return
    say("embedding questions and examples for Bench-CoE")
    encoder = SentenceEncoder("", fetch_weights(plan.profile.retrieval.encoder))
    texts = {each.id: each.full_text for each in (*plan.questions, *plan.benchmark.examples)}
    batches = [list(texts.values())[start : start + BATCH] for start in range(0, len(texts), BATCH)]
    vectors = np.concatenate([encoder.encode(batch) for batch in batches])
    with replace_atomic(file) as partial, partial.open("wb") as content:
        np.savez(content, ids=np.array(list(texts)), vectors=vectors)


def read_embeddings(folder: RunFolder) -> Mapping[str, Vectors] | None:
    """Vectors by id; `None` where none were made."""
    file = folder.root / EMBEDDINGS
    if not file.is_file():
        return None
    with np.load(file) as arrays:
        return dict(zip(map(str, arrays["ids"]), arrays["vectors"], strict=True))


def _fine_tune(folder: RunFolder, plan: StudyPlan, say: ReportLine) -> None:
    """Write the labels of Bench-CoE as its own paper has it: the whole encoder is trained."""
    file = folder.root / TRAINED
    if file.is_file():
        return
    tasks = {task.name for task in plan.profile.task_list}
    examples = [example for example in plan.benchmark.examples if example.task in tasks]
    say(f"fine-tuning the encoder on {len(examples)} examples")
    labels = fine_tuned_labels(Path(fetch_weights(plan.profile.retrieval.encoder)), examples, plan.questions)
    write_atomic(file, orjson.dumps(labels))


def read_trained(folder: RunFolder) -> Mapping[str, str] | None:
    """Labels of the fine-tuned classifier by question; `None` where none were made."""
    file = folder.root / TRAINED
    labels: dict[str, str] | None = orjson.loads(file.read_bytes()) if file.is_file() else None
    return labels

"""A study's calls: one sitting for each profile, all behind one journal, and what has to be computed for the tables."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from coe_ray.bench.collect import CollectionPlan, DeployModels, ReportLine, check_plan, collect_answers
from coe_ray.bench.graceful_shutdown import GracefulShutdown
from coe_ray.bench.run import settings_fingerprint as asking_hash
from coe_ray.bench.stream import plain_errors
from coe_ray.core.files import hold_lock, write_atomic
from coe_ray.core.run_folder import RunFolder
from coe_ray.llm.weights import fetch_weights
from coe_ray.paper.finetune import fine_tuned_labels
from coe_ray.paper.plan_calls import StudyPlan, StudyRequest
from coe_ray.retrieval.encoder import SentenceEncoder, Vectors

EMBEDDINGS, TRAINED = "embeddings.npz", "trained.json"
BATCH = 256


def run_folder(order: StudyRequest, asked: StudyPlan) -> RunFolder:
    return RunFolder(order.out / "runs" / asked.profile.name)


def execute_plan(
    order: StudyRequest, asked: StudyPlan, say: ReportLine, deploy: DeployModels, leaving: GracefulShutdown
) -> None:
    """Ask what is not yet answered; the same order goes on where it stopped. Needs a running Ray. Raises `CoeError`."""
    folder = run_folder(order, asked)
    sitting = CollectionPlan(
        reference=asked.reference,
        profile=asked.asked,
        benchmark=replace(asked.benchmark, questions=asked.questions),
        questions=asked.questions,
        folder=folder,
        identity=_identity(order, asked),
        journal=str(order.out / "journal"),
        extra_classifiers=asked.labellers,
        shots=asked.shots,
    )
    check_plan(sitting)
    with plain_errors(folder), hold_lock(folder.lock):
        collect_answers(sitting, say, deploy, leaving)
        _embed(folder, asked, say)
        if order.fine_tune:
            _fine_tune(folder, asked, say)


def _identity(order: StudyRequest, asked: StudyPlan) -> dict[str, Any]:
    """What makes a run folder another study's."""
    labellers = {name: each.profile.model_dump(mode="json") for name, each in asked.labellers.items()}
    ids = "".join(question.id for question in asked.questions)
    return {
        "profile": asked.reference,
        "settings": asking_hash(asked.asked),
        "labellers": hashlib.sha256(orjson.dumps(labellers, option=orjson.OPT_SORT_KEYS)).hexdigest(),
        "data": order.data,
        "split": "test",
        "scoring": order.scoring,
        "shots": order.shots,
        "questions": hashlib.sha256(ids.encode()).hexdigest(),
        "journal": str(order.out / "journal"),
    }


def _embed(folder: RunFolder, asked: StudyPlan, say: ReportLine) -> None:
    """The vectors that a trained classifier learns from: of every question and example, made once."""
    file = folder.root / EMBEDDINGS
    if file.is_file() or not any(each.profile.classifier.k for each in asked.labellers.values()):
        return
    say("embedding questions and examples for Bench-CoE")
    encoder = SentenceEncoder("", fetch_weights(asked.profile.retrieval.encoder))
    everything = {each.id: each for each in (*asked.questions, *asked.benchmark.examples)}
    texts = [each.full_text for each in everything.values()]
    parts = [encoder.encode(texts[start : start + BATCH]) for start in range(0, len(texts), BATCH)]
    aside = file.with_name(f"partial-{EMBEDDINGS}")
    np.savez(aside, ids=np.array(list(everything)), vectors=np.concatenate(parts))
    aside.replace(file)


def read_embeddings(folder: RunFolder) -> Mapping[str, Vectors] | None:
    """By id; `None` where none were made."""
    file = folder.root / EMBEDDINGS
    if not file.is_file():
        return None
    with np.load(file) as kept:
        return dict(zip(map(str, kept["ids"]), kept["vectors"], strict=True))


def _fine_tune(folder: RunFolder, asked: StudyPlan, say: ReportLine) -> None:
    """Bench-CoE as its own paper has it: the whole encoder is trained."""
    file = folder.root / TRAINED
    if file.is_file():
        return
    tasks = {task.name for task in asked.profile.task_list}
    known = [each for each in asked.benchmark.examples if each.task in tasks]
    say(f"fine-tuning the encoder on {len(known)} examples")
    labels = fine_tuned_labels(Path(fetch_weights(asked.profile.retrieval.encoder)), known, asked.questions)
    write_atomic(file, orjson.dumps(labels))


def read_trained(folder: RunFolder) -> Mapping[str, str] | None:
    file = folder.root / TRAINED
    labels: dict[str, str] | None = orjson.loads(file.read_bytes()) if file.is_file() else None
    return labels

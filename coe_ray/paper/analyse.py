"""What a study found about one profile: every system by both protocols, comparisons, losses, scenarios. Pure.

Each system is made of one matrix of answers and one set of labels a classifier, so none of them costs a call more.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from coe_ray.analysis.bench_coe import trained_labels, translated
from coe_ray.analysis.losses import Losses, Regret, losses, regret
from coe_ray.analysis.mapping import PROTOCOLS, Protocol, TaskMap, cross_fitted_map, other_map, paper_map
from coe_ray.analysis.matrix import NEIGHBOURS, Bools, Labels, Matrix
from coe_ray.analysis.metrics import classifier_metrics
from coe_ray.analysis.statistics import Comparison, Interval, accuracy_interval, compare, holm
from coe_ray.analysis.systems import (
    Spread,
    System,
    alone,
    majority,
    question_oracle,
    random_expert,
    random_labels,
    routed,
)
from coe_ray.core.types import UNKNOWN, Question
from coe_ray.paper.plan_calls import scenario_label, variants
from coe_ray.paper.scenarios import ResolvedScenario
from coe_ray.profile.profile import Profile
from coe_ray.retrieval.encoder import Vectors

BENCH_COE, MOVED, FINE_TUNED = "bench-coe", "bench-coe moved", "bench-coe fine-tuned"
MAJORITY, TASK_ORACLE, QUESTION_ORACLE = "majority vote", "task oracle", "question oracle"
RANDOM_LABELS = "random"
COE = "coe/"
"""Before the name of the classifier whose labels route."""


@dataclass(frozen=True)
class Evidence:
    """All that findings follow from. `vectors` are the embeddings of questions and examples, by their ids.

    `trained` are labels of classifiers that were trained for the run; `other` is the run that the held-out mapping is
    to be made of, with its name.
    """

    profile: Profile
    matrix: Matrix
    scenarios: tuple[ResolvedScenario, ...] = ()
    examples: tuple[Question, ...] = ()
    vectors: Mapping[str, Vectors] | None = None
    trained: Mapping[str, Mapping[str, str]] | None = None
    other: tuple[str, Matrix] | None = None


@dataclass(frozen=True)
class Scored:
    """One system's figures, as in a bench's summary, and its clustered interval."""

    metrics: Mapping[str, object]
    interval: Interval
    right: Bools


@dataclass(frozen=True, slots=True)
class Pair:
    """Two systems of one table, and both tests' p corrected for the number of the table's pairs (Holm).

    `p_bootstrap` is the one to go by where questions of a category resemble each other.
    """

    first: str
    second: str
    comparison: Comparison
    p_mcnemar: float
    p_bootstrap: float


@dataclass(frozen=True)
class Answering:
    """By one protocol: the systems whose answers depend on the mapping, and what they lose."""

    note: str
    systems: Mapping[str, Scored]
    pairs: tuple[Pair, ...]
    losses: Mapping[str, Losses]
    regret: Mapping[str, Mapping[str, Regret]]


@dataclass(frozen=True, slots=True)
class ScenarioFound:
    """What became of a classifier, and of CoE with it, in a scenario."""

    tasks: int
    questions: int
    experts: int
    label_accuracy: Mapping[str, float]
    coe_accuracy: Mapping[str, Mapping[Protocol, float]]
    best_single: float


@dataclass(frozen=True)
class Findings:
    """`paper` names the profile with the paper's experts, if it is one; `left_out` questions had failed calls.

    `alone` are experts and single models, the same by every protocol.
    """

    profile: str
    paper: str | None
    tasks: tuple[str, ...]
    questions: int
    left_out: int
    experts: tuple[str, ...]
    singles: tuple[str, ...]
    alone: Mapping[str, Scored]
    bounds: Mapping[str, Scored]
    random_coe: Spread
    by_protocol: Mapping[Protocol, Answering]
    classifiers: Mapping[str, Mapping[str, object]]
    scenarios: Mapping[str, ScenarioFound]

    @property
    def best_single(self) -> str:
        """The expert that is best over all; the first by name among equals."""
        return min(self.experts, key=lambda name: (-float(self.alone[name].right.mean()), name))


def analyse(evidence: Evidence) -> Findings:
    """Raises `DataError` where nothing can be compared."""
    profile, everything = evidence.profile, evidence.matrix.complete()
    tasks = tuple(task.name for task in profile.task_list)
    asked = np.isin(everything.tasks, tasks)
    own = everything.only(asked)
    core = own.among(tuple(profile.experts))
    singles = tuple(profile.study.singles)
    labels = _labels(evidence, core, tasks)
    maps = {protocol: _map(protocol, evidence, core) for protocol in PROTOCOLS}
    lone = {name: _scored(alone(own, name), own) for name in (*profile.experts, *singles)}
    return Findings(
        profile=profile.name,
        paper=profile.extends or profile.name,
        tasks=tasks,
        questions=own.size,
        left_out=evidence.matrix.size - everything.size,
        experts=tuple(profile.experts),
        singles=singles,
        alone=lone,
        bounds={name: _scored(system, core) for name, system in _bounds(core).items()},
        random_coe=random_expert(core),
        by_protocol={protocol: _answering(core, labels, task_map, lone) for protocol, task_map in maps.items()},
        classifiers={
            name: classifier_metrics(Counter(zip(core.tasks, each, strict=True)), tasks)
            for name, each in labels.items()
        },
        scenarios={each.name: _scenario(each, everything) for each in evidence.scenarios},
    )


def _labels(evidence: Evidence, core: Matrix, tasks: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """What each classifier named: those of the run, the neighbours, the trained rivals, and one that guesses."""
    kept = {name: core.labels[name] for name in (*variants(evidence.profile), NEIGHBOURS) if name in core.labels}
    named = {name: _listed(each, tasks) for name, each in kept.items()}
    for name, by_question in (evidence.trained or {}).items():
        named[name] = tuple(by_question[question.id] for question in core.questions)
    return {**named, **_heads(evidence, core, tasks), RANDOM_LABELS: random_labels(tasks, core.size)}


def _heads(evidence: Evidence, core: Matrix, listed: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Bench-CoE's labels: trained in domain, and on another list's examples."""
    vectors = evidence.vectors
    if vectors is None:
        return {}
    asked = np.array([vectors[question.id] for question in core.questions])
    heads = {}
    own = [each for each in evidence.examples if each.task in listed]
    if (labels := _head(own, vectors, asked)) is not None:
        heads[BENCH_COE] = labels
    transfer = evidence.profile.study.transfer
    elsewhere = [each for each in evidence.examples if each.task in transfer and each.task not in listed]
    if (labels := _head(elsewhere, vectors, asked)) is not None:
        heads[MOVED] = translated(labels, transfer)
    return heads


def _head(examples: Sequence[Question], vectors: Mapping[str, Vectors], asked: Vectors) -> tuple[str, ...] | None:
    known = np.array([vectors[each.id] for each in examples])
    return trained_labels(known, [each.task or "" for each in examples], asked)


def _map(protocol: Protocol, evidence: Evidence, core: Matrix) -> TaskMap:
    if protocol == "paper":
        return paper_map(core)
    return cross_fitted_map(core) if evidence.other is None else other_map(core, evidence.other[1], evidence.other[0])


def _bounds(core: Matrix) -> dict[str, System]:
    return {MAJORITY: majority(MAJORITY, core), QUESTION_ORACLE: question_oracle(QUESTION_ORACLE, core)}


def _answering(
    core: Matrix, labels: Mapping[str, tuple[str, ...]], task_map: TaskMap, lone: Mapping[str, Scored]
) -> Answering:
    best = task_map.picked(core.tasks)
    picked = {name: task_map.picked(each) for name, each in labels.items()}
    systems = {name: _scored(routed(name, core, picks), core) for name, picks in _by_system(picked).items()}
    systems[TASK_ORACLE] = _scored(routed(TASK_ORACLE, core, best), core)
    contest = {**{name: lone[name].right for name in lone}, **{name: each.right for name, each in systems.items()}}
    true = np.array(core.tasks)
    lost = {}
    for name, picks in picked.items():
        named = np.array(labels[name])
        unknown = named == UNKNOWN
        lost[name] = losses(core.right, core.unread, picks, best, unknown, (named != true) & ~unknown)
    return Answering(
        task_map.note,
        systems,
        _pairs({name: each for name, each in contest.items() if name not in _UNPAIRED}, core),
        lost,
        {name: regret(core.right, picks, core.tasks) for name, picks in picked.items()},
    )


_UNPAIRED = (TASK_ORACLE, COE + RANDOM_LABELS)


def _by_system(picked: Mapping[str, object]) -> dict[str, "np.ndarray[tuple[int], np.dtype[np.intp]]"]:
    """Systems by the labels that they are routed by; a trained classifier has the name of its paper."""
    return {name if name.startswith(BENCH_COE) else COE + name: picks for name, picks in picked.items()}  # type: ignore[misc]


def _pairs(right: Mapping[str, Bools], core: Matrix) -> tuple[Pair, ...]:
    """Every two of a table."""
    named = list(combinations(right, 2))
    compared = [compare(right[first], right[second], core.clusters) for first, second in named]
    exact, wild = holm([each.p_mcnemar for each in compared]), holm([each.p_bootstrap for each in compared])
    return tuple(Pair(*names, each, *p) for names, each, *p in zip(named, compared, exact, wild, strict=True))


def _scored(system: System, matrix: Matrix) -> Scored:
    return Scored(system.metrics(matrix), accuracy_interval(system.right, matrix.clusters), system.right)


def _scenario(changed: ResolvedScenario, everything: Matrix) -> ScenarioFound:
    """The scenario's own questions, tasks, experts and labels, out of the same run."""
    tasks = tuple(task.name for task in changed.profile.task_list)
    moved = replace(everything, questions=tuple(map(changed.relabelled, everything.questions)))
    own = moved.only(np.isin(moved.tasks, tasks)).among(tuple(changed.experts.values()))
    maps = {"paper": paper_map(own), "held-out": cross_fitted_map(own)}
    labelled = {name: own.labels.get(scenario_label(name, changed.name)) for name in variants(changed.profile)}
    named = {name: _listed(labels, tasks) for name, labels in labelled.items() if labels is not None}
    everyone = np.arange(own.size)
    return ScenarioFound(
        tasks=len(tasks),
        questions=own.size,
        experts=len(own.experts),
        label_accuracy={
            name: float(np.mean([one == true for one, true in zip(labels, own.tasks, strict=True)]))
            for name, labels in named.items()
        },
        coe_accuracy={
            name: {protocol: float(own.right[maps[protocol].picked(labels), everyone].mean()) for protocol in PROTOCOLS}
            for name, labels in named.items()
        },
        best_single=float(own.right.mean(axis=1).max()),
    )


def _listed(labels: Labels, tasks: Sequence[str]) -> tuple[str, ...]:
    return tuple(label if label is not None and label in tasks else UNKNOWN for label in labels)

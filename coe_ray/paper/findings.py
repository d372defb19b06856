"""Findings of a study about one profile: every system by both protocols, comparisons, losses, scenarios. Pure.

All systems come from one matrix of answers and one set of labels a classifier, so none of them costs a further call.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

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
from coe_ray.paper.bench_coe import trained_labels, translated
from coe_ray.paper.scenarios import ResolvedScenario
from coe_ray.paper.study_plan import classifier_variants, scenario_label
from coe_ray.profile.profile import Profile
from coe_ray.retrieval.encoder import Vectors

BENCH_COE, MOVED, FINE_TUNED = "bench-coe", "bench-coe moved", "bench-coe fine-tuned"
MAJORITY, TASK_ORACLE, QUESTION_ORACLE = "majority vote", "task oracle", "question oracle"
RANDOM_LABELS = "random"
COE = "coe/"
"""Prefix of a CoE system's name; the name of the classifier whose labels route follows."""


@dataclass(frozen=True)
class StudyData:
    """Input of `analyse`. `vectors` are the embeddings of questions and examples, by their ids.

    `trained` are labels of classifiers that were trained for the run; `other` is the run that the held-out mapping is
    made of, with its name.
    """

    profile: Profile
    matrix: Matrix
    scenarios: tuple[ResolvedScenario, ...] = ()
    examples: tuple[Question, ...] = ()
    vectors: Mapping[str, Vectors] | None = None
    trained: Mapping[str, Mapping[str, str]] | None = None
    other: tuple[str, Matrix] | None = None


@dataclass(frozen=True)
class SystemResult:
    """One system: its metrics as in a bench's summary, its clustered interval, and whether each answer was right."""

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
class ProtocolFindings:
    """Findings by one protocol: the systems whose answers depend on the mapping, and what they lose."""

    note: str
    systems: Mapping[str, SystemResult]
    pairs: tuple[Pair, ...]
    losses: Mapping[str, Losses]
    regret: Mapping[str, Mapping[str, Regret]]


@dataclass(frozen=True, slots=True)
class ScenarioFindings:
    """Accuracy of each classifier, and of CoE with it, in a scenario."""

    tasks: int
    questions: int
    experts: int
    label_accuracy: Mapping[str, float]
    coe_accuracy: Mapping[str, Mapping[Protocol, float]]
    best_single: float


@dataclass(frozen=True)
class Findings:
    """Findings about one profile. `paper` names the profile that this one extends, else this one; `left_out` questions
    had failed calls. `alone` are experts and single models, the same by every protocol.
    """

    profile: str
    paper: str | None
    tasks: tuple[str, ...]
    questions: int
    left_out: int
    experts: tuple[str, ...]
    singles: tuple[str, ...]
    alone: Mapping[str, SystemResult]
    bounds: Mapping[str, SystemResult]
    random_coe: Spread
    by_protocol: Mapping[Protocol, ProtocolFindings]
    classifiers: Mapping[str, Mapping[str, object]]
    scenarios: Mapping[str, ScenarioFindings]

    @property
    def best_single(self) -> str:
        """The expert that is best over all; the first by name among equals."""
        return min(self.experts, key=lambda name: (-float(self.alone[name].right.mean()), name))


def analyse(data: StudyData) -> Findings:
    """Work out all findings. Raises `DataError` where nothing can be compared."""
    profile, complete = data.profile, data.matrix.complete()
    tasks = tuple(task.name for task in profile.task_list)
    own = complete.only(np.isin(complete.tasks, tasks))
    matrix = own.among(tuple(profile.experts))
    singles = tuple(profile.study.singles)
    labels = _all_labels(data, matrix, tasks)
    maps = {protocol: _task_map(protocol, data, matrix) for protocol in PROTOCOLS}
    single_results = {name: _result(alone(own, name), own) for name in (*profile.experts, *singles)}
    bounds = (majority(MAJORITY, matrix), question_oracle(QUESTION_ORACLE, matrix))
    return Findings(
        profile=profile.name,
        paper=profile.extends or profile.name,
        tasks=tasks,
        questions=own.size,
        left_out=data.matrix.size - complete.size,
        experts=tuple(profile.experts),
        singles=singles,
        alone=single_results,
        bounds={name: _result(bound, matrix) for name, bound in zip((MAJORITY, QUESTION_ORACLE), bounds, strict=True)},
        random_coe=random_expert(matrix),
        by_protocol={
            protocol: _analyse_protocol(matrix, labels, task_map, single_results) for protocol, task_map in maps.items()
        },
        classifiers={
            name: classifier_metrics(Counter(zip(matrix.tasks, named, strict=True)), tasks)
            for name, named in labels.items()
        },
        scenarios={scenario.name: _analyse_scenario(scenario, complete) for scenario in data.scenarios},
    )


# Labels


def _all_labels(data: StudyData, matrix: Matrix, tasks: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The labels of each classifier: those of the run, the neighbours, the trained rivals, and one that guesses."""
    names = (*classifier_variants(data.profile), NEIGHBOURS)
    labels = {name: _among_tasks(matrix.labels[name], tasks) for name in names if name in matrix.labels}
    for name, by_question in (data.trained or {}).items():
        labels[name] = tuple(by_question[question.id] for question in matrix.questions)
    return {**labels, **_bench_coe_labels(data, matrix, tasks), RANDOM_LABELS: random_labels(tasks, matrix.size)}


def _among_tasks(labels: Labels, tasks: Sequence[str]) -> tuple[str, ...]:
    return tuple(label if label is not None and label in tasks else UNKNOWN for label in labels)


def _bench_coe_labels(data: StudyData, matrix: Matrix, tasks: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Bench-CoE's labels: trained on the examples of these tasks, and on those of other tasks and translated."""
    vectors, transfer = data.vectors, data.profile.study.transfer
    if vectors is None:
        return {}
    own = [example for example in data.examples if example.task in tasks]
    others = [example for example in data.examples if example.task in transfer and example.task not in tasks]
    asked, heads = np.array([vectors[question.id] for question in matrix.questions]), {}
    for name, examples in ((BENCH_COE, own), (MOVED, others)):
        known = np.array([vectors[example.id] for example in examples])
        labels = trained_labels(known, [example.task or "" for example in examples], asked)
        if labels is not None:
            heads[name] = translated(labels, transfer) if name == MOVED else labels
    return heads


# Systems


def _task_map(protocol: Protocol, data: StudyData, matrix: Matrix) -> TaskMap:
    if protocol == "paper":
        return paper_map(matrix)
    return cross_fitted_map(matrix) if data.other is None else other_map(matrix, data.other[1], data.other[0])


_UNPAIRED = (TASK_ORACLE, COE + RANDOM_LABELS)


def _analyse_protocol(
    matrix: Matrix,
    labels: Mapping[str, tuple[str, ...]],
    task_map: TaskMap,
    single_results: Mapping[str, SystemResult],
) -> ProtocolFindings:
    best, true = task_map.picked(matrix.tasks), np.array(matrix.tasks)
    systems, lost, regrets = {}, {}, {}
    for name, named in labels.items():
        picked = task_map.picked(named)
        system = name if name.startswith(BENCH_COE) else COE + name  # a trained classifier has the name of its paper
        systems[system] = _result(routed(system, matrix, picked), matrix)
        unknown = np.array(named) == UNKNOWN
        misnamed = (np.array(named) != true) & ~unknown
        lost[name] = losses(matrix.right, matrix.unread, picked, best, unknown, misnamed)
        regrets[name] = regret(matrix.right, picked, matrix.tasks)
    systems[TASK_ORACLE] = _result(routed(TASK_ORACLE, matrix, best), matrix)
    paired = {name: each.right for name, each in {**single_results, **systems}.items() if name not in _UNPAIRED}
    return ProtocolFindings(task_map.note, systems, _compare_pairs(paired, matrix), lost, regrets)


def _compare_pairs(right: Mapping[str, Bools], matrix: Matrix) -> tuple[Pair, ...]:
    """Every two of the systems."""
    pairs = list(combinations(right, 2))
    compared = [compare(right[first], right[second], matrix.clusters) for first, second in pairs]
    exact, wild = holm([each.p_mcnemar for each in compared]), holm([each.p_bootstrap for each in compared])
    return tuple(Pair(*names, each, *p) for names, each, *p in zip(pairs, compared, exact, wild, strict=True))


def _result(system: System, matrix: Matrix) -> SystemResult:
    return SystemResult(system.metrics(matrix), accuracy_interval(system.right, matrix.clusters), system.right)


def _analyse_scenario(scenario: ResolvedScenario, complete: Matrix) -> ScenarioFindings:
    """The scenario's own questions, tasks, experts and labels, out of the same run."""
    tasks = tuple(task.name for task in scenario.profile.task_list)
    relabelled = replace(complete, questions=tuple(map(scenario.relabelled, complete.questions)))
    own = relabelled.only(np.isin(relabelled.tasks, tasks)).among(tuple(scenario.experts.values()))
    maps: dict[Protocol, TaskMap] = {"paper": paper_map(own), "held-out": cross_fitted_map(own)}
    recorded = {
        name: own.labels.get(scenario_label(name, scenario.name)) for name in classifier_variants(scenario.profile)
    }
    labels = {name: _among_tasks(named, tasks) for name, named in recorded.items() if named is not None}
    columns = np.arange(own.size)
    return ScenarioFindings(
        tasks=len(tasks),
        questions=own.size,
        experts=len(own.experts),
        label_accuracy={name: float(np.mean(np.array(named) == own.tasks)) for name, named in labels.items()},
        coe_accuracy={
            name: {protocol: float(own.right[maps[protocol].picked(named), columns].mean()) for protocol in PROTOCOLS}
            for name, named in labels.items()
        },
        best_single=float(own.right.mean(axis=1).max()),
    )

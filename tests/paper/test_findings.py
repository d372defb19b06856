"""A planted world comes out of the study as it was planted: every figure, oracle and loss at its analytic value."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from coe_ray.analysis.matrix import Matrix
from coe_ray.core.types import UNKNOWN
from coe_ray.paper.findings import (
    COE,
    MAJORITY,
    QUESTION_ORACLE,
    RANDOM_LABELS,
    TASK_ORACLE,
    Findings,
    ProtocolFindings,
    StudyData,
    analyse,
)
from coe_ray.paper.study_plan import StudyPlan
from tests.paper import planted
from tests.paper.planted import CONFUSION, LABEL, PER_TASK, SILENT, SINGLE, SKILL, TASKS

N = PER_TASK * len(TASKS)
Z = 4.0
"""Sampling errors that a figure may be off: one of all that are checked here is once in some hundred seeds."""

BEST = {"Logs": "logger", "Incidents": "medic", "Series": "counter", "Plans": "medic"}
ON_AVERAGE = "logger"


def near(value: float, wanted: float, n: int = N) -> bool:
    """Within `Z` standard errors of a share of n."""
    return abs(value - wanted) <= Z * math.sqrt(max(wanted * (1 - wanted), 1e-4) / n)


def answers(findings: Findings) -> ProtocolFindings:
    return findings.by_protocol["held-out"]


def accuracy(figures: Mapping[str, object]) -> float:
    value = figures["accuracy"]
    assert isinstance(value, float)
    return value


def mean(by_task: Mapping[str, float]) -> float:
    return sum(by_task[task] for task in TASKS) / len(TASKS)


def test_every_expert_and_the_single_model_are_as_good_as_they_were_made(findings: Findings) -> None:
    for name, skill in {**SKILL, "large": SINGLE}.items():
        metrics = findings.alone[name].metrics
        assert near(accuracy(metrics), mean(skill)), name
        by_task = metrics["per_task"]
        assert isinstance(by_task, dict)
        assert all(near(by_task[task]["accuracy"], skill[task], PER_TASK) for task in TASKS), name
    assert findings.best_single == ON_AVERAGE


def test_the_classifier_confuses_what_it_was_made_to_confuse(findings: Findings) -> None:
    metrics = findings.classifiers[LABEL]
    assert near(accuracy(metrics), mean({task: CONFUSION[task][task] for task in TASKS}))
    confusion = metrics["confusion"]
    assert isinstance(confusion, dict)
    for task, row in zip(TASKS, confusion["matrix"], strict=True):
        shares = dict(zip(confusion["labels"], np.array(row) / PER_TASK, strict=True))
        assert all(near(share, CONFUSION[task].get(label, 0.0), PER_TASK) for label, share in shares.items())
    assert near(accuracy(findings.classifiers[RANDOM_LABELS]), 1 / len(TASKS))


@pytest.mark.parametrize("protocol", ["paper", "held-out"])
def test_coe_and_the_oracles_land_on_their_analytic_values(findings: Findings, protocol: str) -> None:
    answering = findings.by_protocol[protocol]  # type: ignore[index]
    assert near(accuracy(answering.systems[TASK_ORACLE].metrics), mean({t: SKILL[BEST[t]][t] for t in TASKS}))
    assert near(accuracy(answering.systems[COE + LABEL].metrics), mean({task: routed(task) for task in TASKS}))
    nobody = {task: math.prod(1 - skill[task] for skill in SKILL.values()) for task in TASKS}
    assert near(accuracy(findings.bounds[QUESTION_ORACLE].metrics), 1 - mean(nobody))
    assert near(findings.random_coe.accuracy, mean({t: sum(s[t] for s in SKILL.values()) / len(SKILL) for t in TASKS}))
    assert findings.random_coe.low < findings.random_coe.accuracy < findings.random_coe.high


def routed(task: str) -> float:
    """CoE's accuracy at a task: over the labels that the classifier gives it."""
    best = {**BEST, UNKNOWN: ON_AVERAGE}
    return sum(chance * SKILL[best[label]][task] for label, chance in CONFUSION[task].items())


def test_losses_add_up_and_land_on_their_analytic_values(findings: Findings) -> None:
    lost = answers(findings).losses[LABEL]
    best = {task: SKILL[BEST[task]][task] for task in TASKS}
    unknown = {task: CONFUSION[task].get(UNKNOWN, 0.0) * (best[task] - SKILL[ON_AVERAGE][task]) for task in TASKS}
    misnamed = {
        task: sum(
            chance * (best[task] - SKILL[BEST[label]][task])
            for label, chance in CONFUSION[task].items()
            if label not in (task, UNKNOWN)
        )
        for task in TASKS
    }
    # A difference of two answers to one question: at most as wide as two shares.
    assert abs(lost.unknown - mean(unknown)) <= 2 * Z * math.sqrt(0.1 / N)
    assert abs(lost.classification - mean(misnamed)) <= 2 * Z * math.sqrt(0.15 / N)
    silent = SILENT["counter"] * (1 - (1 - SKILL["logger"]["Series"]) * (1 - SKILL["medic"]["Series"])) / len(TASKS)
    assert near(lost.extraction, silent)
    assert lost.classification + lost.unknown + lost.mapping + lost.extraction == pytest.approx(lost.total)


def test_regret_is_what_the_labels_cost_at_each_task(findings: Findings) -> None:
    for task, each in answers(findings).regret[LABEL].items():
        assert near(each.coe, routed(task), PER_TASK)
        assert abs(each.regret - (SKILL[BEST[task]][task] - routed(task))) <= 2 * Z * math.sqrt(0.25 / PER_TASK)


def test_the_majority_is_asked_of_everybody(findings: Findings) -> None:
    found_majority = accuracy(findings.bounds[MAJORITY].metrics)
    assert found_majority < accuracy(findings.bounds[QUESTION_ORACLE].metrics)
    assert found_majority > accuracy(findings.alone["counter"].metrics)


def test_systems_that_differ_are_told_apart_and_one_and_the_same_are_not(findings: Findings) -> None:
    pairs = {(each.first, each.second): each for each in answers(findings).pairs}
    logger = pairs["logger", COE + LABEL]
    assert logger.p_mcnemar < 0.001
    assert logger.p_bootstrap < 0.05
    assert logger.comparison.high < 0
    assert all(each.p_mcnemar >= each.comparison.p_mcnemar for each in pairs.values())
    assert all(each.p_bootstrap >= each.comparison.p_bootstrap for each in pairs.values())


def test_a_scenario_without_an_expert_is_worse_where_he_was_best(findings: Findings) -> None:
    fewer = findings.scenarios["fewer"]
    assert (fewer.tasks, fewer.questions, fewer.experts) == (len(TASKS), N, 2)
    assert fewer.label_accuracy[LABEL] == accuracy(findings.classifiers[LABEL])
    best = {**BEST, "Series": "logger", UNKNOWN: ON_AVERAGE}
    wanted = mean({t: sum(p * SKILL[best[to]][t] for to, p in CONFUSION[t].items()) for t in TASKS})
    assert near(fewer.coe_accuracy[LABEL]["held-out"], wanted)


def test_failed_calls_are_left_out_and_counted(plan: StudyPlan) -> None:
    some = plan.questions[::50]
    records = planted.records(plan.run_profile, plan.classifiers, some)
    records[0]["answers"]["logger"] = {"error": "ServerFault", "message": "down"}
    records[1]["labels"][LABEL] = {"error": "CallTimeout", "message": "slow"}
    whole = analyse(StudyData(plan.profile, Matrix.from_records({each.id: each for each in some}, records)))
    assert (whole.questions, whole.left_out) == (len(some) - 2, 2)


def test_a_renamed_task_list_has_labels_and_a_classifier_of_its_own(plan: StudyPlan) -> None:
    some = plan.questions[::20]
    records = planted.records(plan.run_profile, plan.classifiers, some)
    matrix = Matrix.from_records({each.id: each for each in some}, records)
    renamed = analyse(StudyData(plan.profile, matrix, plan.scenarios)).scenarios["renamed"]
    assert renamed.tasks == len(TASKS)
    assert renamed.label_accuracy[LABEL] == 0.0  # what it says is no label: every question is unknown
    assert renamed.coe_accuracy[LABEL]["paper"] == pytest.approx(renamed.best_single)


def test_the_folder_of_the_profile_is_all_that_a_planted_world_needs(tmp_path: Path) -> None:
    assert planted.profile(tmp_path).study.singles.keys() == {"large"}

"""Findings as tables in the paper's layout, with its own numbers beside where the profile is one of its expert sets."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from coe_ray.analysis.mapping import PROTOCOLS, Protocol
from coe_ray.analysis.matrix import NEIGHBOURS
from coe_ray.paper.analyse import (
    BENCH_COE,
    COE,
    FINE_TUNED,
    MAJORITY,
    MOVED,
    QUESTION_ORACLE,
    RANDOM_LABELS,
    TASK_ORACLE,
    Answering,
    Findings,
    Scored,
)
from coe_ray.paper.plan_calls import WITHOUT_RAG
from coe_ray.paper.published import TABLES, Published
from coe_ray.paper.table_format import NONE, Figures, Grid, Line, Table

RANDOM_COE, SINGLE = "random-coe", "single"
EFFECTIVENESS = {1: "III", 2: "IV", 3: "V", 4: "VI"}
CLASSIFYING = {1: "VII", 2: "VII", 3: "VIII", 4: "VIII"}
EFFICIENCY = {2: "IX", 4: "X"}

_TITLES: Mapping[Protocol, str] = {"paper": "as published", "held-out": "held out"}


def expert_set(findings: Findings) -> int | None:
    """The paper's expert set that the profile is, or extends."""
    named = re.match(r"paper-set([1-4])", findings.paper or "")
    return int(named[1]) if named else None


def make_tables(findings: Findings) -> list[Table | Grid]:
    """All tables of one profile: each of its protocols, then what does not depend on one."""
    shown: list[Table | Grid] = []
    for protocol in PROTOCOLS:
        answering = findings.by_protocol[protocol]
        shown += [
            _effectiveness(findings, protocol),
            _efficiency(findings, protocol),
            _pairs(findings, protocol, answering),
            _losses(findings, protocol, answering),
            _regret(findings, protocol, answering),
        ]
    shown += [_classifying(findings), _per_task(findings)]
    return shown + ([_scenarios(findings)] if findings.scenarios else [])


def main_label(findings: Findings) -> str:
    """The classifier that stands for CoE where there is room for one: the last that retrieves, else the last."""
    own = [name for name in findings.classifiers if name not in _RIVALS]
    return next((name for name in reversed(own) if not name.endswith(WITHOUT_RAG)), own[-1])


_RIVALS = (NEIGHBOURS, BENCH_COE, MOVED, FINE_TUNED, RANDOM_LABELS)


def summary(findings: Findings) -> dict[str, Any]:
    """Plain JSON data of everything."""
    return {
        "profile": findings.profile,
        "tasks": findings.tasks,
        "questions": findings.questions,
        "left_out": findings.left_out,
        "best_single": findings.best_single,
        "alone": _plain(findings.alone),
        "bounds": _plain(findings.bounds),
        "random_coe": asdict(findings.random_coe),
        "classifiers": findings.classifiers,
        "protocols": {
            name: {
                "note": each.note,
                "systems": _plain(each.systems),
                "pairs": [asdict(pair) for pair in each.pairs],
                "losses": {label: asdict(lost) for label, lost in each.losses.items()},
                "regret": {label: {task: asdict(r) for task, r in by.items()} for label, by in each.regret.items()},
            }
            for name, each in findings.by_protocol.items()
        },
        "scenarios": {name: asdict(each) for name, each in findings.scenarios.items()},
    }


def _plain(systems: Mapping[str, Scored]) -> dict[str, Any]:
    return {name: {**each.metrics, "clustered95": asdict(each.interval)} for name, each in systems.items()}


def figures_of(scored: Scored) -> Figures:
    """What a table prints of a system; the interval is the clustered one."""
    metrics: Mapping[str, Any] = scored.metrics
    interval = (scored.interval.low, scored.interval.high)
    return Figures(metrics["accuracy"], interval, metrics["precision"], metrics["recall"], metrics["f1"])


def labels_of_coe(findings: Findings) -> list[str]:
    """The labels of the classifiers proper, with and without retrieval."""
    return [name for name in findings.classifiers if name not in _RIVALS]


def _effectiveness(findings: Findings, protocol: Protocol) -> Table:
    """Tables III to VI: the experts alone, and CoE."""
    numeral = EFFECTIVENESS.get(expert_set(findings) or 0)
    systems = findings.by_protocol[protocol].systems
    lines = [_line(name, findings.alone[name], numeral) for name in findings.experts]
    lines += [_line(COE + name, systems[COE + name], numeral) for name in labels_of_coe(findings)]
    lines += [_line(name, each, numeral, bound=True) for name, each in _oracles(findings, protocol)]
    return Table(
        f"{_numbered('Effectiveness', numeral)} – {findings.profile}, mapping {_TITLES[protocol]}",
        f"{findings.questions} questions, {len(findings.tasks)} tasks. Mapping {findings.by_protocol[protocol].note}.",
        tuple(lines),
        _notes(findings),
    )


def _efficiency(findings: Findings, protocol: Protocol) -> Table:
    """Tables IX and X: small experts together against a larger model, and against other ways to choose."""
    numeral = EFFICIENCY.get(expert_set(findings) or 0)
    systems, spread = findings.by_protocol[protocol].systems, findings.random_coe
    random = Figures(spread.accuracy, (spread.low, spread.high), None, None, None)
    lines = [_line(name, findings.alone[name], numeral, SINGLE) for name in findings.singles]
    lines += [Line(RANDOM_COE, random, _published(numeral, RANDOM_COE), "expected; the spread of 1,000 seeds")]
    for name in (COE + NEIGHBOURS, BENCH_COE, MOVED, FINE_TUNED):
        lines += [_line(name, systems[name], numeral)] if name in systems else []
    lines += [_line(MAJORITY, findings.bounds[MAJORITY], numeral)]
    lines += [_line(COE + name, systems[COE + name], numeral) for name in labels_of_coe(findings)]
    lines += [_line(name, each, numeral, bound=True) for name, each in _oracles(findings, protocol)]
    return Table(
        f"{_numbered('Efficiency', numeral)} – {findings.profile}, mapping {_TITLES[protocol]}",
        "Other ways to choose an expert, and single models. The majority asks every expert.",
        tuple(lines),
        _notes(findings),
    )


def _oracles(findings: Findings, protocol: Protocol) -> Iterator[tuple[str, Scored]]:
    yield TASK_ORACLE, findings.by_protocol[protocol].systems[TASK_ORACLE]
    yield QUESTION_ORACLE, findings.bounds[QUESTION_ORACLE]


def _classifying(findings: Findings) -> Table:
    """Tables VII and VIII."""
    numeral = CLASSIFYING.get(expert_set(findings) or 0)
    # The paper's five-label rival stands in table VIII where it was moved to eight tasks.
    moved = {MOVED: BENCH_COE} if numeral == "VIII" else {BENCH_COE: BENCH_COE}
    lines = []
    for name in (RANDOM_LABELS, NEIGHBOURS, BENCH_COE, MOVED, FINE_TUNED, *labels_of_coe(findings)):
        if name in findings.classifiers:
            key = moved.get(name, "" if name in (BENCH_COE, MOVED) else name)
            lines.append(Line(name, _label_figures(findings.classifiers[name]), _published(numeral, key)))
    return Table(
        f"{_numbered('Task classification', numeral)} – {findings.profile}",
        f"{findings.questions} questions over {len(findings.tasks)} tasks and *unknown*; intervals are Wilson's.",
        tuple(lines),
    )


def _label_figures(metrics: Mapping[str, Any]) -> Figures:
    ends = metrics["ci95"]
    interval = (ends[0], ends[1]) if ends else None
    return Figures(metrics["accuracy"], interval, metrics["precision"], metrics["recall"], metrics["f1"])


def _pairs(findings: Findings, protocol: Protocol, answering: Answering) -> Grid:
    """Every pair of which one is routed."""
    alone = set(findings.alone)
    rows = [
        (
            pair.first,
            pair.second,
            _points(pair.comparison.difference),
            f"{_points(pair.comparison.low)} to {_points(pair.comparison.high)}",
            f"{pair.comparison.only_first} / {pair.comparison.only_second}",
            f"{pair.p_mcnemar:.3f}",
            f"{pair.p_bootstrap:.3f}",
            f"{pair.comparison.needed:,}" if pair.comparison.needed else NONE,
        )
        for pair in answering.pairs
        if not {pair.first, pair.second} <= alone
    ]
    return Grid(
        f"Comparisons – {findings.profile}, mapping {_TITLES[protocol]}",
        f"Points of accuracy, first less second. Both p are corrected for {len(answering.pairs)} pairs (Holm): "
        "McNemar's exact test takes questions for independent, the paired bootstrap does not. Last, how many questions "
        "it would take to tell the two apart (5 %, power 80 %).",
        ("first", "second", "Δ", "95 %", "only first / second", "p McNemar", "p bootstrap", "questions needed"),
        tuple(rows),
    )


def _losses(findings: Findings, protocol: Protocol, answering: Answering) -> Grid:
    rows = [
        (
            COE + name,
            _percent(lost.coe),
            *(_points(each) for each in (lost.classification, lost.unknown, lost.mapping, lost.extraction)),
            _percent(lost.question_oracle),
        )
        for name, lost in answering.losses.items()
        if name in (*labels_of_coe(findings), NEIGHBOURS)
    ]
    return Grid(
        f"Losses – {findings.profile}, mapping {_TITLES[protocol]}",
        "From CoE to the question oracle, in points: what is lost to wrong labels, to *unknown*, to the task's expert "
        "not being the question's, and to answers without a letter. The row adds up.",
        ("system", "Acc %", "classification", "unknown", "mapping", "extraction", "question oracle %"),
        tuple(rows),
    )


def _regret(findings: Findings, protocol: Protocol, answering: Answering) -> Grid:
    name = main_label(findings)
    rows = [
        (task, str(each.questions), _percent(each.coe), _percent(each.best_single), _points(each.regret))
        for task, each in answering.regret[name].items()
    ]
    return Grid(
        f"Routing regret – {findings.profile}, {COE}{name}, mapping {_TITLES[protocol]}",
        "What the task's best expert in hindsight has over CoE, in points.",
        ("task", "questions", "CoE Acc %", "best expert Acc %", "regret"),
        tuple(rows),
    )


def _per_task(findings: Findings) -> Grid:
    """Accuracy by task: what the radar charts draw."""
    series = per_task(findings, "held-out")
    rows = tuple((name, *(NONE if value is None else _percent(value) for value in row)) for name, row in series.items())
    return Grid(f"Accuracy by task – {findings.profile}", "In %, mapping held out.", ("system", *findings.tasks), rows)


def per_task(findings: Findings, protocol: Protocol) -> dict[str, list[float | None]]:
    """The accuracy at each task, in the profile's order, of the experts and of CoE with each classifier."""
    systems = findings.by_protocol[protocol].systems
    coe = {COE + name: systems[COE + name] for name in labels_of_coe(findings) if not name.endswith(WITHOUT_RAG)}
    shown = {**{name: findings.alone[name] for name in findings.experts}, **coe}
    return {name: [_at(scored, task) for task in findings.tasks] for name, scored in shown.items()}


def _at(scored: Scored, task: str) -> float | None:
    by_task: Mapping[str, Any] = scored.metrics["per_task"]  # type: ignore[assignment]
    return by_task[task]["accuracy"] if task in by_task else None


def _scenarios(findings: Findings) -> Grid:
    """Each scenario beside the profile as it is."""
    rows = []
    for name in labels_of_coe(findings):
        before = [
            "as it is",
            name,
            str(len(findings.tasks)),
            str(len(findings.experts)),
            str(findings.questions),
            _percent(_accuracy(findings.classifiers[name])),
            *(_percent(_accuracy(findings.by_protocol[each].systems[COE + name].metrics)) for each in PROTOCOLS),
            _percent(float(findings.alone[findings.best_single].right.mean())),
        ]
        rows.append(tuple(before))
        for scenario, found in findings.scenarios.items():
            if name in found.label_accuracy:
                after = [scenario, name, str(found.tasks), str(found.experts), str(found.questions)]
                after += [_percent(found.label_accuracy[name])]
                after += [_percent(found.coe_accuracy[name][each]) for each in PROTOCOLS]
                rows.append((*after, _percent(found.best_single)))
    return Grid(
        f"Scenarios – {findings.profile}",
        "Tasks and experts changed by the profile alone, in the same run, by the same engines.",
        (
            "scenario",
            "classifier",
            "tasks",
            "experts",
            "questions",
            "label Acc %",
            "CoE % (as published)",
            "CoE % (held out)",
            "best expert %",
        ),
        tuple(rows),
    )


def _accuracy(metrics: Mapping[str, Any]) -> float | None:
    value: float | None = metrics["accuracy"]
    return value


def _line(name: str, scored: Scored, numeral: str | None, key: str | None = None, *, bound: bool = False) -> Line:
    return Line(name, figures_of(scored), _published(numeral, key or name), bound=bound)


def _published(numeral: str | None, key: str) -> Published | None:
    return TABLES[numeral].rows.get(key) if numeral else None


def _numbered(what: str, numeral: str | None) -> str:
    return f"Table {numeral}: {TABLES[numeral].title}" if numeral else what


def _notes(findings: Findings) -> tuple[str, ...]:
    method = next(iter(findings.alone.values())).interval.method
    left_out = (f"{findings.left_out} questions had failed calls and are left out.",) if findings.left_out else ()
    return (f"Intervals: {method}.", *left_out)


def _percent(value: float | None) -> str:
    return NONE if value is None else f"{100 * value:.2f}"


def _points(value: float) -> str:
    return f"{100 * value:+.2f}"

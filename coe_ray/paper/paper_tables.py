"""Tables of a study in the paper's layout, with its numbers beside ours where the profile is one of its expert sets."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from coe_ray.analysis.mapping import PROTOCOLS, Protocol
from coe_ray.analysis.matrix import NEIGHBOURS
from coe_ray.analysis.tables import NONE, Table
from coe_ray.paper.findings import (
    BENCH_COE,
    COE,
    FINE_TUNED,
    MAJORITY,
    MOVED,
    QUESTION_ORACLE,
    RANDOM_LABELS,
    TASK_ORACLE,
    Findings,
    SystemResult,
)
from coe_ray.paper.published import TABLES, Published
from coe_ray.paper.study_plan import WITHOUT_RAG
from coe_ray.paper.system_table import SystemRow, format_percent, system_table

RANDOM_COE, SINGLE = "random-coe", "single"
# The paper's tables, by its expert sets.
EFFECTIVENESS = {1: "III", 2: "IV", 3: "V", 4: "VI"}
CLASSIFYING = {1: "VII", 2: "VII", 3: "VIII", 4: "VIII"}
EFFICIENCY = {2: "IX", 4: "X"}

_RIVALS = (NEIGHBOURS, BENCH_COE, MOVED, FINE_TUNED, RANDOM_LABELS)
_PROTOCOL_TITLES: Mapping[Protocol, str] = {"paper": "as published", "held-out": "held out"}


def make_tables(findings: Findings) -> list[Table]:
    """All tables of one profile: those of each protocol, then those that do not depend on one."""
    by_protocol = (_effectiveness, _efficiency, _pairs, _losses, _regret)
    tables = [make(findings, protocol) for protocol in PROTOCOLS for make in by_protocol]
    tables += [_classification(findings), _by_task(findings)]
    return tables + ([_scenarios(findings)] if findings.scenarios else [])


def main_label(findings: Findings) -> str:
    """The classifier that stands for CoE where there is room for one: the last that retrieves, else the last."""
    own = classifier_labels(findings)
    return next((name for name in reversed(own) if not name.endswith(WITHOUT_RAG)), own[-1])


def classifier_labels(findings: Findings) -> list[str]:
    """The labels of CoE's own classifiers, with and without retrieval."""
    return [name for name in findings.classifiers if name not in _RIVALS]


def accuracy_by_task(findings: Findings, protocol: Protocol) -> dict[str, list[float | None]]:
    """The accuracy at each task, in the profile's order, of the experts and of CoE with each classifier."""
    systems = findings.by_protocol[protocol].systems
    coe = [COE + name for name in classifier_labels(findings) if not name.endswith(WITHOUT_RAG)]
    results = {name: findings.alone[name] for name in findings.experts} | {name: systems[name] for name in coe}
    by_task: dict[str, Any] = {name: result.metrics["per_task"] for name, result in results.items()}
    return {name: [row.get(task, {}).get("accuracy") for task in findings.tasks] for name, row in by_task.items()}


def summary(findings: Findings) -> dict[str, Any]:
    """All findings as plain JSON data."""
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
                "note": found.note,
                "systems": _plain(found.systems),
                "pairs": [asdict(pair) for pair in found.pairs],
                "losses": {label: asdict(lost) for label, lost in found.losses.items()},
                "regret": {label: {task: asdict(r) for task, r in by.items()} for label, by in found.regret.items()},
            }
            for name, found in findings.by_protocol.items()
        },
        "scenarios": {name: asdict(scenario) for name, scenario in findings.scenarios.items()},
    }


def _plain(systems: Mapping[str, SystemResult]) -> dict[str, Any]:
    return {name: {**result.metrics, "clustered95": asdict(result.interval)} for name, result in systems.items()}


# Tables of systems


def _effectiveness(findings: Findings, protocol: Protocol) -> Table:
    """Tables III to VI: the experts alone, and CoE."""
    numeral = EFFECTIVENESS.get(expert_set(findings) or 0)
    rows = [_row(name, findings.alone[name], numeral) for name in findings.experts]
    return system_table(
        f"{_numbered('Effectiveness', numeral)} – {_scope(findings, protocol)}",
        f"{findings.questions} questions, {len(findings.tasks)} tasks. Mapping {findings.by_protocol[protocol].note}.",
        [*rows, *_coe_rows(findings, protocol, numeral)],
        _notes(findings),
    )


def _efficiency(findings: Findings, protocol: Protocol) -> Table:
    """Tables IX and X: small experts together against a larger model, and against other ways to choose."""
    numeral = EFFICIENCY.get(expert_set(findings) or 0)
    systems, spread = findings.by_protocol[protocol].systems, findings.random_coe
    random = {"accuracy": spread.accuracy, "ci95": (spread.low, spread.high)}
    rows = [_row(name, findings.alone[name], numeral, SINGLE) for name in findings.singles]
    rows += [SystemRow(RANDOM_COE, random, _published(numeral, RANDOM_COE), "expected; the spread of 1,000 seeds")]
    rivals = (COE + NEIGHBOURS, BENCH_COE, MOVED, FINE_TUNED)
    rows += [_row(name, systems[name], numeral) for name in rivals if name in systems]
    rows += [_row(MAJORITY, findings.bounds[MAJORITY], numeral)]
    return system_table(
        f"{_numbered('Efficiency', numeral)} – {_scope(findings, protocol)}",
        "Other ways to choose an expert, and single models. The majority asks every expert.",
        [*rows, *_coe_rows(findings, protocol, numeral)],
        _notes(findings),
    )


def _coe_rows(findings: Findings, protocol: Protocol, numeral: str | None) -> Iterator[SystemRow]:
    """CoE with each classifier, and the oracles."""
    systems = findings.by_protocol[protocol].systems
    for name in classifier_labels(findings):
        yield _row(COE + name, systems[COE + name], numeral)
    yield _row(TASK_ORACLE, systems[TASK_ORACLE], numeral, bound=True)
    yield _row(QUESTION_ORACLE, findings.bounds[QUESTION_ORACLE], numeral, bound=True)


def _classification(findings: Findings) -> Table:
    """Tables VII and VIII."""
    numeral = CLASSIFYING.get(expert_set(findings) or 0)
    # The paper's five-label rival stands in table VIII where it was moved to eight tasks.
    rival = MOVED if numeral == "VIII" else BENCH_COE
    keys = {BENCH_COE: "", MOVED: "", rival: BENCH_COE}
    rows = [
        SystemRow(name, findings.classifiers[name], _published(numeral, keys.get(name, name)))
        for name in (RANDOM_LABELS, NEIGHBOURS, BENCH_COE, MOVED, FINE_TUNED, *classifier_labels(findings))
        if name in findings.classifiers
    ]
    return system_table(
        f"{_numbered('Task classification', numeral)} – {findings.profile}",
        f"{findings.questions} questions over {len(findings.tasks)} tasks and *unknown*; intervals are Wilson's.",
        rows,
    )


def expert_set(findings: Findings) -> int | None:
    """The paper's expert set that the profile is, or extends."""
    match = re.match(r"paper-set([1-4])", findings.paper or "")
    return int(match[1]) if match else None


def _row(name: str, result: SystemResult, numeral: str | None, key: str = "", *, bound: bool = False) -> SystemRow:
    metrics = {**result.metrics, "ci95": (result.interval.low, result.interval.high)}
    return SystemRow(name, metrics, _published(numeral, key or name), bound=bound)


def _published(numeral: str | None, key: str) -> Published | None:
    return TABLES[numeral].rows.get(key) if numeral else None


def _numbered(title: str, numeral: str | None) -> str:
    return f"Table {numeral}: {TABLES[numeral].title}" if numeral else title


def _scope(findings: Findings, protocol: Protocol) -> str:
    return f"{findings.profile}, mapping {_PROTOCOL_TITLES[protocol]}"


def _notes(findings: Findings) -> tuple[str, ...]:
    method = next(iter(findings.alone.values())).interval.method
    left_out = (f"{findings.left_out} questions had failed calls and are left out.",) if findings.left_out else ()
    return (f"Intervals: {method}.", *left_out)


# Other tables


def _pairs(findings: Findings, protocol: Protocol) -> Table:
    """Every pair of which one is routed."""
    pairs = findings.by_protocol[protocol].pairs
    rows = tuple(
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
        for pair in pairs
        if not {pair.first, pair.second} <= set(findings.alone)
    )
    return Table(
        f"Comparisons – {_scope(findings, protocol)}",
        f"Points of accuracy, first less second. Both p are corrected for {len(pairs)} pairs (Holm): McNemar's exact "
        "test takes questions for independent, the paired bootstrap does not. Last, how many questions it would take "
        "to tell the two apart (5 %, power 80 %).",
        ("first", "second", "Δ", "95 %", "only first / second", "p McNemar", "p bootstrap", "questions needed"),
        rows,
    )


def _losses(findings: Findings, protocol: Protocol) -> Table:
    losses = findings.by_protocol[protocol].losses
    rows = tuple(
        (
            COE + name,
            format_percent(lost.coe),
            *map(_points, (lost.classification, lost.unknown, lost.mapping, lost.extraction)),
            format_percent(lost.question_oracle),
        )
        for name, lost in losses.items()
        if name in (*classifier_labels(findings), NEIGHBOURS)
    )
    return Table(
        f"Losses – {_scope(findings, protocol)}",
        "From CoE to the question oracle, in points: what is lost to wrong labels, to *unknown*, to the task's expert "
        "not being the question's, and to answers without a letter. The row adds up.",
        ("system", "Acc %", "classification", "unknown", "mapping", "extraction", "question oracle %"),
        rows,
    )


def _regret(findings: Findings, protocol: Protocol) -> Table:
    name = main_label(findings)
    rows = tuple(
        (task, str(at.questions), format_percent(at.coe), format_percent(at.best_single), _points(at.regret))
        for task, at in findings.by_protocol[protocol].regret[name].items()
    )
    return Table(
        f"Routing regret – {findings.profile}, {COE}{name}, mapping {_PROTOCOL_TITLES[protocol]}",
        "What the task's best expert in hindsight has over CoE, in points.",
        ("task", "questions", "CoE Acc %", "best expert Acc %", "regret"),
        rows,
    )


def _by_task(findings: Findings) -> Table:
    """Accuracy by task: what the radar charts draw."""
    series = accuracy_by_task(findings, "held-out")
    rows = tuple((name, *map(format_percent, row)) for name, row in series.items())
    return Table(f"Accuracy by task – {findings.profile}", "In %, mapping held out.", ("system", *findings.tasks), rows)


_SCENARIO_COLUMNS = (
    *("scenario", "classifier", "tasks", "experts", "questions", "label Acc %", "CoE % (as published)"),
    *("CoE % (held out)", "best expert %"),
)


def _scenarios(findings: Findings) -> Table:
    """Each scenario beside the profile as it is."""
    sizes = (len(findings.tasks), len(findings.experts), findings.questions)
    best = float(findings.alone[findings.best_single].right.mean())
    rows: list[tuple[str, ...]] = []
    for name in classifier_labels(findings):
        systems = [findings.by_protocol[protocol].systems[COE + name].metrics for protocol in PROTOCOLS]
        shares: list[Any] = [metrics["accuracy"] for metrics in (findings.classifiers[name], *systems)]
        rows.append(("as it is", name, *map(str, sizes), *map(format_percent, (*shares, best))))
        for scenario, found in findings.scenarios.items():
            if name in found.label_accuracy:
                shares = [found.label_accuracy[name], *(found.coe_accuracy[name][protocol] for protocol in PROTOCOLS)]
                changed = map(str, (found.tasks, found.experts, found.questions))
                rows.append((scenario, name, *changed, *map(format_percent, (*shares, found.best_single))))
    caption = "Tasks and experts changed by the profile alone, in the same run, by the same engines."
    return Table(f"Scenarios – {findings.profile}", caption, _SCENARIO_COLUMNS, tuple(rows))


def _points(value: float) -> str:
    return f"{100 * value:+.2f}"

"""A run as a bench job leaves it, of hundreds of questions whose answers are drawn: what reports are made of."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from coe_ray.bench.results import write_results
from coe_ray.core.questions import make_question
from coe_ray.core.run_folder import QuestionRecord, RunFolder, records_table
from coe_ray.core.types import UNKNOWN, Question
from coe_ray.profile.profile import Profile, load_profile

HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=2</script>{{ 7 * 7 }}\u202e</style></svg>'
"""What a page that takes text for HTML would run; its end turns what follows it round."""

TASKS = (
    *("Plan", "Code", "Build", "Test", "Release", "Deploy", "Operate", "Monitor", "Log Parser", "Root Cause Analysis"),
    *("Time Series Anomaly Detection", "Time Series Classification", "Time Series Forecasting"),
)
SKILLS = {
    "qwen2.5-7b-instruct": (0.74, 0.62, 0.70, 0.55, 0.66, 0.58, 0.48),
    "deepseek-coder-6.7b": (0.52, 0.83, 0.76, 0.72, 0.60, 0.38, 0.33),
    "mistral-small-2409": (0.68, 0.60, 0.66, 0.58, 0.70, 0.62, 0.40),
    "smollm2-135m": (0.31, 0.27, 0.30, 0.26, 0.33, 0.25, 0.28),
    "llama-3.1-70b-instruct-with-a-long-name": (0.76, 0.71, 0.69, 0.60, 0.62, 0.81, 0.52),
}
"""How often each expert is right at the first task, the second, …"""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is to be like. `outages` is the share of calls that fail, `priced` gives each model a price."""

    tasks: Sequence[str] = (*TASKS[:4], "Log Parser", "Root Cause Analysis", "Time Series Anomaly Detection")
    experts: Sequence[str] = tuple(SKILLS)
    per_task: int = 60
    labelled: float = 0.8
    outages: float = 0.002
    priced: bool = True
    hostile: bool = False
    seed: int = 7


def planted_run(root: Path, plan: Plan = Plan()) -> dict[str, Any]:
    """Write the run's folder, report and all; returns the summary."""
    profile, questions = planted_profile(root, plan), planted_questions(plan)
    folder = RunFolder(root / "run")
    folder.begin({"profile": "planted", "data": "sample"}, questions)
    folder.write_records([records_table(_records(plan, questions))])
    facts = {"calls": _bill(plan, len(questions)), "rejected": 2, "seconds": 3723.4, "data": "sample", "split": "test"}
    return write_results(folder, profile, {question.id: question for question in questions}, facts)


def planted_profile(root: Path, plan: Plan) -> Profile:
    names = _names(plan)
    prices = [{"input": 0.05 * 3**place, "output": 0.15 * 3**place} for place in (2, 1, 1.5, -1, 3)]
    models = {f"model-{place}": _api(prices[place] if plan.priced else None) for place, _ in enumerate(names)}
    content = {
        "tasks": [{"name": task, "description": "questions of its kind"} for task in _tasks(plan)],
        "models": {"sorter": _api(prices[1] if plan.priced else None), **models},
        "experts": {name: {"model": f"model-{place}"} for place, name in enumerate(names)},
        "classifier": {"model": "sorter", "k": 3},
        "retrieval": {"encoder": {"hub": "fake/encoder"}},
    }
    root.mkdir(parents=True, exist_ok=True)
    path = root / "planted.yaml"
    path.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return load_profile(path)


def planted_questions(plan: Plan) -> tuple[Question, ...]:
    return tuple(
        make_question(
            f"{task}: {_text(plan, number)}",
            _options(plan, number),
            "ABCD"[number % 4],
            task,
            category=f"{task}/{number % 3}",
        )
        for task in _tasks(plan)
        for number in range(plan.per_task)
    )


def _api(price: Mapping[str, float] | None) -> dict[str, Any]:
    return {"kind": "api", "base_url": "https://host.example/v1", "model": "any", "price": price}


def _tasks(plan: Plan) -> list[str]:
    return [f"{HOSTILE} {task}" if plan.hostile and not place else task for place, task in enumerate(plan.tasks)]


def _names(plan: Plan) -> list[str]:
    return list(plan.experts)


def _text(plan: Plan, number: int) -> str:
    logs = "\n".join(
        f"2026-03-{day:02} 04:12:{number % 60:02} ERROR kubelet: back-off restarting {day}" for day in (1, 2)
    )
    long = f" The cluster has been upgraded the night before. {logs}" * (8 if number % 3 == 0 else 1)
    return f"Service {number} answers with 503 after a deployment. What is the likeliest cause?{long}" + (
        HOSTILE if plan.hostile else ""
    )


def _options(plan: Plan, number: int) -> tuple[str, ...]:
    options = ["the readiness probe", f"a full disk on node {number}", "an expired certificate", "DNS: 节点的解析失败"]
    return (*options[:3], HOSTILE) if plan.hostile else tuple(options)


def _records(plan: Plan, questions: Sequence[Question]) -> Iterator[QuestionRecord]:
    chance = random.Random(plan.seed)
    for question in questions:
        label = _label(plan, question, chance)
        answers = {name: _answer(plan, name, question, chance) for name in _names(plan)}
        yield {"id": question.id, "classification": label, "classification_error": None, "answers": answers}


def _label(plan: Plan, question: Question, chance: random.Random) -> dict[str, Any]:
    tasks = _tasks(plan)
    place = tasks.index(question.task or "")
    right = chance.random() < plan.labelled - 0.35 * (place == 2)
    task = (
        tasks[place]
        if right
        else UNKNOWN
        if chance.random() < 0.2
        else tasks[(place + chance.choice((1, 1, 3))) % len(tasks)]
    )
    near = [tasks[place], task if task != UNKNOWN else tasks[0], tasks[place]]
    return {
        "task": task,
        "confidence": chance.uniform(0.3, 1.0),
        "neighbours": [{"id": str(n), "task": each, "similarity": 0.8 - 0.1 * n} for n, each in enumerate(near)],
        "usage": {"prompt_tokens": chance.randint(300, 700), "completion_tokens": 8},
        "rule": "bracketed",
        "raw": task,
        "by": "llm",
    }


def _answer(plan: Plan, name: str, question: Question, chance: random.Random) -> dict[str, Any]:
    if chance.random() < plan.outages:
        message = "model 'any': HTTP 503: upstream connect error or disconnect before headers" + HOSTILE * plan.hostile
        return {"error": "ServerFault", "message": message, "status": 503, "attempts": 8, "body": "", "refused": False}
    skill = SKILLS.get(name, (0.5,))
    place = _tasks(plan).index(question.task or "")
    right = question.answer or "A"
    wrong = chance.choice([letter for letter in question.letters if letter != right])
    letter = right if chance.random() < skill[place % len(skill)] else wrong if chance.random() < 0.9 else None
    words = "Let us look at what has changed last, for that is where most faults come from. " * chance.choice(
        (1, 2, 12)
    )
    last = f"The answer is ({letter})." if letter else "I cannot tell."
    return {
        "letter": letter,
        "text": f"{words}{HOSTILE if plan.hostile else ''} {last}",
        "refused": False,
        "attempts": 1,
        "prompt_tokens": chance.randint(200, 400),
        "completion_tokens": len(words) // 4,
        "seconds": 0.4,
    }


def _bill(plan: Plan, questions: int) -> dict[str, Any]:
    each = {"issued": questions + 3, "completed": questions + 2, "reused": 30, "repeated": 2, "abandoned": 1}
    each |= {"retried": 17, "failed": 1, "prompt_tokens": 300 * questions, "completion_tokens": 70 * questions}
    models = ["sorter", *(f"model-{place}" for place, _ in enumerate(_names(plan)))]
    cost = 0.0421 if plan.priced else None
    by_model = {name: {**each, "cost": cost} for name in models}
    totals = {name: count * len(models) for name, count in each.items()}
    return {**totals, "cost": None if cost is None else cost * len(models), "by_model": by_model}

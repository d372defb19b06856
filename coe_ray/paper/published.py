"""The paper's own numbers (arXiv 2507.22937), as it prints them: its tables II to X.

Systems and experts go by keys that never change; `NAMES` has what the paper's result tables call them. Every
accuracy times the size of its task set is a whole number of questions, so that a misread digit would show.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from coe_ray.profile.tasks import DEVOPS_EVAL_A, DEVOPS_EVAL_B

Kind: TypeAlias = Literal["answering", "classifying"]
TaskSet: TypeAlias = Literal["A", "B"]
ExpertSet: TypeAlias = Literal[1, 2, 3, 4]


@dataclass(frozen=True, slots=True)
class Published:
    """One row of a table, in percent. Precision, recall and F1 are weighted by class size (inferred: in every
    row recall is the accuracy); None where the paper prints a dash.
    """

    accuracy: float | None
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None


@dataclass(frozen=True, slots=True)
class PaperTable:
    """A table of results: its rows by system, in the paper's order. `experts` is None where none answers."""

    title: str
    kind: Kind
    tasks: TaskSet
    experts: ExpertSet | None
    rows: Mapping[str, Published]


TASKS: Mapping[TaskSet, tuple[str, ...]] = {
    "A": tuple(task.name for task in DEVOPS_EVAL_A),
    "B": tuple(task.name for task in DEVOPS_EVAL_B),
}

QUESTIONS: Mapping[TaskSet, int] = {"A": 1420, "B": 4557}
"""How many test questions a task set has (table I): what every accuracy is over."""

NAMES: Mapping[str, str] = {
    "internlm-7b": "Internlm-7B",
    "internlm-chat-7b": "Internlm-chat-7B",
    "codefuse-devops-model-7b-base": "CodeFuse-7B-Base",
    "codefuse-devops-model-7b-chat": "CodeFuse-7B-Chat",
    "glm-4-flash": "Glm-4-flash",
    "codegeex-4": "Codegeex-4",
    "ministral-8b": "Ministral-8b",
    "mathstral-7b-v0.1": "Mathstral-7B-v0.1",
    "qwen2-7b-instruct": "Qwen2-7B-Instruct",
    "doubao-1.5-lite-32k": "Doubao-1.5-lite-32k",
    "gemma-2-27b-it": "Gemma-2-27b-it",
    "single": "Mixtral-8x7b-instruct",
    "random-coe": "Random-CoE",
    "bench-coe": "Bench-CoE",
    "coe/classifier-1": "CoE-Ops (Classifier 1)",
    "coe/classifier-2": "CoE-Ops (Classifier 2)",
    "random": "Random Select",
    "classifier-1 without RAG": "Classifier 1 w/o RAG",
    "classifier-1": "Classifier 1",
    "classifier-2 without RAG": "Classifier 2 w/o RAG",
    "classifier-2": "Classifier 2",
}
"""What the paper's tables of results call each system. `single` is the one larger model, a mixture of experts."""

CLASSIFIERS: Mapping[str, str] = {"classifier-1": "DeepSeek-R1-Distill-Qwen-7B", "classifier-2": "DeepSeek-V3"}
"""The models behind the two classifiers (table II)."""

EXPERTS: Mapping[ExpertSet, Mapping[str, str]] = {
    1: {
        "Log Parser": "internlm-chat-7b",
        "Root Cause Analysis": "codefuse-devops-model-7b-chat",
        "Time Series Anomaly Detection": "codefuse-devops-model-7b-base",
        "Time Series Classification": "internlm-7b",
        "Time Series Forecasting": "internlm-chat-7b",
    },
    2: {
        "Log Parser": "ministral-8b",
        "Root Cause Analysis": "ministral-8b",
        "Time Series Anomaly Detection": "glm-4-flash",
        "Time Series Classification": "codegeex-4",
        "Time Series Forecasting": "ministral-8b",
    },
    3: {
        "Build": "internlm-chat-7b",
        "Code": "qwen2-7b-instruct",
        "Deploy": "internlm-chat-7b",
        "Monitor": "mathstral-7b-v0.1",
        "Operate": "qwen2-7b-instruct",
        "Plan": "qwen2-7b-instruct",
        "Release": "mathstral-7b-v0.1",
        "Test": "qwen2-7b-instruct",
    },
    4: {
        "Build": "gemma-2-27b-it",
        "Code": "doubao-1.5-lite-32k",
        "Deploy": "doubao-1.5-lite-32k",
        "Monitor": "gemma-2-27b-it",
        "Operate": "gemma-2-27b-it",
        "Plan": "glm-4-flash",
        "Release": "gemma-2-27b-it",
        "Test": "doubao-1.5-lite-32k",
    },
}
"""Which expert answers each task (table II), by expert set."""

_COE_2 = {
    "coe/classifier-1": Published(69.15, 71.13, 69.15, 70.10),
    "coe/classifier-2": Published(70.49, 72.29, 70.49, 71.31),
}
_COE_4 = {
    "coe/classifier-1": Published(74.28, 74.79, 74.28, 74.52),
    "coe/classifier-2": Published(75.60, 75.91, 75.60, 75.75),
}

TABLES: Mapping[str, PaperTable] = {
    "III": PaperTable(
        title="CoE-Ops and its experts: Expert Set 1 on Task Set A",
        kind="answering",
        tasks="A",
        experts=1,
        rows={
            "internlm-7b": Published(35.07, 37.05, 35.07, 34.36),
            "internlm-chat-7b": Published(35.99, 39.47, 35.99, 35.42),
            "codefuse-devops-model-7b-base": Published(28.17, 29.57, 28.17, 25.39),
            "codefuse-devops-model-7b-chat": Published(30.56, 31.71, 30.56, 30.36),
            "coe/classifier-1": Published(40.07, 42.40, 40.07, 39.60),
            "coe/classifier-2": Published(44.08, 46.82, 44.08, 43.58),
        },
    ),
    "IV": PaperTable(
        title="CoE-Ops and its experts: Expert Set 2 on Task Set A",
        kind="answering",
        tasks="A",
        experts=2,
        rows={
            "glm-4-flash": Published(62.54, 64.50, 62.54, 63.16),
            "codegeex-4": Published(54.44, 63.84, 54.44, 58.65),
            "ministral-8b": Published(68.38, 69.07, 68.38, 68.70),
            **_COE_2,
        },
    ),
    "V": PaperTable(
        title="CoE-Ops and its experts: Expert Set 3 on Task Set B",
        kind="answering",
        tasks="B",
        experts=3,
        rows={
            "internlm-chat-7b": Published(54.20, 53.63, 54.20, 53.56),
            "mathstral-7b-v0.1": Published(62.74, 62.77, 62.74, 62.47),
            "qwen2-7b-instruct": Published(63.57, 64.44, 63.57, 63.32),
            "coe/classifier-1": Published(64.52, 64.93, 64.52, 64.24),
            "coe/classifier-2": Published(64.14, 64.44, 64.14, 63.86),
        },
    ),
    "VI": PaperTable(
        title="CoE-Ops and its experts: Expert Set 4 on Task Set B",
        kind="answering",
        tasks="B",
        experts=4,
        rows={
            "doubao-1.5-lite-32k": Published(73.21, 73.73, 73.21, 73.47),
            "gemma-2-27b-it": Published(74.22, 74.13, 74.22, 74.14),
            "glm-4-flash": Published(68.60, 68.23, 68.60, 68.26),
            **_COE_4,
        },
    ),
    "VII": PaperTable(
        title="Task classifiers on Task Set A",
        kind="classifying",
        tasks="A",
        experts=None,
        rows={
            "random": Published(20.00),
            "bench-coe": Published(62.46, 52.69, 62.46, 55.35),
            "classifier-1 without RAG": Published(77.11, 87.66, 77.11, 81.52),
            "classifier-1": Published(80.92, 95.62, 80.92, 87.51),
            "classifier-2 without RAG": Published(100.0, 100.0, 100.0, 100.0),
            "classifier-2": Published(100.0, 100.0, 100.0, 100.0),
        },
    ),
    "VIII": PaperTable(
        title="Task classifiers on Task Set B",
        kind="classifying",
        tasks="B",
        experts=None,
        rows={
            "random": Published(12.50),
            "bench-coe": Published(4.94, 11.86, 4.94, 0.83),
            "classifier-1 without RAG": Published(13.91, 32.65, 13.91, 14.66),
            "classifier-1": Published(43.84, 71.47, 43.84, 50.43),
            "classifier-2 without RAG": Published(24.95, 41.67, 24.95, 26.54),
            "classifier-2": Published(77.22, 79.79, 77.22, 77.22),
        },
    ),
    "IX": PaperTable(
        title="CoE-Ops, other routers and one larger model: Expert Set 2 on Task Set A",
        kind="answering",
        tasks="A",
        experts=2,
        rows={
            "single": Published(55.56, 61.15, 55.56, 57.99),
            "random-coe": Published(59.15, 62.63, 59.15, 60.84),
            "bench-coe": Published(68.94, 70.30, 68.94, 69.58),
            **_COE_2,
        },
    ),
    "X": PaperTable(
        title="CoE-Ops and one larger model: Expert Set 4 on Task Set B",
        kind="answering",
        tasks="B",
        experts=4,
        rows={
            "single": Published(65.26, 66.89, 65.26, 65.94),
            **_COE_4,
        },
    ),
}
"""The tables of results by numeral. Tables IX and X print the rows of CoE-Ops of IV and VI again, but no experts."""

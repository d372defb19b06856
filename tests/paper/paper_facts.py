"""Facts of the paper beside its results: task sets, names of systems, and the expert of each task (table II)."""

from collections.abc import Mapping
from typing import Literal, TypeAlias

from coe_ray.profile.tasks import DEVOPS_EVAL_A, DEVOPS_EVAL_B

TaskSet: TypeAlias = Literal["A", "B"]
ExpertSet: TypeAlias = Literal[1, 2, 3, 4]

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

TABLE_SETS: Mapping[str, tuple[TaskSet, ExpertSet | None]] = {
    "III": ("A", 1),
    "IV": ("A", 2),
    "V": ("B", 3),
    "VI": ("B", 4),
    "VII": ("A", None),
    "VIII": ("B", None),
    "IX": ("A", 2),
    "X": ("B", 4),
}
"""The task set of each table of results, and its experts; None where a table is about classifiers alone."""

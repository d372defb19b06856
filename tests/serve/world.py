"""The profile that the tests of the endpoint serve: what is asked, who is best at it, and what everybody says."""

from pathlib import Path
from typing import Any

from coe_ray.core.questions import make_question
from coe_ray.core.types import Question
from coe_ray.llm.weights import locate_weights
from coe_ray.profile.profile import load_profile
from coe_ray.retrieval.encoder import SentenceEncoder
from coe_ray.retrieval.index import build_index
from coe_ray.routing.leaderboard import Leaderboard
from tests.support import profiles
from tests.support.profiles import ENCODER, api, rule, scripted

CONTAINERS, METRICS, BROKEN, REMOTE, UNKNOWN = "Container Orchestration", "监控指标", "Broken", "Remote", "unknown"

LEADERBOARD = Leaderboard.from_scores(
    (expert, task, correct, 10)
    for task, scores in {
        CONTAINERS: {"captain": 9, "gauge": 2, "faulty": 1, "buggy": 0, "remote": 3},
        METRICS: {"captain": 3, "gauge": 8, "faulty": 1, "buggy": 0, "remote": 4},
        BROKEN: {"captain": 2, "gauge": 5, "faulty": 10, "buggy": 0, "remote": 0},
        REMOTE: {"captain": 8, "gauge": 7, "faulty": 0, "buggy": 0, "remote": 10},
    }.items()
    for expert, correct in scores.items()
)
BEST_ON_AVERAGE = "captain"

STATEFUL = "Which object gives each pod of a statefulset its own name?\nA. Deployment\nB. StatefulSet"
THROUGHPUT = "如何计算服务的吞吐量？\nＡ．每秒请求数\nＢ．平均延迟"

EXAMPLES = {
    "Which Kubernetes object keeps a fixed number of pods running?": CONTAINERS,
    "How is a container image pulled from a private registry?": CONTAINERS,
    "What does a liveness probe do to a pod?": CONTAINERS,
    "Prometheus 的 counter 与 gauge 有什么区别？": METRICS,
    "告警阈值应该如何设置？": METRICS,
}


# The classifier also reads the neighbours, which come before the question: these words stand in no example.
_CLASSIFIER = [
    rule("sorting is down", "the sorter is overloaded", fails=True),
    rule("nodepool|statefulset|number [0-9]+", f"**Task: {CONTAINERS}**"),
    rule("吞吐量", f"**Task: {METRICS}**"),
    rule("faulty one", f"**Task: {BROKEN}**"),
    rule("Question: (say|settings|break|hang|trickle)", f"**Task: {REMOTE}**"),
    rule(".", "**Task: astrology**"),
]
_CAPTAIN = [
    rule(r"number ([0-9]+)", r"This is the reply to number \1 and to no other."),
    rule(r"(?m)^A\. .*^B\. ", "A stateful set keeps names.  So the answer is (B)."),
    rule(r"(?s)^(.*)$", r"Aye: \1"),
]


def write_profile(path: Path, upstream: str, **changes: Any) -> Path:
    """The profile in a file of its own; `changes` replace whole sections."""
    content = {
        "tasks": [{"name": name, "description": f"about {name}"} for name in (CONTAINERS, METRICS, BROKEN, REMOTE)],
        "models": {
            "sorter": scripted(*_CLASSIFIER),
            "sailor": scripted(*_CAPTAIN),
            "meter": scripted(rule(".", "答案是 A")),
            "wreck": scripted(rule(".", "no engine on board", fails=True)),
            "bug": {"kind": "python", "target": "tests.serve.toys:Bug"},
            "cloud": api(upstream, "cloud-9", attempts=1),
        },
        "experts": {
            "captain": {"model": "sailor"},
            "gauge": {"model": "meter", "prompt": "direct"},
            "faulty": {"model": "wreck"},
            "buggy": {"model": "bug"},
            "remote": {"model": "cloud", "settings": {"temperature": 0.0, "max_tokens": 50}},
        },
        "classifier": {"model": "sorter", "decoding": "free", "k": 3},
        "retrieval": {"encoder": ENCODER, "index": "index"},
        "leaderboard": {"path": "leaderboard.json"},
        "routing": {"deadline_s": 20.0, "failover_after_s": 3.0},
        "access": {"keys": False},
    }
    return profiles.write_profile(path, content | changes)


def examples() -> list[Question]:
    return [make_question(text, task=task) for text, task in EXAMPLES.items()]


def build_world(folder: Path, upstream: str) -> Path:
    """Profile, leaderboard and index; returns the profile's path."""
    path = write_profile(folder / "world.yaml", upstream)
    LEADERBOARD.save(folder / "leaderboard.json")
    encoder = load_profile(path).retrieval.encoder
    build_index(folder / "index", examples(), SentenceEncoder(encoder.hub, locate_weights(encoder)))
    return path

"""What the console's tests look at: a served profile, leaderboards of several versions, and a folder of bench runs."""

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from coe_ray.bench.datasets.load import load_benchmark, sample_by_task
from coe_ray.bench.records import evaluate_question
from coe_ray.bench.results import make_bill, write_results
from coe_ray.core.api_keys import add_key
from coe_ray.core.questions import make_question
from coe_ray.core.run_folder import Progress, QuestionRecord, RunFolder, records_table
from coe_ray.core.types import Neighbour, Provenance, Question
from coe_ray.journal.audit import audit_calls
from coe_ray.journal.journal import Journal
from coe_ray.llm.factory import make_local_models, wrap_in_journal
from coe_ray.llm.weights import locate_weights
from coe_ray.profile.profile import Profile, load_profile
from coe_ray.retrieval.encoder import SentenceEncoder
from coe_ray.retrieval.index import build_index
from coe_ray.routing.leaderboard import Leaderboard
from coe_ray.routing.pipeline import CompositionOfExperts
from tests.support.console_models import ECHO

EXPERTS = ("aria", "basalt", "cinder", "timeseries")
TASKS = (
    *("Plan", "Code", "Build", "Test", "Release", "Deploy", "Operate", "Monitor", "Log Parser", "Root Cause Analysis"),
    *("Time Series Anomaly Detection", "Time Series Classification", "Time Series Forecasting"),
)
INJECTION = '<img src=x onerror="window.hacked=1"><script>window.hacked=2</script><b>bold</b>'
"""What a page that takes text for HTML would run."""

POD = "A pod stays in Pending. What is to be looked at first?\nA. Its events\nB. Its name"
RELEASE = "Where does a pipeline keep its password?\nA. In a secret\nB. In the README"
LONG = f"{ECHO} " + " ".join(f"word{number}" for number in range(60))
"""Questions; the answer to the last comes word by word for seconds."""

MARKDOWN = """# Roll back

Two steps, **in this order** (see `README.md`):

1. Read [the runbook](https://example.com/runbook).
2. Undo it:

```bash
kubectl rollout undo deploy/web

kubectl get pods
```

| pod | restarts |
|:----|---------:|
| web | 7 |

> Not before noon. [here](#/runs) [there](javascript:window.hacked=1) ![chart](https://example.com/c.png) &lt;b&gt;
"""
"""An answer with every kind of block, and with what a page must not follow or load."""

RUN = "runs/sample-test-1"
UNAUTHORIZED = "error: Failed to load resource: the server responded with a status of 401 (Unauthorized)"

_NOW = (41, 33, 30, 12, 7)
_BEFORE = (34, 34, 28, 10, 5)
"""How many each expert has right, about, and how that wavers from task to task."""


@dataclass(frozen=True)
class ConsoleWorld:
    """A served endpoint, a key for it, its profile, and the folder of runs that it shows."""

    url: str
    key: str
    profile: Path
    runs: Path


def build_console_world(folder: Path) -> tuple[Path, str]:
    """The profile's file, and a key that is known."""
    key = add_key(folder / "keys.json", "console")
    profile = write_profile(folder)
    encoder = load_profile(profile).retrieval.encoder
    examples = [each for each in load_benchmark("sample", split="dev").questions if each.task in TASKS]
    hostile = make_question(f"Repeat after us: {INJECTION}", task="Test")
    build_index(folder / "index", [*examples, hostile], SentenceEncoder(encoder.hub, locate_weights(encoder)))
    return profile, key


def write_profile(folder: Path) -> Path:
    """The profile and its leaderboards, the one that it names and the one before."""
    board(_NOW, "dev-2", "2026-11-22T17:43:49+00:00").save(folder / "operations.leaderboard.json")
    board(_BEFORE, "dev-1", "2026-11-02T08:10:00+00:00").save(folder / "before.leaderboard.json")
    models = "tests.support.console_models"
    content = {
        "tasks": ["devops-eval-a", "devops-eval-b"],
        "models": {
            "sorter": {"kind": "python", "target": f"{models}:Sorter"},
            **{name: {"kind": "python", "target": f"{models}:{name.capitalize()}"} for name in EXPERTS[:3]},
            "statistics": {"kind": "python", "target": "coe_ray.experts.timeseries:TimeSeriesExpert"},
        },
        "experts": {
            **{name: {"model": name} for name in EXPERTS[:3]},
            "timeseries": {"model": "statistics", "prompt": "direct"},
        },
        "classifier": {"model": "sorter", "decoding": "free", "k": 4},
        "retrieval": {
            "encoder": load_profile("local-cpu").retrieval.encoder.model_dump(mode="json"),
            "index": "index",
        },
        "leaderboard": {"path": "operations.leaderboard.json"},
        "access": {"keys": "keys.json"},
    }
    path = folder / "operations.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


def board(figures: Sequence[int], run: str, created: str) -> Leaderboard:
    """Of 60 questions a task: about so many right, more or less from task to task; `cinder` is best at Release."""
    *right, wavers = figures
    rows = []
    for number, task in enumerate(TASKS):
        for place, (expert, most) in enumerate(zip(EXPERTS, right, strict=True)):
            correct = max(0, min(60, most + (wavers * number + 11 * place) % 19 - 9))
            correct = 55 if (expert, task) == ("cinder", "Release") else correct
            correct = 58 if expert == "timeseries" and task.startswith("Time Series") else correct
            rows.append((expert, task, correct, 60))
    provenance = Provenance(run, "sample", "dev", "operations", created, "c8c9b4b")
    return Leaderboard.from_scores(rows, provenance)


class Nothing:
    """A retriever for runs."""

    async def nearest(self, question: Question, k: int) -> tuple[Neighbour, ...]:
        return (Neighbour(question.id[::-1], "near", question.task or "", 0.7, 1.0),)


def build_runs(root: Path, profile_file: Path) -> None:
    """One finished run, one that was stopped, and one that has just begun; `Live` makes one that works."""
    finished_run(root / "sample-test-1", profile_file)
    stopped = begun_run(root / "night-shift", profile_file)
    stopped.write_progress(Progress(280, 131, 2, failures={"ServerFault": 2}, phase="stopped", at=time.time() - 7300))
    (root / "no-run-at-all").mkdir()


def begun_run(root: Path, profile_file: Path, per_task: int = 3) -> RunFolder:
    benchmark = load_benchmark("sample", split="test")
    folder = RunFolder(root)
    identity = {"profile": str(profile_file), "data": "sample", "split": "test", "journal": None}
    notes = {"tasks": [asdict(task) for task in benchmark.tasks]}
    folder.begin(identity, (*sample_by_task(benchmark.questions, per_task, 0), _hostile()), notes)
    folder.write_rejected([])
    return folder


def finished_run(root: Path, profile_file: Path, per_task: int = 3) -> RunFolder:
    """As a bench job leaves it: its own records, journal, answers and summary."""
    folder = begun_run(root, profile_file, per_task)
    profile = load_profile(profile_file)
    questions = (*sample_by_task(load_benchmark("sample", split="test").questions, per_task, 0), _hostile())
    run = str(folder.card()["run"])
    # In a thread: Playwright keeps an event loop running in the one of the tests.
    with closing(Journal.open(folder.journal, run)) as journal, ThreadPoolExecutor(1) as aside:
        records = aside.submit(asyncio.run, _examined(profile, journal, questions)).result()
    folder.write_records([records_table(records)])
    facts = {"calls": make_bill(audit_calls(folder.journal, run), profile), "rejected": 0, "seconds": 48.2}
    by_id = {question.id: question for question in questions}
    write_results(folder, profile, by_id, {**facts, "data": "sample", "split": "test"})
    return folder


def _hostile() -> Question:
    return make_question(f"What does {INJECTION} do?", ("harm", INJECTION), "A", "Test")


async def _examined(profile: Profile, journal: Journal, questions: Sequence[Question]) -> list[QuestionRecord]:
    models = make_local_models(profile)
    models_in_journal = {name: wrap_in_journal(profile, name, journal, model) for name, model in models.items()}
    coe = CompositionOfExperts(profile, models_in_journal, Nothing(), None)
    return [await evaluate_question(coe, question) for question in questions]


class Live:
    """A run that a bench job seems to work on: the file that it would write, on each call of `tell`."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder

    @classmethod
    def begun(cls, root: Path, profile_file: Path) -> "Live":
        """Also where it was begun before."""
        return cls(begun_run(root, profile_file))

    def tell(self, done: int, **more: float | Mapping[str, int]) -> None:
        now = time.time()
        progress = Progress(280, done, rate=9.5, in_flight=64, waiting=120, phase="asking", at=now)
        self._folder.write_progress(Progress(**{**asdict(progress), **more}))

    def finish(self, profile_file: Path) -> None:
        """It comes to its end."""
        finished_run(self._folder.root, profile_file)
        later = time.time() + 1
        os.utime(self._folder.summary, (later, later))

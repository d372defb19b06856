"""What the tests of the journal share: calls, their keys, an answer, and workers in processes of their own."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings

from coe_ray.core.errors import CallError
from coe_ray.core.types import Call, Completion, Message, SamplingParams, Usage
from coe_ray.journal.entries import CallOutcome, call_key
from coe_ray.journal.journal import Journal

IN_ONE_FOLDER = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
ROOT = Path(__file__).parents[2]
IDENTITY = {"kind": "api", "base_url": "http://provider.example/v1", "model": "provider/model-a", "revision": ""}
ANSWER = Completion("Paris.", usage=Usage(7, 2), attempts=2, seconds=0.25)


def call(text: str) -> Call:
    return Call((Message("system", "Be brief."), Message("user", text)), SamplingParams(temperature=0.5, stop=("\n",)))


def key(text: str) -> bytes:
    return call_key(IDENTITY, call(text))


def answered(journal: Journal, *texts: str) -> None:
    for text in texts:
        journal.append_issued(key(text), "model-a", call(text))
        journal.append_outcome(key(text), "model-a", ANSWER)


def found(journal: Journal, texts: Sequence[str]) -> list[str]:
    return [text for text in texts if journal.find(key(text))]


def written(place: Path, *texts: str) -> Path:
    """A journal of these calls, closed; its segment."""
    before = set(segments(place))
    journal = Journal.open(place)
    answered(journal, *texts)
    journal.close()
    (segment,) = set(segments(place)) - before
    return segment


def segments(place: Path) -> list[Path]:
    return sorted(path for path in place.glob("*.jsonl") if ".prompts." not in path.name)


@contextlib.contextmanager
def worker(code: str, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """A Python process that runs `code`; its output is a pipe. Killed at the end where it still runs."""
    command = [sys.executable, "-c", code, *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def shown(outcome: CallOutcome | None) -> Any:
    """An outcome as something that can be compared."""
    if isinstance(outcome, CallError):
        return type(outcome), outcome.model, outcome.message, outcome.fields()
    return outcome

"""What came of one question: every classifier's label and every expert's answer as plain data, failures by name."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from coe_ray.bench.records import evaluate_question, failed_calls
from coe_ray.core.chat_model import ChatModel, stream_completion
from coe_ray.core.errors import CallError, ContentFiltered, ServerFault
from coe_ray.core.questions import make_question
from coe_ray.core.run_folder import QuestionRecord
from coe_ray.core.types import Call, Completion, Delta, Neighbour, Usage
from coe_ray.llm.factory import make_local_models
from coe_ray.profile.profile import Profile
from coe_ray.routing.pipeline import CompositionOfExperts
from tests.support.planted import Listener, Shelf
from tests.support.profiles import content, small_profile

QUESTION = make_question("Which tool is there to compile?", ("make", "ping"), "A", "Build")
NEAR = (Neighbour("n1", "one", "Build", 0.9, 0.6), Neighbour("n2", "two", "Integration Test", 0.5, 0.4))


class Failing:
    """A model whose every call fails in one way."""

    name = "failing"

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def complete(self, call: Call) -> Completion:
        raise self._error

    def stream(self, call: Call) -> AsyncIterator[Delta]:
        return stream_completion(self, call)


def pipeline(
    profile: Profile, models: dict[str, ChatModel] | None = None, shelf: tuple[Neighbour, ...] = NEAR
) -> CompositionOfExperts:
    return CompositionOfExperts(profile, make_local_models(profile) | (models or {}), Shelf(*shelf), None)


def extra_classifier(folder: Path, model: ChatModel, k: int = 2) -> CompositionOfExperts:
    classifier = {"model": "sorter", "k": k, "decoding": "free"}
    return pipeline(small_profile(folder, classifier=classifier), {"sorter": model})


async def record_of(folder: Path, models: dict[str, ChatModel] | None = None, **labels: ChatModel) -> QuestionRecord:
    coe = pipeline(small_profile(folder), models)
    return await evaluate_question(
        coe, QUESTION, {name: extra_classifier(folder, model) for name, model in labels.items()}
    )


async def test_a_record_has_a_label_and_every_experts_answer(tmp_path: Path) -> None:
    record = await record_of(tmp_path)
    assert (record["id"], record["classification_error"]) == (QUESTION.id, None)
    assert record["classification"]["task"] == "Build"
    assert list(record["answers"]) == ["alpha", "beta"]
    assert [answer["letter"] for answer in record["answers"].values()] == ["A", "B"]
    assert "labels" not in record
    assert not failed_calls(record)


async def test_each_further_classifier_has_a_label_of_its_own(tmp_path: Path) -> None:
    first, second = Listener("first", "Task: Integration Test"), Listener("second", "no idea")
    record = await record_of(tmp_path, first=first, second=second)
    assert list(record["labels"]) == ["first", "second"]
    assert [label["task"] for label in record["labels"].values()] == ["Integration Test", "unknown"]
    assert record["classification"]["task"] == "Build"
    assert (len(first.calls), len(second.calls)) == (1, 1)
    assert not failed_calls(record)


async def test_an_extra_classifier_asks_its_classifier_and_no_expert(tmp_path: Path) -> None:
    one = Listener("one", "A")
    coe = pipeline(small_profile(tmp_path), {"one": one})
    other = pipeline(small_profile(tmp_path), {"one": one, "two": one})
    await evaluate_question(coe, QUESTION, {"other": other})
    assert len(one.calls) == 1


async def test_a_label_keeps_its_neighbours_by_id_and_one_without_examples_has_none(tmp_path: Path) -> None:
    coe = pipeline(small_profile(tmp_path))
    models = {
        "with": extra_classifier(tmp_path, Listener("s", "Build")),
        "without": extra_classifier(tmp_path, Listener("s", "B"), 0),
    }
    record = await evaluate_question(coe, QUESTION, models)
    assert record["labels"]["with"]["neighbours"] == [
        {"id": "n1", "task": "Build", "similarity": 0.9},
        {"id": "n2", "task": "Integration Test", "similarity": 0.5},
    ]
    assert record["labels"]["without"]["neighbours"] == []


async def test_the_tasks_of_an_extra_classifier_are_its_own(tmp_path: Path) -> None:
    tasks = [{"name": "Compile", "description": "to compile"}]
    other = pipeline(small_profile(tmp_path, tasks=tasks), {"sorter": Listener("s", "Task: Compile")})
    record = await evaluate_question(pipeline(small_profile(tmp_path)), QUESTION, {"renamed": other})
    assert record["labels"]["renamed"]["task"] == "Compile"


async def test_a_failed_label_is_a_failed_question_and_takes_nothing_with_it(tmp_path: Path) -> None:
    down = Failing(ServerFault("sorter", "503", status=503, attempts=6))
    record = await record_of(tmp_path, first=down, second=Listener("s", "Task: Build"))
    label = record["labels"]["first"]
    assert (label["error"], label["status"], label["attempts"], label["refused"]) == ("ServerFault", 503, 6, False)
    assert record["labels"]["second"]["task"] == "Build"
    assert record["answers"]["alpha"]["letter"] == "A"
    assert failed_calls(record) == ["ServerFault"]


async def test_a_filtered_label_is_no_failure(tmp_path: Path) -> None:
    record = await record_of(tmp_path, first=Failing(ContentFiltered("sorter", "filtered")))
    assert record["labels"]["first"]["refused"]
    assert not failed_calls(record)


async def test_every_call_that_failed_is_told_by_its_class(tmp_path: Path) -> None:
    down: dict[str, ChatModel] = {name: Failing(ServerFault("m", "503")) for name in ("sorter", "one")}
    down["two"] = Failing(ContentFiltered("m", "filtered"))
    record = await record_of(tmp_path, down, first=down["sorter"], second=Failing(CallError("m", "no")))
    assert (record["classification"], record["classification_error"]["error"]) == (None, "ServerFault")
    assert sorted(failed_calls(record)) == ["CallError", "ServerFault", "ServerFault", "ServerFault"]


async def test_what_is_no_outage_is_a_defect_and_passes(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        await record_of(tmp_path, first=Failing(ZeroDivisionError()))


async def test_the_chances_of_a_next_token_are_kept_and_else_there_are_none(tmp_path: Path) -> None:
    class Undecided(Failing):
        async def complete(self, call: Call) -> Completion:
            return Completion("A", usage=Usage(9, 1), first_token=(("A", -0.5), ("B", -0.5)))

    experts = content()["experts"] | {"alpha": {"model": "one", "prompt": "next-token"}}
    coe = pipeline(small_profile(tmp_path, experts=experts), {"one": Undecided(ValueError())})
    record = await evaluate_question(coe, QUESTION)
    answer = record["answers"]["alpha"]
    assert (answer["letter"], answer["rule"], answer["chances"]) == ("A", "next token", {"A": 0.5, "B": 0.5})
    assert (answer["prompt_tokens"], answer["completion_tokens"], answer["finish_reason"]) == (9, 1, "stop")
    assert "chances" not in record["answers"]["beta"]


async def test_a_record_is_plain_json(tmp_path: Path) -> None:
    down = Failing(ServerFault("sorter", "503", body="{}"))
    record = await record_of(tmp_path, first=down, second=Listener("s", "任务：Build"))
    assert orjson.loads(orjson.dumps(record)) == record


def test_a_record_of_a_release_without_labels_is_judged_by_the_rest() -> None:
    said: dict[str, Any] = {"letter": "A", "refused": False}
    record = {"id": "1", "classification_error": None, "answers": {"alpha": said}}
    assert not failed_calls(record)
    assert failed_calls({**record, "answers": {"alpha": {"error": "BadCall", "refused": False}}}) == ["BadCall"]


async def test_classifiers_and_experts_are_asked_at_once(tmp_path: Path) -> None:
    waiting = asyncio.Barrier(5)

    class Patient(Listener):
        async def complete(self, call: Call) -> Completion:
            async with asyncio.timeout(30):
                await waiting.wait()
            return await super().complete(call)

    everybody: dict[str, ChatModel] = {name: Patient(name, "Task: Build; A") for name in ("sorter", "one", "two")}
    await record_of(tmp_path, everybody, first=Patient("s", "Build"), second=Patient("s", "Build"))

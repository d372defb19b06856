"""The shipped local-cpu profile, served: the real engine, the real model, the real encoder, over real HTTP.

Takes 4 GiB and, on two free cores, two minutes, of which the engine's start is the most.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import yaml
from openai import OpenAI

from coe_ray.bench.datasets.load import load_benchmark
from coe_ray.bench.indexing import build_profile_index
from coe_ray.core.types import UNKNOWN, Question
from coe_ray.profile.loading import shipped_profiles
from coe_ray.profile.profile import Profile, load_profile
from coe_ray.routing.leaderboard import Leaderboard
from coe_ray.routing.prompts import answer_sentence, task_label
from tests.support.cluster import Cluster

pytestmark = pytest.mark.timeout(1200)

SERIES = "Time Series"
LONG = "the pod was evicted and came back " * 1500  # about 10,000 tokens; the model reads 4,096


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Profile:
    """The shipped one, but for its leaderboard and where its index lies."""
    folder = tmp_path_factory.mktemp("vllm")
    content: dict[str, Any] = yaml.safe_load(shipped_profiles()["local-cpu"].read_text(encoding="utf-8"))
    content["retrieval"]["index"] = "index"
    content["leaderboard"] = {"path": "leaderboard.json"}
    path = folder / "local-cpu-copy.yaml"
    path.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), encoding="utf-8")
    profile = load_profile(path)
    Leaderboard.from_scores(
        (expert, task.name, 9 if (expert == "timeseries") == task.name.startswith(SERIES) else 3, 10)
        for expert in profile.experts
        for task in profile.task_list
    ).save(folder / "leaderboard.json")
    return profile


@pytest.fixture(scope="module")
def cluster(profile: Profile, vllm_cluster: Cluster) -> Cluster:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HF_HUB_OFFLINE", "1")
        build_profile_index(profile)
    assert vllm_cluster.deploy(Path(profile.folder, f"{profile.name}.yaml")) is None
    return vllm_cluster


@pytest.fixture(scope="module")
def client(cluster: Cluster) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{cluster.url}/v1", api_key="unused", max_retries=0, timeout=300) as client:
        yield client


@pytest.fixture(scope="module")
def questions() -> dict[str, Question]:
    """One question of each task of the sample."""
    return {str(question.task): question for question in reversed(load_benchmark("sample").questions)}


def _ask(client: OpenAI, model: str, text: str, **settings: Any) -> Any:
    return client.chat.completions.create(model=model, messages=[{"role": "user", "content": text}], **settings)


def _series(questions: dict[str, Question]) -> Question:
    return next(question for task, question in questions.items() if task.startswith(SERIES))


def _other(questions: dict[str, Question]) -> Question:
    return next(question for task, question in questions.items() if not task.startswith(SERIES))


def test_classifier_says_nothing_but_a_label(
    cluster: Cluster, profile: Profile, questions: dict[str, Question]
) -> None:
    labels = {*(task.name for task in profile.task_list), UNKNOWN}
    with httpx.Client(base_url=cluster.url, timeout=300) as http:
        for question in [*questions.values()][:6]:
            reply = http.post("/v1/route", json={"messages": [{"role": "user", "content": question.full_text}]})
            route = reply.json()
            assert reply.status_code == 200, route
            assert route["task"] in labels
            assert route["classifier"]["raw"] == task_label(route["task"])
            assert route["classifier"]["seconds"] > 0
            assert len(route["neighbours"]) == profile.classifier.k


def test_routed_answer(client: OpenAI, profile: Profile, questions: dict[str, Question]) -> None:
    completion = _ask(client, "coe", _other(questions).full_text)
    route = completion.to_dict()["coe"]
    assert completion.choices[0].message.content
    assert route["expert"] == route["row"][0]["expert"]
    assert route["expert"] in profile.experts


def test_direct_expert_says_a_letter_and_nothing_else(client: OpenAI, questions: dict[str, Question]) -> None:
    question = _other(questions)
    answer = _ask(client, "smollm2-direct", question.full_text).choices[0].message.content
    assert answer in [answer_sentence(letter) for letter in question.letters]


def test_step_by_step_expert_answers_text(client: OpenAI, questions: dict[str, Question]) -> None:
    completion = _ask(client, "smollm2-steps", _other(questions).full_text)
    assert len(completion.choices[0].message.content.split()) > 3
    assert 0 < completion.usage.completion_tokens <= 96


def test_stream_comes_in_pieces(client: OpenAI, questions: dict[str, Question]) -> None:
    *chunks, last = _ask(client, "smollm2-steps", _other(questions).full_text, stream=True)
    pieces = [text for chunk in chunks if (text := chunk.choices[0].delta.content)]
    assert len(pieces) > 3
    answer: Any = last.to_dict()["coe"]
    assert (answer["expert"], set(answer)) == ("smollm2-steps", {"expert", "version"})
    assert 0 < last.usage.completion_tokens <= 96
    assert last.choices[0].finish_reason in ("stop", "length")


def test_max_tokens_of_the_request_is_kept(client: OpenAI) -> None:
    completion = _ask(client, "smollm2-steps", "Tell me everything about Kubernetes.", max_tokens=5)
    assert completion.usage.completion_tokens == 5
    assert completion.choices[0].finish_reason == "length"


@pytest.mark.parametrize("model", ["coe", "smollm2-steps"])
@pytest.mark.parametrize("streamed", [False, True])
def test_prompt_over_the_context(client: OpenAI, model: str, *, streamed: bool) -> None:
    with pytest.raises(openai.BadRequestError, match="4096") as caught:
        _ask(client, model, LONG, stream=streamed)
    assert caught.value.code == "context_length_exceeded"


def test_time_series_expert_is_no_language_model(client: OpenAI, questions: dict[str, Question]) -> None:
    question = _series(questions)
    completion = _ask(client, "timeseries", question.full_text)
    assert any(f"({letter})" in completion.choices[0].message.content for letter in question.letters)
    assert completion.usage.total_tokens == 0


def test_no_traceback_was_logged(cluster: Cluster) -> None:
    assert "Traceback" not in cluster.log_of("ingress")

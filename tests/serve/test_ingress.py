"""The endpoint on Ray Serve: what only a cluster shows. All else is tested in process, in api/test_application.py."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote

import httpx
import pytest
from openai import OpenAI

from coe_ray.cluster.health import hosted_fingerprint
from coe_ray.profile.profile import load_profile
from coe_ray.serve.auth.header_filter import RAY_ENVIRONMENT, WANTED_ENVIRONMENT
from tests.serve.upstream import PIECES, Upstream
from tests.serve.world import CONTAINERS, EXAMPLES, LEADERBOARD, METRICS, STATEFUL, THROUGHPUT, write_profile
from tests.support.chat_client import CHAT, ask, coe_of, error_of, stream, stream_text, text_of, user
from tests.support.cluster import SERVE_ENVIRONMENT, Cluster

APPLICATION = "world"


@pytest.fixture(scope="module")
def cluster(serve_cluster: Cluster, world: Path) -> Iterator[Cluster]:
    with serve_cluster.serving(world, name=APPLICATION):
        yield serve_cluster


@pytest.fixture(scope="module")
def cluster_http(cluster: Cluster) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=cluster.url, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def served(cluster: Cluster) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{cluster.url}/v1", api_key="unused", max_retries=0) as client:
        yield client


def test_routed_answer_with_neighbours_of_the_retriever(served: OpenAI) -> None:
    raw = served.chat.completions.with_raw_response.create(model="coe", messages=user(STATEFUL))
    assert text_of(raw.parse()) == "A stateful set keeps names.  So the answer is (B)."
    route = coe_of(raw.parse())
    assert (route["expert"], route["task"]) == ("captain", CONTAINERS)
    assert len(route["neighbours"]) == 3
    assert all(EXAMPLES[near["question"]] == near["task"] for near in route["neighbours"])
    assert raw.headers["x-coe-leaderboard"] == LEADERBOARD.version


def test_chinese_task_in_a_header(served: OpenAI) -> None:
    raw = served.chat.completions.with_raw_response.create(model="coe", messages=user(THROUGHPUT))
    assert text_of(raw.parse()) == "答案是 A"
    assert unquote(raw.headers["x-coe-task"]) == METRICS


def test_stream(served: OpenAI) -> None:
    chunks = stream(served, STATEFUL)
    assert stream_text(chunks) == text_of(ask(served, STATEFUL))
    assert coe_of(chunks[-1])["expert"] == "captain"


def test_stream_that_breaks_off_ends_with_an_error(cluster_http: httpx.Client) -> None:
    response = cluster_http.post(CHAT, json={"model": "remote", "messages": user("break"), "stream": True})
    *_, last = response.text.strip().split("\n\n")
    assert "[DONE]" not in response.text
    assert json.loads(last.removeprefix("data: "))["error"]["type"] == "server_error"


def test_body_of_a_mebibyte_at_most(cluster_http: httpx.Client) -> None:
    for content in (b"x" * ((1 << 20) + 1), iter([b"x" * 1000] * 3000)):  # the iterator is sent without a length
        response = cluster_http.post(CHAT, content=content)
        assert response.status_code == 413
        assert error_of(response)["code"] == "request_too_large"


def test_health_warns_of_variables_that_ray_was_started_without(cluster_http: httpx.Client) -> None:
    health = cluster_http.get("/healthz").json()
    assert (health["status"], health["profile"], health["leaderboard"]) == ("ok", "world", LEADERBOARD.version)
    missing = {*WANTED_ENVIRONMENT, *RAY_ENVIRONMENT} - set(SERVE_ENVIRONMENT)
    assert {warning.split("=")[0].split()[0] for warning in health["warnings"]} == missing


@pytest.mark.parametrize("question", ["hang", "trickle"])
@pytest.mark.parametrize("model", ["coe", "remote"])
def test_client_that_leaves_takes_its_work_with_it(
    cluster: Cluster, upstream: Upstream, question: str, model: str
) -> None:
    served, left = upstream.served, upstream.abandoned
    body = {"model": model, "messages": user(question), "stream": question == "trickle"}
    with httpx.Client(base_url=cluster.url, timeout=httpx.Timeout(10, read=1)) as leaving:
        if question == "hang":
            with pytest.raises(httpx.ReadTimeout):
                leaving.post(CHAT, json=body)
        else:
            with leaving.stream("POST", CHAT, json=body) as response:
                assert PIECES[0] in next(response.iter_text())
    assert upstream.served == served + 1
    _eventually(lambda: upstream.abandoned == left + 1)


def test_bench_can_ask_what_is_hosted(cluster: Cluster, world: Path) -> None:
    hosted = cluster.run("tests.serve.orders:hosted", application=APPLICATION)
    assert hosted == hosted_fingerprint(load_profile(world))
    assert cluster.run("tests.serve.orders:is_serving", profile=world, application=APPLICATION) is True
    with pytest.raises(RuntimeError, match="ConfigError"):
        cluster.run("tests.serve.orders:is_serving", profile="local-cpu", application=APPLICATION)


def test_nothing_unforeseen_was_logged(cluster: Cluster, cluster_http: httpx.Client) -> None:
    """After all of the above: refusals, failures and clients that left are no tracebacks."""
    assert cluster_http.get("/healthz").status_code == 200
    time.sleep(1)
    log = cluster.log_of("ingress", APPLICATION)
    assert [line[:3000] for line in log.splitlines() if "Traceback" in line] == []
    assert "never retrieved" not in log + cluster.stderr()


def test_bug_is_told_without_its_details(cluster: Cluster, cluster_http: httpx.Client) -> None:
    body = {"model": "buggy", "messages": user("x")}
    response = cluster_http.post(CHAT, json=body)
    assert response.status_code == 500
    assert error_of(response)["message"] == "internal error; the server's log says more"
    response = cluster_http.post(CHAT, json=body | {"stream": True})
    first, last = response.text.strip().split("\n\n")
    assert json.loads(first.removeprefix("data: "))["choices"][0]["delta"]["content"] == "All "
    assert json.loads(last.removeprefix("data: "))["error"]["message"].startswith("internal error")
    assert cluster.log_of("ingress", APPLICATION).count("RuntimeError: a detail of the inside") == 2


def test_missing_index_is_said_with_its_remedy(cluster: Cluster, world: Path, upstream: Upstream) -> None:
    retrieval = load_profile(world).retrieval.model_dump(mode="json") | {"index": "nowhere"}
    broken = write_profile(world.with_name("broken.yaml"), upstream.base_url, retrieval=retrieval)
    error = cluster.deploy(broken, name="broken", route="/broken")
    cluster.delete("broken")
    assert error is not None
    assert "no retrieval index there; build it with `coe-ray index`" in error
    assert str(world.with_name("nowhere")) in error


def _eventually(holds: Callable[[], bool], within_s: float = 5) -> None:
    until = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < until, f"not within {within_s:g} s"
        time.sleep(0.05)

"""The endpoint in process, over real HTTP, as clients use it: answers, streams, refusals, failures, failover."""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import httpx
import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from coe_ray.core.api_keys import add_key
from tests.serve.upstream import PIECES, Upstream
from tests.serve.world import (
    BEST_ON_AVERAGE,
    BROKEN,
    CONTAINERS,
    EXAMPLES,
    LEADERBOARD,
    METRICS,
    REMOTE,
    STATEFUL,
    THROUGHPUT,
    UNKNOWN,
    write_profile,
)
from tests.support.chat_client import CHAT, ask, coe_of, error_of, stream, stream_text, text_of, user
from tests.support.endpoint import make_endpoint


class TestAnswers:
    def test_models_are_the_route_and_every_expert(self, client: OpenAI) -> None:
        assert [model.id for model in client.models.list()] == ["coe", "captain", "gauge", "faulty", "buggy", "remote"]

    def test_one_model_is_found_by_its_name(self, client: OpenAI) -> None:
        assert client.models.retrieve("coe").id == "coe"
        assert client.models.retrieve("gauge").owned_by == "coe_ray"
        with pytest.raises(openai.NotFoundError, match="there are: coe, captain") as caught:
            client.models.retrieve("gpt/4")
        assert (caught.value.code, caught.value.param) == ("model_not_found", "model")

    def test_routed_answer_tells_its_route(self, client: OpenAI) -> None:
        raw = client.chat.completions.with_raw_response.create(model="coe", messages=user(STATEFUL))
        completion = raw.parse()
        assert text_of(completion) == "A stateful set keeps names.  So the answer is (B)."
        assert completion.model == "coe"
        assert completion.choices[0].finish_reason == "stop"
        assert completion.usage is not None
        assert completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens > 0
        route = coe_of(completion)
        assert (route["expert"], route["task"]) == ("captain", CONTAINERS)
        assert [standing["expert"] for standing in route["row"]] == ["captain", "remote", "gauge", "faulty", "buggy"]
        assert route["row"][0] == {"expert": "captain", "accuracy": 0.9, "correct": 9, "total": 10}
        assert route["runner_up"]["expert"] == "remote"
        assert route["margin"] == pytest.approx(0.6)
        assert route["reason"] == f"best on {CONTAINERS}"
        assert route["leaderboard"] == LEADERBOARD.version
        assert route["classifier"]["raw"] == f"**Task: {CONTAINERS}**"
        assert raw.headers["x-coe-task"] == CONTAINERS
        assert raw.headers["x-coe-expert"] == "captain"
        assert raw.headers["x-coe-leaderboard"] == LEADERBOARD.version

    def test_neighbours_come_from_the_index(self, client: OpenAI) -> None:
        neighbours = coe_of(ask(client, STATEFUL))["neighbours"]
        assert len(neighbours) == 3
        assert all(EXAMPLES[near["question"]] == near["task"] for near in neighbours)
        assert [near["similarity"] for near in neighbours] == sorted(
            (near["similarity"] for near in neighbours), reverse=True
        )
        assert sum(near["weight"] for near in neighbours) == pytest.approx(1, abs=1e-3)

    def test_an_example_is_not_its_own_neighbour(self, client: OpenAI) -> None:
        asked = next(iter(EXAMPLES))
        assert asked not in [near["question"] for near in coe_of(ask(client, asked.upper()))["neighbours"]]

    def test_named_expert_answers_without_a_route(self, client: OpenAI) -> None:
        raw = client.chat.completions.with_raw_response.create(model="gauge", messages=user(STATEFUL))
        assert text_of(raw.parse()) == "答案是 A"
        assert coe_of(raw.parse()) == {"expert": "gauge", "version": raw.headers["x-coe-version"]}
        assert raw.headers["x-coe-expert"] == "gauge"
        assert "x-coe-task" not in raw.headers

    def test_chinese_question_with_full_width_options(self, client: OpenAI) -> None:
        raw = client.chat.completions.with_raw_response.create(model="coe", messages=user(THROUGHPUT))
        assert text_of(raw.parse()) == "答案是 A"
        assert coe_of(raw.parse())["task"] == METRICS
        assert unquote(raw.headers["x-coe-task"]) == METRICS

    def test_question_with_options_gets_the_expert_prompt(self, client: OpenAI, upstream: Upstream) -> None:
        ask(client, THROUGHPUT, "remote")
        system, asked = upstream.bodies[-1]["messages"]
        assert (system["role"], asked["role"]) == ("system", "user")
        assert "单项选择题" in system["content"]
        assert asked["content"] == "如何计算服务的吞吐量？\nA. 每秒请求数\nB. 平均延迟"

    def test_messages_without_options_go_through_unchanged(self, client: OpenAI, upstream: Upstream) -> None:
        messages = [
            {"role": "system", "content": "You are terse."},
            {"role": "user", "content": "A. is no list"},
            {"role": "assistant", "content": "Indeed."},
            {"role": "user", "content": "say hello"},
        ]
        completion = client.chat.completions.create(model="coe", messages=messages)  # type: ignore[arg-type]
        assert text_of(completion) == "say hello"
        assert coe_of(completion)["task"] == REMOTE
        assert upstream.bodies[-1]["messages"] == messages

    def test_content_in_parts_and_developer_role(self, client: OpenAI, upstream: Upstream) -> None:
        parts = [{"type": "text", "text": "say one"}, {"type": "text", "text": "say two"}]
        messages: list[Any] = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": parts}]
        assert text_of(client.chat.completions.create(model="remote", messages=messages)) == "say one\nsay two"
        assert upstream.bodies[-1]["messages"] == messages

    def test_settings_of_the_request_win_over_the_experts(self, client: OpenAI) -> None:
        asked = {"max_tokens": 3, "top_p": 0.5, "stop": ["x", "y"], "seed": 7, "presence_penalty": 0.1}
        body = json.loads(text_of(ask(client, "settings", "remote", **asked)))
        assert {name: body[name] for name in asked} == asked
        assert body["temperature"] == 0.0  # the profile's
        assert body["model"] == "cloud-9"
        assert json.loads(text_of(ask(client, "settings", "remote", temperature=1, stop="z")))["temperature"] == 1
        newer = json.loads(text_of(ask(client, "settings", "remote", max_completion_tokens=9)))
        assert newer["max_completion_tokens"] == 9
        assert "max_tokens" not in newer

    def test_free_text_has_room_whatever_an_exam_needs(self, client: OpenAI) -> None:
        assert json.loads(text_of(ask(client, "settings", "remote")))["max_tokens"] == 1024

    @pytest.mark.parametrize("model", ["coe", "remote"])
    def test_what_only_a_provider_knows_reaches_it(self, client: OpenAI, model: str) -> None:
        tool = {"type": "function", "function": {"name": "restart", "parameters": {"type": "object"}}}
        asked: dict[str, Any] = {
            **{"n": 2, "tools": [tool], "tool_choice": "auto", "parallel_tool_calls": False, "logprobs": True},
            **{"response_format": {"type": "json_object"}, "metadata": {"team": "sre"}, "store": False},
            "extra_body": {"top_k": 5, "chat_template_kwargs": {"enable_thinking": False}},
        }
        body = json.loads(text_of(ask(client, "settings", model, **asked)))
        extra = asked.pop("extra_body")
        assert {name: body[name] for name in (*asked, *extra)} == asked | extra

    @pytest.mark.parametrize(
        "field",
        [
            {"tools": []},
            {"tools": None},
            {"tool_choice": None},
            {"response_format": None},
            {"response_format": {"type": "text"}},
            {"stream": None},
            {"stream_options": None},
            {"logprobs": False},
            {"parallel_tool_calls": True},
            {"store": False},
            {"metadata": {"team": "sre"}},
            {"n": 1},
        ],
        ids=str,
    )
    @pytest.mark.parametrize("model", ["coe", "remote"])
    def test_fields_that_ask_for_nothing_are_accepted(
        self, http: httpx.Client, model: str, field: dict[str, Any]
    ) -> None:
        response = http.post(CHAT, json={"model": model, "messages": user("say it"), **field})
        assert response.status_code == 200, response.text
        assert response.json()["choices"][0]["message"]["content"] == "say it"

    def test_an_answer_can_be_sent_back_as_it_came(self, client: OpenAI, upstream: Upstream) -> None:
        """With `refusal: null`, and of an expert that is no LLM."""
        for model in ("captain", "remote"):
            answer = ask(client, "say one", model).choices[0].message
            messages: list[Any] = [*user("say one"), answer, *user("say two")]
            completion = client.chat.completions.create(model="remote", messages=messages)
            assert text_of(completion) == "say two"
            assert upstream.bodies[-1]["messages"][1] == answer.to_dict()

    def test_images_and_tool_messages_reach_it_too(self, client: OpenAI, upstream: Upstream) -> None:
        picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
        call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        messages: list[Any] = [
            {"role": "user", "content": [{"type": "text", "text": "say what it shows"}, picture]},
            {"role": "assistant", "content": None, "refusal": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "a disk"},
        ]
        completion = client.chat.completions.create(model="coe", messages=messages)
        assert text_of(completion) == "a disk"
        assert upstream.bodies[-1]["messages"] == messages

    def test_unknown_goes_to_the_best_on_average(self, client: OpenAI) -> None:
        route = coe_of(completion := ask(client, "Which sign is Jupiter in?"))
        assert (route["task"], route["expert"]) == (UNKNOWN, BEST_ON_AVERAGE)
        assert route["reason"].startswith("best on average")
        assert text_of(completion) == "Aye: Which sign is Jupiter in?"

    def test_route_alone_asks_no_expert(self, http: httpx.Client, upstream: Upstream) -> None:
        before = len(upstream.bodies)
        response = http.post("/v1/route", json={"messages": user("say something")})
        assert response.status_code == 200
        assert (response.json()["expert"], response.json()["task"]) == ("remote", REMOTE)
        assert response.headers["x-coe-expert"] == "remote"
        assert len(upstream.bodies) == before

    def test_leaderboard_is_the_files(self, http: httpx.Client) -> None:
        assert http.get("/v1/leaderboard").json() == json.loads(json.dumps(LEADERBOARD.as_dict()))

    def test_health_tells_what_is_served(self, http: httpx.Client) -> None:
        health = http.get("/healthz").json()
        assert (health["status"], health["profile"], health["leaderboard"]) == ("ok", "world", LEADERBOARD.version)
        assert health["experts"] == ["captain", "gauge", "faulty", "buggy", "remote"]
        assert health["warnings"] == []


class TestStreams:
    def test_pieces_join_to_the_plain_answer(self, client: OpenAI) -> None:
        chunks = stream(client, STATEFUL)
        assert stream_text(chunks) == text_of(ask(client, STATEFUL))
        assert len([chunk for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]) > 3
        assert len({chunk.id for chunk in chunks}) == 1
        assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == ["stop"]

    @pytest.mark.parametrize("model", ["coe", "remote"])
    @pytest.mark.parametrize("options", [{}, {"stream_options": {"include_usage": True}}])
    def test_last_chunk_carries_route_and_usage(self, client: OpenAI, model: str, options: dict[str, Any]) -> None:
        *others, last = stream(client, "say this and that", model, **options)
        assert coe_of(last)["expert"] == "remote"
        assert last.usage is not None
        assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (7, 3)
        assert all("coe" not in chunk.to_dict() and chunk.usage is None for chunk in others)

    def test_usage_chunk_is_without_choices_only_where_it_was_set_model(self, client: OpenAI) -> None:
        """OpenAI's own example reads `chunk.choices[0]` of every chunk."""
        assert all(chunk.choices for chunk in stream(client, STATEFUL))
        *others, last = stream(client, STATEFUL, stream_options={"include_usage": True})
        assert all(chunk.choices for chunk in others)
        assert last.choices == []

    def test_events_on_the_wire(self, http: httpx.Client) -> None:
        body = {"model": "coe", "messages": user(STATEFUL), "stream": True}
        with http.stream("POST", CHAT, json=body) as response:
            events = [line for line in response.iter_lines() if line]
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["x-coe-task"] == CONTAINERS
        assert response.headers["x-coe-expert"] == "captain"
        assert response.headers["x-coe-leaderboard"] == LEADERBOARD.version
        assert all(event.startswith("data: ") for event in events)
        assert events[-1] == "data: [DONE]"
        assert json.loads(events[-2].removeprefix("data: "))["coe"]["task"] == CONTAINERS

    async def test_async_client(self, async_client: AsyncOpenAI) -> None:
        plain = await async_client.chat.completions.create(model="coe", messages=user(STATEFUL))
        chunks = [
            chunk
            async for chunk in await async_client.chat.completions.create(
                model="coe", messages=user(STATEFUL), stream=True
            )
        ]
        assert stream_text(chunks) == text_of(plain)
        assert coe_of(chunks[-1])["expert"] == coe_of(plain)["expert"] == "captain"

    def test_stream_that_breaks_off_ends_with_an_error_and_without_done(
        self, client: OpenAI, http: httpx.Client
    ) -> None:
        text = ""
        with pytest.raises(openai.APIError, match=r"cloud.*remote") as caught:
            for chunk in client.chat.completions.create(model="coe", messages=user("break"), stream=True):
                text += stream_text([chunk])
        assert not isinstance(caught.value, openai.APIConnectionError)
        assert text == "".join(PIECES)
        response = http.post(CHAT, json={"model": "remote", "messages": user("break"), "stream": True})
        *_, last = response.text.strip().split("\n\n")
        assert "[DONE]" not in response.text
        assert json.loads(last.removeprefix("data: "))["error"]["type"] == "server_error"


class TestTogether:
    async def test_fifty_at_once_each_get_their_own_answer(self, async_client: AsyncOpenAI) -> None:
        async def asked(number: int) -> str:
            messages = user(f"What about number {number}?")
            if number % 2:
                return text_of(await async_client.chat.completions.create(model="coe", messages=messages))
            chunks = await async_client.chat.completions.create(model="coe", messages=messages, stream=True)
            return stream_text([chunk async for chunk in chunks])

        answers = await asyncio.gather(*(asked(number) for number in range(50)))
        assert answers == [f"This is the reply to number {number} and to no other." for number in range(50)]

    async def test_routes_of_different_questions_do_not_mix(self, async_client: AsyncOpenAI) -> None:
        wanted = {STATEFUL: "captain", THROUGHPUT: "gauge", "say hello": "remote", "Is it in the stars?": "captain"}
        asked = list(wanted) * 5
        replies = await asyncio.gather(
            *(async_client.chat.completions.create(model="coe", messages=user(text)) for text in asked)
        )
        assert [coe_of(reply)["expert"] for reply in replies] == [wanted[text] for text in asked]


UNACCEPTABLE: dict[str, tuple[dict[str, Any], str]] = {
    "no messages": ({}, "messages"),
    "empty messages": ({"messages": []}, "messages"),
    "messages are text": ({"messages": "hello"}, "messages"),
    "nobody asks": ({"messages": [{"role": "system", "content": "x"}]}, "messages"),
    "blank question": ({"messages": user("  ")}, "messages"),
    "unheard-of role": ({"messages": [{"role": "critic", "content": "x"}]}, "messages.0.role"),
    "content is a number": ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
    "part is text": ({"messages": [{"role": "user", "content": ["x"]}]}, "messages.0.content.0"),
    "tools are text": ({"messages": user("x"), "tools": "f"}, "tools"),
    "tool is text": ({"messages": user("x"), "tools": ["f"]}, "tools.0"),
    "format is text": ({"messages": user("x"), "response_format": "json"}, "response_format"),
    "stream is a number": ({"messages": user("x"), "stream": 1}, "stream"),
    "model is a number": ({"messages": user("x"), "model": 7}, "model"),
}


class TestRefusals:
    @pytest.mark.parametrize("case", UNACCEPTABLE)
    def test_unacceptable_request_names_its_parameter(self, http: httpx.Client, case: str) -> None:
        body, param = UNACCEPTABLE[case]
        for path in (CHAT, "/v1/route"):
            response = http.post(path, json={"model": "coe", **body})
            assert response.status_code == 400
            error = error_of(response)
            assert error["param"] == param
            assert error["message"].startswith(f"{param}: ")

    def test_bad_request_is_the_librarys(self, client: OpenAI) -> None:
        with pytest.raises(openai.BadRequestError) as caught:
            ask(client, "x", response_format="json")
        assert (caught.value.param, caught.value.type) == ("response_format", "invalid_request_error")
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(model="coe", messages=[])
        with pytest.raises(openai.BadRequestError) as caught:
            ask(client, "x", tools="f")
        assert caught.value.code == "invalid_value"
        with pytest.raises(openai.BadRequestError, match=r"tools: .*; response_format: "):
            ask(client, "x", tools="f", response_format="json")

    @pytest.mark.parametrize("streamed", [False, True])
    def test_unknown_model(self, client: OpenAI, *, streamed: bool) -> None:
        with pytest.raises(openai.NotFoundError, match=r"captain, gauge") as caught:
            client.chat.completions.create(model="gpt-4o", messages=user("x"), stream=streamed)
        assert (caught.value.code, caught.value.param) == ("model_not_found", "model")

    @pytest.mark.parametrize("body", [b"", b"{", b"hello", b"\xff\xfe", b'{"model": "\\ud800"}', b"[" * 5000])
    def test_not_json(self, http: httpx.Client, body: bytes) -> None:
        response = http.post(CHAT, content=body)
        assert response.status_code == 400
        assert "JSON" in error_of(response)["message"]

    @pytest.mark.parametrize("body", [[], [{"role": "user", "content": "x"}], "x", 1, None])
    def test_json_but_no_object(self, http: httpx.Client, body: object) -> None:
        response = http.post(CHAT, content=json.dumps(body))
        assert response.status_code == 400
        assert "object" in error_of(response)["message"]

    def test_body_of_a_mebibyte_at_most(self, http: httpx.Client, client: OpenAI) -> None:
        def body(size: int) -> bytes:
            empty = len(json.dumps({"model": "gauge", "messages": user("")}))
            return json.dumps({"model": "gauge", "messages": user("x" * (size - empty))}).encode()

        assert http.post(CHAT, content=body(1 << 20)).status_code == 200
        for content in (body((1 << 20) + 1), body(5 << 20), iter([body(3 << 20)[:1000]] * 3000)):
            response = http.post(CHAT, content=content)  # the iterator goes out in chunks, without a length
            assert response.status_code == 413
            assert error_of(response)["code"] == "request_too_large"
        with pytest.raises(openai.APIStatusError) as caught:
            ask(client, "x" * (1 << 20))
        assert caught.value.status_code == 413

    def test_no_such_path_or_method(self, http: httpx.Client, client: OpenAI) -> None:
        for method, path, status in (
            ("GET", "/v1/nothing", 404),
            ("POST", "/v1/audio/speech", 404),
            ("GET", CHAT, 405),
            ("POST", "/v1/models", 405),
        ):
            response = http.request(method, path, content=b"{}")
            assert response.status_code == status
            assert path in error_of(response)["message"]
        assert "POST" in http.get(CHAT).headers["allow"]
        with pytest.raises(openai.NotFoundError):
            client.embeddings.create(model="coe", input="x")


class TestFailures:
    @pytest.mark.parametrize("streamed", [False, True])
    def test_failing_expert_is_named_with_its_model(self, client: OpenAI, *, streamed: bool) -> None:
        with pytest.raises(openai.InternalServerError, match="no engine on board") as caught:
            client.chat.completions.create(model="faulty", messages=user("ask the faulty one"), stream=streamed)
        assert caught.value.status_code == 502
        assert "faulty" in caught.value.message
        assert "wreck" in caught.value.message
        assert (caught.value.code, caught.value.type) == ("ServerFault", "server_error")

    @pytest.mark.parametrize("streamed", [False, True])
    def test_where_the_classifier_fails_the_neighbours_decide(self, http: httpx.Client, *, streamed: bool) -> None:
        question = user(f"sorting is down: which Kubernetes object keeps pods running, {streamed}?")
        for _ in range(2):  # such a route is not kept: the classifier may answer the next time
            response = http.post(CHAT, json={"model": "coe", "messages": question, "stream": streamed})
            assert response.status_code == 200
            last = response.text.strip().split("\n\n")[-2].removeprefix("data: ") if streamed else response.text
            route = json.loads(last)["coe"]
            assert (route["task"], route["expert"], route["cached"]) == (CONTAINERS, "captain", False)
            classifier = route["classifier"]
            assert (classifier["by"], classifier["fallback"], classifier["raw"]) == ("neighbours", "ServerFault", "")
        route = http.post("/v1/route", json={"messages": question}).json()
        assert (route["classifier"]["fallback"], route["cached"]) == ("ServerFault", False)

    @pytest.mark.parametrize("status", [400, 413, 422])
    def test_what_a_provider_finds_wrong_with_a_request_stays_so(self, http: httpx.Client, status: int) -> None:
        question = user(f"settings refused by {status}")
        response = http.post(CHAT, json={"model": "remote", "messages": question})
        assert response.status_code == status
        assert "top_k is not for me" in error_of(response)["message"]
        assert (error_of(response)["code"], response.headers["x-should-retry"]) == ("invalid_value", "false")
        # Another expert may take what this one refuses.
        assert http.post(CHAT, json={"messages": question}).json()["coe"]["tried"][0]["error"] == "BadCall"

    async def test_no_answer_until_the_deadline(self, async_client: AsyncOpenAI, upstream: Upstream) -> None:
        async def waited(*, streamed: bool) -> None:
            with pytest.raises(openai.InternalServerError, match="no answer within 1 s") as caught:
                await async_client.chat.completions.create(
                    model="remote", messages=user("hang"), stream=streamed, extra_headers={"x-coe-deadline": "1"}
                )
            assert caught.value.status_code == 504

        before = upstream.abandoned
        await asyncio.gather(waited(streamed=False), waited(streamed=True))
        await asyncio.to_thread(_eventually, lambda: upstream.abandoned == before + 2)

    @pytest.mark.parametrize("given", ["soon", "0", "-1", "nan"])
    def test_deadline_that_is_none(self, http: httpx.Client, given: str) -> None:
        response = http.post(CHAT, json={"messages": user("x")}, headers={"x-coe-deadline": given})
        assert response.status_code == 400
        assert "x-coe-deadline" in error_of(response)["message"]


class TestFailover:
    """The next best of the task's row answers; what was tried is told."""

    @pytest.mark.parametrize("streamed", [False, True])
    def test_failing_expert_is_followed_by_the_next_best(
        self, client: OpenAI, http: httpx.Client, *, streamed: bool
    ) -> None:
        body = {"model": "coe", "messages": user(f"ask the faulty one, {streamed}"), "stream": streamed}
        response = http.post(CHAT, json=body)
        assert response.status_code == 200
        assert response.headers["x-coe-expert"] == "gauge"
        last = response.text.strip().split("\n\n")[-2].removeprefix("data: ") if streamed else response.text
        route = json.loads(last)["coe"]
        assert (route["expert"], route["row"][0]["expert"]) == ("gauge", "faulty")
        (tried,) = route["tried"]
        assert (tried["expert"], tried["error"]) == ("faulty", "ServerFault")
        assert set(tried) == {"expert", "error", "seconds"}
        assert "next by rank" in route["reason"]

    def test_hanging_expert_is_left_after_its_share_of_the_deadline(self, client: OpenAI, upstream: Upstream) -> None:
        before = upstream.abandoned
        raw = client.chat.completions.with_raw_response.create(
            model="coe", messages=user("hang"), extra_headers={"x-coe-deadline": "4"}
        )
        assert text_of(raw.parse()) == "Aye: hang"
        (tried,) = coe_of(raw.parse())["tried"]
        assert (tried["expert"], tried["error"]) == ("remote", "CallTimeout")
        _eventually(lambda: upstream.abandoned == before + 1)


class TestConversations:
    """A client may name its task or its conversation; what goes on stays with who answered it."""

    def test_a_client_that_knows_its_task_spares_the_classifier(self, http: httpx.Client) -> None:
        body = {"messages": user("sorting is down, and it does not matter")}
        response = http.post(CHAT, json=body, headers={"x-coe-task": quote(METRICS)})
        route = response.json()["coe"]
        assert (route["task"], route["expert"], route["confidence"]) == (METRICS, "gauge", 1.0)
        assert (route["classifier"]["by"], route["neighbours"]) == ("client", [])
        assert unquote(response.headers["x-coe-task"]) == METRICS

    def test_a_task_that_is_not_on_the_list_is_refused_with_the_list(self, http: httpx.Client) -> None:
        for path in (CHAT, "/v1/route"):
            response = http.post(path, json={"messages": user("x")}, headers={"x-coe-task": "Astrology"})
            assert response.status_code == 400
            assert f"no task 'Astrology'; there are: {CONTAINERS}, {METRICS}" in error_of(response)["message"]

    @pytest.mark.parametrize("streamed", [False, True])
    def test_a_follow_up_stays_with_the_expert_that_answered(self, http: httpx.Client, *, streamed: bool) -> None:
        asked = [{"role": "system", "content": f"Be brief: {streamed}"}, *user("ask the faulty one for me")]
        first = http.post(CHAT, json={"messages": asked, "stream": streamed})
        assert first.headers["x-coe-expert"] == "gauge"  # the next best behind the one that fails
        follow_up = [*asked, {"role": "assistant", "content": "答案是 A"}, *user("and why?")]
        route = http.post(CHAT, json={"messages": follow_up}).json()["coe"]
        assert (route["task"], route["expert"], route["tried"]) == (BROKEN, "gauge", [])
        assert route["classifier"]["by"] == "conversation"
        assert route["reason"] == "the conversation goes on with gauge, which answered it so far"

    def test_a_tool_loop_stays_with_its_expert_however_many_rounds_it_takes(self, http: httpx.Client) -> None:
        tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
        call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        messages: list[Any] = user("ask the faulty one to call a tool")
        for rounds in range(3):
            route = http.post(CHAT, json={"messages": messages, "tools": [tool]}).json()["coe"]
            assert (route["expert"], route["task"]) == ("gauge", BROKEN)
            assert ("goes on with gauge" in route["reason"]) is (rounds > 0)
            messages += [
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "c1", "content": "number 7, statefulset"},
            ]

    async def test_one_key_does_not_steer_the_conversation_of_another(self, world: Path, upstream: Upstream) -> None:
        keys = world.parent / "two-keys.json"
        first, second = ({"Authorization": f"Bearer {add_key(keys, name)}"} for name in ("first", "second"))
        profile = write_profile(world.parent / "two-keys.yaml", upstream.base_url, access={"keys": keys.name})
        asked = user("ask the faulty one for both")
        follow_up = {"messages": [*asked, {"role": "assistant", "content": "答案是 A"}, *user("and why?")]}
        async with make_endpoint(profile).client() as client:
            await client.post(CHAT, json={"messages": asked}, headers=first)
            experts = [
                (await client.post("/v1/route", json=follow_up, headers=headers)).json()["expert"]
                for headers in (first, second)
            ]
        assert experts == ["gauge", "faulty"]

    def test_a_session_stays_with_its_expert_though_its_history_was_rewritten(self, http: httpx.Client) -> None:
        session = {"x-coe-session": "incident 4711"}
        http.post(CHAT, json={"messages": user("ask the faulty one about it")}, headers=session)
        rewritten = {"messages": [*user("A summary: the faulty one is down."), *user("go on")]}
        known = http.post("/v1/route", json=rewritten, headers=session).json()
        assert known["reason"] == "the conversation goes on with gauge, which answered it so far"
        for headers in ({}, {"x-coe-session": "incident 4712"}):
            route = http.post("/v1/route", json=rewritten, headers=headers).json()
            assert (route["expert"], route["reason"]) == ("faulty", f"best on {BROKEN}; the conversation goes on")


class TestLog:
    def test_refusals_failures_and_clients_that_leave_are_no_tracebacks(self, log: list[str]) -> None:
        """After all of the above."""
        assert [line for line in log if "Traceback" in line or "never retrieved" in line] == []

    def test_bug_is_hidden_from_clients_and_logged(self, url: str, log: list[str]) -> None:
        body = {"model": "buggy", "messages": user("x")}
        response = httpx.post(url + CHAT, json=body)  # a connection of its own: uvicorn closes it after a bug
        assert response.status_code == 500
        assert error_of(response)["message"] == "internal error; the server's log says more"
        response = httpx.post(url + CHAT, json=body | {"stream": True})
        first, last = response.text.strip().split("\n\n")
        assert json.loads(first.removeprefix("data: "))["choices"][0]["delta"]["content"] == "All "
        assert json.loads(last.removeprefix("data: "))["error"]["message"].startswith("internal error")
        assert "\n".join(log).count("RuntimeError: a detail of the inside") == 2


def _eventually(holds: Callable[[], bool], within_s: float = 5) -> None:
    until = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < until, f"not within {within_s:g} s"
        time.sleep(0.05)

"""Rows of a run over HTTP: in pages, filtered, and one question with its answers and prompts."""

import httpx
import pytest

from tests.support.console_world import INJECTION
from tests.support.run_requests import RUN, get_json


async def test_rows_come_in_pages(client: httpx.AsyncClient) -> None:
    first = await get_json(client, f"{RUN}/rows", "RowList", limit=3)
    assert (first["total"], first["offset"], len(first["data"])) == (200, 0, 3)
    rest = await get_json(client, f"{RUN}/rows", "RowList", offset=2, limit=100)
    assert rest["data"][0] == first["data"][2]
    assert len(rest["data"]) == 100
    assert (await get_json(client, f"{RUN}/rows", "RowList", offset=1000))["data"] == []
    assert all(row["question"] for row in rest["data"])


@pytest.mark.parametrize(
    "query",
    [
        {"task": "Release"},
        {"outcome": "failed"},
        {"system": "coe", "expert": "aria"},
        {"task": "Log Parser", "system": "basalt", "outcome": "correct"},
        {"task": "no such task"},
    ],
)
async def test_rows_are_filtered(client: httpx.AsyncClient, query: dict[str, str]) -> None:
    everything = [
        row
        for offset in (0, 100)
        for row in (await get_json(client, f"{RUN}/rows", "RowList", offset=offset, limit=100))["data"]
    ]
    found = await get_json(client, f"{RUN}/rows", "RowList", limit=100, **query)
    assert found["data"] == [row for row in everything if all(row[name] == value for name, value in query.items())]
    assert found["total"] == len(found["data"])


async def test_one_question_has_its_answers_and_prompts(client: httpx.AsyncClient) -> None:
    failed = await get_json(client, f"{RUN}/rows", "RowList", outcome="failed", system="cinder")
    detail = await get_json(client, f"{RUN}/rows/{failed['data'][0]['question_id']}", "RunQuestion")
    answers = {answer["system"]: answer for answer in detail["answers"]}
    assert list(answers) == ["aria", "basalt", "cinder", "timeseries", "coe"]
    assert (answers["cinder"]["error"], answers["cinder"]["attempts"]) == ("ServerFault", 6)
    assert detail["classification"]["raw"].startswith("**Task: ")
    prompts = {name: prompt for prompt in detail["prompts"] for name in prompt["systems"]}
    assert set(prompts) == {"classifier", "aria", "basalt", "cinder", "timeseries"}
    assert all(prompt["sent"] for prompt in prompts.values())
    assert prompts["classifier"]["models"] == ["sorter"]
    assert [message["role"] for message in prompts["aria"]["messages"]] == ["system", "user"]
    assert detail["question"]["text"] in prompts["aria"]["messages"][1]["content"]


async def test_text_comes_back_as_it_was(client: httpx.AsyncClient) -> None:
    rows = (await get_json(client, f"{RUN}/rows", "RowList", task="Test", limit=100))["data"]
    hostile = next(row for row in rows if INJECTION[:10] in row["question"])
    question = (await get_json(client, f"{RUN}/rows/{hostile['question_id']}", "RunQuestion"))["question"]
    assert question["text"] == f"What does {INJECTION} do?"
    assert question["options"] == ["harm", INJECTION]
    assert (await client.get(f"{RUN}/rows/nothing")).status_code == 404

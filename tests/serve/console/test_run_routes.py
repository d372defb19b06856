"""Runs over HTTP: listed, followed, filtered and read to the last prompt; and nothing outside their folder."""

import os
import time
from pathlib import Path
from typing import Any

import httpx
import jsonschema  # type: ignore[import-untyped]  # its stubs are a package of their own
import pyarrow.parquet as pq
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware

from coe_ray.core.run_folder import Progress, RunFolder
from coe_ray.profile.profile import home_folder, runs_folder
from coe_ray.serve.api.openapi import openapi_document
from coe_ray.serve.api.responses import ERROR_HANDLERS
from coe_ray.serve.console.run_routes import run_routes
from tests.serve.auth.test_middleware import Recorded
from tests.support.console_world import INJECTION, Live, write_profile

DOCUMENT = openapi_document()
RUN = "/v1/runs/sample-test-1"


@pytest.fixture
def client(runs: Path, monkeypatch: pytest.MonkeyPatch) -> httpx.AsyncClient:
    monkeypatch.setenv("COE_RAY_RUNS", str(runs))
    app = Starlette(routes=run_routes(), middleware=[Middleware(Recorded)], exception_handlers=ERROR_HANDLERS)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://door")


async def told(client: httpx.AsyncClient, path: str, schema: str, **query: Any) -> dict[str, Any]:
    """What a path answers, which must be as the published document has it."""
    answer = await client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    whole = {"$ref": f"#/components/schemas/{schema}", "components": DOCUMENT["components"]}
    jsonschema.Draft202012Validator(whole).validate(content)
    return content


def test_where_runs_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COE_RAY_RUNS", raising=False)
    assert runs_folder() == home_folder() / "runs"
    monkeypatch.setenv("COE_RAY_RUNS", "~/mine")
    assert runs_folder() == Path.home() / "mine"


async def test_runs_are_listed_with_their_state(client: httpx.AsyncClient) -> None:
    listed = {run["id"]: run for run in (await told(client, "/v1/runs", "RunList"))["data"]}
    assert {name: run["state"] for name, run in listed.items()} == {
        "sample-test-1": "finished",
        "night-shift": "stopped",
    }
    finished, stopped = listed["sample-test-1"], listed["night-shift"]
    assert (finished["profile"], finished["data"], finished["split"], finished["questions"]) == (
        "operations",
        "sample",
        "test",
        40,
    )
    assert finished["accuracy"]["ci95"][0] < finished["accuracy"]["accuracy"] < finished["accuracy"]["ci95"][1]
    assert finished["progress"] is None
    assert stopped["accuracy"] is None
    assert (stopped["progress"]["done"], stopped["progress"]["failures"]) == (131, {"ServerFault": 2})
    assert stopped["progress"]["age"] > 7000


async def test_no_folder_no_runs(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COE_RAY_RUNS", str(tmp_path / "missing"))
    assert (await told(client, "/v1/runs", "RunList"))["data"] == []


async def test_what_cannot_be_read_hides_only_itself(client: httpx.AsyncClient, runs: Path) -> None:
    torn = runs / "torn"
    torn.mkdir()
    (torn / "run.json").write_bytes(b'{"run": ')
    try:
        assert len((await told(client, "/v1/runs", "RunList"))["data"]) == 2
        assert (await client.get("/v1/runs/torn")).status_code == 404
    finally:
        (torn / "run.json").unlink()
        torn.rmdir()


async def test_a_finished_run_has_its_figures_and_not_its_command(client: httpx.AsyncClient) -> None:
    run = await told(client, RUN, "WholeRun")
    assert set(run["summary"]["systems"]) == {"coe", "aria", "basalt", "cinder", "timeseries"}
    assert run["summary"]["failures"][0]["error"] == "ServerFault"
    assert not {"command", "replay", "profile"} & set(run["summary"])


async def test_a_run_is_followed_from_its_beginning_to_its_end(
    client: httpx.AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COE_RAY_RUNS", str(tmp_path / "runs"))
    profile = write_profile(tmp_path)
    live = Live.begun(tmp_path / "runs" / "live", profile)
    assert (await told(client, "/v1/runs/live", "WholeRun"))["state"] == "stopped"
    live.tell(10, backing_off={"RateLimited": 2})
    run = await told(client, "/v1/runs/live", "WholeRun")
    assert (run["state"], run["summary"]) == ("running", None)
    assert (run["progress"]["done"], run["progress"]["backing_off"]) == (10, {"RateLimited": 2})
    assert (await client.get("/v1/runs/live/rows")).status_code == 404
    question = await told(client, f"/v1/runs/live/rows/{_a_question(tmp_path / 'runs' / 'live')}", "RunQuestion")
    assert (question["answers"], question["classification"]) == ([], None)
    live.finish(profile)
    run = await told(client, "/v1/runs/live", "WholeRun")
    assert (run["state"], run["progress"]) == ("finished", None)
    assert (await told(client, "/v1/runs/live/rows", "RowList"))["total"] == 200


def _a_question(root: Path) -> str:
    return str(pq.read_table(RunFolder(root).questions)["id"][0].as_py())


@pytest.mark.parametrize(
    ("progress", "state"),
    [
        (Progress(9), "running"),
        (Progress(9, phase="asking"), "running"),
        (Progress(9, phase="scoring"), "running"),
        (Progress(9, phase="stopped"), "stopped"),
        (None, "stopped"),
    ],
)
def test_the_state_of_a_run(progress: Progress | None, state: str, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    if progress:
        folder.write_progress(Progress(progress.total, phase=progress.phase, at=time.time()))
    assert folder.state() == state
    later = time.time() + 60
    assert folder.state(later) == ("running" if progress and progress.phase == "scoring" else "stopped")
    assert folder.state(later + 120) == "stopped"
    folder.summary.write_text("{}")
    assert folder.state() == "finished"


def test_a_run_that_goes_on_after_its_end_is_stopped_with_its_former_summary(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.summary.write_text("{}")
    os.utime(folder.summary, (1, 1))
    folder.write_progress(Progress(9, phase="asking", at=time.time()))
    assert folder.state() == "running"
    assert folder.state(time.time() + 60) == "stopped"


def test_a_progress_of_another_release_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert folder.read_progress() is None
    folder.progress.write_text('{"total": 9, "done": 3, "mood": "good"}')
    assert folder.read_progress() == Progress(9, 3)
    for nonsense in ("", "[]", "{}", "nonsense"):
        folder.progress.write_text(nonsense)
        assert folder.read_progress() is None


@pytest.mark.parametrize(
    "name",
    ["nothing", "no-run-at-all", "%2e", "%2e%2e", "..%2fruns%2fsample-test-1", "%00", "sample-test-1%2f..", "*"],
)
async def test_only_what_is_listed_can_be_named(client: httpx.AsyncClient, name: str) -> None:
    for path in (f"/v1/runs/{name}", f"/v1/runs/{name}/rows", f"/v1/runs/{name}/rows/x"):
        answer = await client.get(path)
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "not_found"


async def test_rows_come_in_pages(client: httpx.AsyncClient) -> None:
    first = await told(client, f"{RUN}/rows", "RowList", limit=3)
    assert (first["total"], first["offset"], len(first["data"])) == (200, 0, 3)
    rest = await told(client, f"{RUN}/rows", "RowList", offset=2, limit=100)
    assert rest["data"][0] == first["data"][2]
    assert len(rest["data"]) == 100
    assert (await told(client, f"{RUN}/rows", "RowList", offset=1000))["data"] == []
    assert all(row["question"] for row in rest["data"])


@pytest.mark.parametrize(
    "wanted",
    [
        {"task": "Release"},
        {"outcome": "failed"},
        {"system": "coe", "expert": "aria"},
        {"task": "Log Parser", "system": "basalt", "outcome": "correct"},
        {"task": "no such task"},
    ],
)
async def test_rows_are_filtered(client: httpx.AsyncClient, wanted: dict[str, str]) -> None:
    everything = [
        row
        for offset in (0, 100)
        for row in (await told(client, f"{RUN}/rows", "RowList", offset=offset, limit=100))["data"]
    ]
    found = await told(client, f"{RUN}/rows", "RowList", limit=100, **wanted)
    assert found["data"] == [row for row in everything if all(row[name] == value for name, value in wanted.items())]
    assert found["total"] == len(found["data"])


@pytest.mark.parametrize(
    ("param", "value"),
    [("limit", "0"), ("limit", "101"), ("offset", "-1"), ("offset", "x"), ("outcome", "nice"), ("file", "/etc/passwd")],
)
async def test_a_filter_that_cannot_be_is_refused(client: httpx.AsyncClient, param: str, value: str) -> None:
    answer = await client.get(f"{RUN}/rows", params={param: value})
    assert answer.status_code == 400
    assert (answer.json()["error"]["param"], answer.json()["error"]["code"]) == (param, "invalid_value")


async def test_the_document_says_how_rows_are_filtered() -> None:
    parameters = {each["name"]: each for each in DOCUMENT["paths"]["/v1/runs/{run}/rows"]["get"]["parameters"]}
    assert set(parameters) == {"run", "task", "expert", "system", "outcome", "offset", "limit"}
    assert parameters["limit"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 100, "default": 50}


async def test_one_question_with_all_that_was_said_to_it(client: httpx.AsyncClient) -> None:
    failed = await told(client, f"{RUN}/rows", "RowList", outcome="failed", system="cinder")
    told_of = await told(client, f"{RUN}/rows/{failed['data'][0]['question_id']}", "RunQuestion")
    answers = {answer["system"]: answer for answer in told_of["answers"]}
    assert list(answers) == ["aria", "basalt", "cinder", "timeseries", "coe"]
    assert (answers["cinder"]["error"], answers["cinder"]["attempts"]) == ("ServerFault", 6)
    assert told_of["classification"]["raw"].startswith("**Task: ")
    prompts = {name: prompt for prompt in told_of["prompts"] for name in prompt["systems"]}
    assert set(prompts) == {"classifier", "aria", "basalt", "cinder", "timeseries"}
    assert all(prompt["sent"] for prompt in prompts.values())
    assert prompts["classifier"]["models"] == ["sorter"]
    assert [message["role"] for message in prompts["aria"]["messages"]] == ["system", "user"]
    assert told_of["question"]["text"] in prompts["aria"]["messages"][1]["content"]


async def test_text_comes_back_as_it_was(client: httpx.AsyncClient) -> None:
    rows = (await told(client, f"{RUN}/rows", "RowList", task="Test", limit=100))["data"]
    asked = next(row for row in rows if INJECTION[:10] in row["question"])
    question = (await told(client, f"{RUN}/rows/{asked['question_id']}", "RunQuestion"))["question"]
    assert question["text"] == f"What does {INJECTION} do?"
    assert question["options"] == ["harm", INJECTION]
    assert (await client.get(f"{RUN}/rows/nothing")).status_code == 404


async def test_files_that_are_being_replaced_are_said_to_be(client: httpx.AsyncClient, runs: Path) -> None:
    answers = RunFolder(runs / "sample-test-1").answers
    file = answers / "answers.parquet"
    content = file.read_bytes()
    file.write_bytes(content[:100])
    try:
        answer = await client.get(f"{RUN}/rows")
    finally:
        file.write_bytes(content)
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "not_readable"
    assert answer.headers["retry-after"] == "1"

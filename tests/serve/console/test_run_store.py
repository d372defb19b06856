"""Runs over HTTP: listed with their state, followed while they work, shown with their figures."""

from pathlib import Path

import httpx
import pytest

from tests.support.console_world import Live, write_profile
from tests.support.run_requests import RUN, a_question, get_json


async def test_runs_are_listed_with_their_state(client: httpx.AsyncClient) -> None:
    listed = {run["id"]: run for run in (await get_json(client, "/v1/runs", "RunList"))["data"]}
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


async def test_a_missing_folder_has_no_runs(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("COE_RAY_RUNS", str(tmp_path / "missing"))
    assert (await get_json(client, "/v1/runs", "RunList"))["data"] == []


async def test_an_unreadable_run_hides_only_itself(client: httpx.AsyncClient, runs: Path) -> None:
    torn = runs / "torn"
    torn.mkdir()
    (torn / "run.json").write_bytes(b'{"run": ')
    try:
        assert len((await get_json(client, "/v1/runs", "RunList"))["data"]) == 2
        assert (await client.get("/v1/runs/torn")).status_code == 404
    finally:
        (torn / "run.json").unlink()
        torn.rmdir()


async def test_a_finished_run_has_its_figures_and_not_its_command(client: httpx.AsyncClient) -> None:
    run = await get_json(client, RUN, "WholeRun")
    assert set(run["summary"]["systems"]) == {"coe", "aria", "basalt", "cinder", "timeseries"}
    assert run["summary"]["failures"][0]["error"] == "ServerFault"
    assert not {"command", "replay", "profile"} & set(run["summary"])


async def test_a_run_is_followed_from_its_beginning_to_its_end(
    client: httpx.AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COE_RAY_RUNS", str(tmp_path / "runs"))
    profile = write_profile(tmp_path)
    live = Live.begun(tmp_path / "runs" / "live", profile)
    assert (await get_json(client, "/v1/runs/live", "WholeRun"))["state"] == "stopped"
    live.tell(10, backing_off={"RateLimited": 2})
    run = await get_json(client, "/v1/runs/live", "WholeRun")
    assert (run["state"], run["summary"]) == ("running", None)
    assert (run["progress"]["done"], run["progress"]["backing_off"]) == (10, {"RateLimited": 2})
    assert (await client.get("/v1/runs/live/rows")).status_code == 404
    question = await get_json(client, f"/v1/runs/live/rows/{a_question(tmp_path / 'runs' / 'live')}", "RunQuestion")
    assert (question["answers"], question["classification"]) == ([], None)
    live.finish(profile)
    run = await get_json(client, "/v1/runs/live", "WholeRun")
    assert (run["state"], run["progress"]) == ("finished", None)
    assert (await get_json(client, "/v1/runs/live/rows", "RowList"))["total"] == 200

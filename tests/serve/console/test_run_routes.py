"""Routes of runs: what can be named, which filters there are, and files that cannot be read."""

from pathlib import Path

import httpx
import pytest

from coe_ray.core.run_folder import RunFolder
from tests.support.run_requests import DOCUMENT, RUN


@pytest.mark.parametrize(
    "name",
    ["nothing", "no-run-at-all", "%2e", "%2e%2e", "..%2fruns%2fsample-test-1", "%00", "sample-test-1%2f..", "*"],
)
async def test_only_listed_runs_can_be_named(client: httpx.AsyncClient, name: str) -> None:
    for path in (f"/v1/runs/{name}", f"/v1/runs/{name}/rows", f"/v1/runs/{name}/rows/x"):
        answer = await client.get(path)
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "not_found"


@pytest.mark.parametrize(
    ("param", "value"),
    [("limit", "0"), ("limit", "101"), ("offset", "-1"), ("offset", "x"), ("outcome", "nice"), ("file", "/etc/passwd")],
)
async def test_an_invalid_filter_is_refused(client: httpx.AsyncClient, param: str, value: str) -> None:
    answer = await client.get(f"{RUN}/rows", params={param: value})
    assert answer.status_code == 400
    assert (answer.json()["error"]["param"], answer.json()["error"]["code"]) == (param, "invalid_value")


async def test_the_openapi_document_has_the_filters() -> None:
    parameters = {each["name"]: each for each in DOCUMENT["paths"]["/v1/runs/{run}/rows"]["get"]["parameters"]}
    assert set(parameters) == {"run", "task", "expert", "system", "outcome", "offset", "limit"}
    assert parameters["limit"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 100, "default": 50}


async def test_files_that_are_being_replaced_give_a_503(client: httpx.AsyncClient, runs: Path) -> None:
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

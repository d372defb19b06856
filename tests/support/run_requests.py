"""Requests for bench runs, whose responses must be as the published document has them."""

from pathlib import Path
from typing import Any

import httpx
import jsonschema  # type: ignore[import-untyped]  # its stubs are a package of their own
import pyarrow.parquet as pq

from coe_ray.core.run_folder import RunFolder
from coe_ray.serve.api.openapi import openapi_document

DOCUMENT = openapi_document()
RUN = "/v1/runs/sample-test-1"
"""The finished run."""


async def get_json(client: httpx.AsyncClient, path: str, schema: str, **query: Any) -> dict[str, Any]:
    """The body of a response, which must be as the published document has it."""
    response = await client.get(path, params=query)
    assert response.status_code == 200, response.text
    content: dict[str, Any] = response.json()
    published = {"$ref": f"#/components/schemas/{schema}", "components": DOCUMENT["components"]}
    jsonschema.Draft202012Validator(published).validate(content)
    return content


def a_question(root: Path) -> str:
    """The id of a question of the run in a folder."""
    return str(pq.read_table(RunFolder(root).questions)["id"][0].as_py())

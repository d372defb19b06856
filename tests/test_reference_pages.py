"""docs/profile.md and docs/http.md, kept by hand, name every key of a profile and every part of the HTTP API."""

import re
from pathlib import Path

from coe_ray.profile.profile import Profile
from coe_ray.serve.api.openapi import openapi_document

DOCS = Path(__file__).parents[1] / "docs"
NOT_IN_FILES = {"file_name", "folder"}
"""Fields of a profile that come from where its file lies."""


def sections(page: str) -> dict[str, set[str]]:
    """The first cells of the tables below each heading of a page."""
    parts = re.findall(r"^##? (.*?)\n(.*?)(?=^##? |\Z)", (DOCS / page).read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return {heading: set(re.findall(r"^\| `?([^`|]+?)`? \|", text, re.MULTILINE)) for heading, text in parts}


def test_every_key_of_a_profile_is_in_its_page() -> None:
    schema, documented = Profile.model_json_schema(), sections("profile.md")
    for name, section in {"Profile": schema, **schema["$defs"]}.items():
        if fields := section.get("properties"):
            assert fields.keys() - NOT_IN_FILES == documented[name] - {"key", "---"}, name


def test_every_path_and_object_of_the_api_is_in_its_page() -> None:
    document, documented = openapi_document(), sections("http.md")
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            rows = documented[f"{method.upper()} `{path}`"]
            assert {*operation["responses"], *(each["name"] for each in operation.get("parameters", ()))} <= rows, path
    for name, schema in document["components"]["schemas"].items():
        assert schema.get("properties", {}).keys() == documented[name] - {"field", "---"}, name

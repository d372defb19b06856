"""The pages of reference are what the code says; a change of the code must change them."""

from pathlib import Path

import pytest

from coe_ray.profile.profile import Profile
from coe_ray.serve.api.openapi import openapi_document
from jobs.reference import PAGES

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_of_this_code(page: str) -> None:
    written = (DOCS / f"{page}.md").read_text("utf-8")
    assert written == PAGES[page](), f"make it again: python -m jobs.reference {page} > docs/{page}.md"


def test_every_key_of_a_profile_is_in_its_page() -> None:
    page = PAGES["profile"]()
    for name in Profile.model_fields:
        assert (f"| `{name}` |" in page) is (name not in ("file_name", "folder"))


def test_every_path_and_object_is_in_the_http_page() -> None:
    page, told = PAGES["http"](), openapi_document()
    assert all(f"`{path}`" in page for path in told["paths"])
    assert all(f"## {name}\n" in page for name in told["components"]["schemas"])

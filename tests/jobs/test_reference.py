"""The pages of reference are what the code says; a change of the schema must change them."""

from pathlib import Path

from coe_ray.config import Profile
from jobs.reference import reference

DOCS = Path(__file__).parents[2] / "docs"


def test_the_profile_reference_is_of_this_schema() -> None:
    written = (DOCS / "profile.md").read_text("utf-8")
    assert written == reference(), "make it again: python -m jobs.reference > docs/profile.md"


def test_every_key_of_a_profile_is_in_it() -> None:
    page = reference()
    for name in Profile.model_fields:
        assert (f"| `{name}` |" in page) is (name not in ("file_name", "folder"))

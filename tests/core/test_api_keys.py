"""The file of hashed keys: any content is keys or an error that does not show it."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe_ray.core.api_keys import MAX_KEYS, read_keys
from coe_ray.core.errors import DataError


def entry(**changes: Any) -> dict[str, Any]:
    return {"name": "ci", "sha256": "0" * 64, "created": "2026-11-23T00:00:00+00:00"} | changes


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        ("{}", "valid list"),
        ([entry(key="coe-secret")], "0.key"),
        ([entry(sha256="coe-secret")], "0.sha256"),
        ([entry(requests_per_minute=0)], "0.requests_per_minute"),
        ([entry(concurrency="8")], "0.concurrency"),
        ([entry(), entry(sha256="1" * 64)], "the same name"),
        ([entry(), entry(name="other")], "the same sha256"),
        ([entry(name=f"n{n}", sha256=f"{n:064x}") for n in range(MAX_KEYS + 1)], f"there may be {MAX_KEYS}"),
    ],
)
def test_a_file_that_says_something_else_is_refused_without_its_content(
    tmp_path: Path, content: object, wrong: str
) -> None:
    file = tmp_path / "keys.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(DataError, match=wrong) as refused:
        read_keys(file)
    assert "coe-secret" not in str(refused.value)
    assert refused.value.__cause__ is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(st.binary(max_size=300) | JSON.map(lambda content: json.dumps(content).encode()))
def test_any_bytes_are_keys_or_a_clear_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = tmp_path_factory.mktemp("any") / "keys.json"
    file.write_bytes(content)
    try:
        keys = read_keys(file)
    except DataError as error:
        assert str(error).startswith(f"{file}: ")
    else:
        assert keys == ()

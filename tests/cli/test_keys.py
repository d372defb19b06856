"""`coe-ray keys`, and the file that it writes."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe_ray.cli.main import main
from coe_ray.core.api_keys import MOST_KEYS, PREFIX, hash_key, read_keys
from coe_ray.core.errors import DataError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "below" / "keys.json"


def added(file: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["keys", "--file", str(file), "add", *arguments]) == 0
    return capsys.readouterr().out.strip()


def test_a_key_is_printed_once_and_only_its_hash_is_kept(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = added(file, capsys, "ci", "--requests-per-minute", "600", "--concurrency", "8")

    assert key.startswith(PREFIX)
    assert len(key) == len(PREFIX) + 43  # 256 bits
    [entry] = json.loads(file.read_bytes())
    assert entry == {
        "name": "ci",
        "sha256": hash_key(key).hex(),
        "created": entry["created"],
        "requests_per_minute": 600,
        "concurrency": 8,
    }
    for each in file.parent.iterdir():
        assert key not in each.read_text()


def test_the_file_is_its_owners_alone(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("first", "second"):
        added(file, capsys, name)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_keys_are_listed_without_what_would_let_anybody_in(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = added(file, capsys, "ci", "--concurrency", "8")

    assert main(["keys", "--file", str(file), "list"]) == 0
    said = capsys.readouterr().out
    assert "ci" in said
    assert hash_key(key).hex()[:8] in said
    assert "profile's        8" in said
    assert key not in said
    assert hash_key(key).hex() not in said


def test_a_removed_key_is_gone(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    added(file, capsys, "first")
    added(file, capsys, "second")

    assert main(["keys", "--file", str(file), "remove", "first"]) == 0
    assert [key.name for key in read_keys(file)] == ["second"]


def test_the_usual_file_is_in_the_home_of_coe_ray(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COE_RAY_HOME", str(tmp_path / "home"))
    assert main(["keys", "add", "ci"]) == 0
    assert [key.name for key in read_keys(tmp_path / "home" / "keys.json")] == ["ci"]
    assert capsys.readouterr().out.startswith(PREFIX)


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (["list"], "make one"),
        (["remove", "ci"], "make one"),
        (["add", "a b"], "letters, digits"),
        (["add", ""], "letters, digits"),
        (["add", "ci\n"], "letters, digits"),
        (["add", "ci", "--concurrency", "0"], "1 or more"),
    ],
)
def test_errors_have_a_remedy(
    file: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], remedy: str
) -> None:
    assert main(["keys", "--file", str(file), *arguments]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("keys: ")
    assert remedy in said.err
    assert not said.out


def test_no_name_is_given_twice_and_an_unknown_one_not_removed(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    added(file, capsys, "ci")
    before = file.read_bytes()

    assert main(["keys", "--file", str(file), "add", "ci"]) == 2
    assert "remove it first" in capsys.readouterr().err
    assert main(["keys", "--file", str(file), "remove", "nobody"]) == 2
    assert "there are: ci" in capsys.readouterr().err
    assert file.read_bytes() == before


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
        ([entry(name=f"n{n}", sha256=f"{n:064x}") for n in range(MOST_KEYS + 1)], f"there may be {MOST_KEYS}"),
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

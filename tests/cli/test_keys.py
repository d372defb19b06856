"""`coe-ray keys`: makes keys, lists them, takes them away, and keeps their hashes only."""

import json
import stat
from pathlib import Path

import pytest

from coe_ray.cli.main import main
from coe_ray.core.api_keys import PREFIX, hash_key, read_keys


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "below" / "keys.json"


def add_key(file: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["keys", "--file", str(file), "add", *arguments]) == 0
    return capsys.readouterr().out.strip()


def test_a_key_is_printed_once_and_only_its_hash_is_kept(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = add_key(file, capsys, "ci", "--requests-per-minute", "600", "--concurrency", "8")

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
        add_key(file, capsys, name)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_keys_are_listed_without_what_would_let_anybody_in(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = add_key(file, capsys, "ci", "--concurrency", "8")

    assert main(["keys", "--file", str(file), "list"]) == 0
    output = capsys.readouterr().out
    assert "ci" in output
    assert hash_key(key).hex()[:8] in output
    assert "profile's        8" in output
    assert key not in output
    assert hash_key(key).hex() not in output


def test_a_removed_key_is_gone(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add_key(file, capsys, "first")
    add_key(file, capsys, "second")

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
    output = capsys.readouterr()
    assert output.err.startswith("keys: ")
    assert remedy in output.err
    assert not output.out


def test_no_name_is_given_twice_and_an_unknown_one_not_removed(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add_key(file, capsys, "ci")
    before = file.read_bytes()

    assert main(["keys", "--file", str(file), "add", "ci"]) == 2
    assert "remove it first" in capsys.readouterr().err
    assert main(["keys", "--file", str(file), "remove", "nobody"]) == 2
    assert "there are: ci" in capsys.readouterr().err
    assert file.read_bytes() == before

"""`coe-ray threshold`: its output on the profile that `init` writes and on made-up votes, and its exit codes."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coe_ray.bench import indexing, threshold
from coe_ray.bench.threshold import Vote
from coe_ray.cli.main import main
from coe_ray.cli.threshold import ROWS
from tests.support.profiles import content, write_profile


@pytest.fixture
def votes(monkeypatch: pytest.MonkeyPatch) -> list[Vote]:
    """The votes that are found, without an index."""
    votes: list[Vote] = []

    async def collect(*_: object) -> list[Vote]:
        return votes

    monkeypatch.setattr(indexing, "open_profile_index", lambda profile: (None, []))
    monkeypatch.setattr(threshold, "collect_votes", collect)
    return votes


@pytest.fixture
def profile(tmp_path: Path) -> str:
    return str(write_profile(tmp_path / "small.yaml", content()))


def test_the_template_has_a_threshold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["init", str(tmp_path)])
    profile = str(tmp_path / "profile.yaml")
    assert main(["index", "--profile", profile]) == 0
    capsys.readouterr()

    assert main(["threshold", "--profile", profile, "--accuracy", "0.5"]) == 0
    header, *steps, key, value = capsys.readouterr().out.splitlines()
    assert header.split() == ["confidence", "decided", "of", "these", "right"]
    assert steps
    assert key == "classifier:"
    assert 0 < float(value.removeprefix("  skip_llm_above: ")) <= 1

    assert main(["threshold", "--profile", profile, "--accuracy", "1.1"]) == 2
    assert capsys.readouterr().err.startswith("threshold: no threshold: ")


def test_each_step_is_a_line_with_its_interval(
    votes: list[Vote], profile: str, capsys: pytest.CaptureFixture[str]
) -> None:
    votes += [Vote(0.9, True), Vote(0.9, True), Vote(0.4, False), Vote(0.4, True)]
    assert main(["threshold", "--profile", profile]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["0.9000", "50.0%", "2", "100.0%", "(34.2%", "to", "100.0%)"] in rows
    assert ["0.4000", "100.0%", "4", "75.0%", "(30.1%", "to", "95.4%)"] in rows
    assert rows[-1] == ["skip_llm_above:", "0.9"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(confidences=st.lists(st.floats(0.0002, 1), min_size=1, max_size=60))
def test_a_few_rows_the_last_for_all_and_a_value_at_or_below_the_confidence(
    votes: list[Vote], profile: str, capsys: pytest.CaptureFixture[str], confidences: list[float]
) -> None:
    votes[:] = [Vote(confidence, right=True) for confidence in confidences]
    assert main(["threshold", "--profile", profile, "--accuracy", "1"]) == 0
    _, *rows, _, value = capsys.readouterr().out.splitlines()
    assert len(rows) == min(ROWS, len(set(confidences)))
    assert rows[-1].split()[1:3] == ["100.0%", str(len(confidences))]
    written = float(value.removeprefix("  skip_llm_above: "))
    assert min(confidences) - 0.0001 < written <= min(confidences)


def test_no_threshold_is_exit_code_2(votes: list[Vote], profile: str, capsys: pytest.CaptureFixture[str]) -> None:
    votes.append(Vote(0.9, right=False))
    assert main(["threshold", "--profile", profile]) == 2
    assert "leave skip_llm_above out" in capsys.readouterr().err


def test_an_unknown_profile_is_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["threshold", "--profile", str(tmp_path / "nothing.yaml")]) == 2
    assert "nothing.yaml" in capsys.readouterr().err

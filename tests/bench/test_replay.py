"""A replay: the same figures again, and others' figures, out of a run that is over, without asking anybody."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from coe_ray.bench.replay import ReplayRequest, replay
from coe_ray.core.errors import ConfigError, DataError
from coe_ray.routing.leaderboard import Leaderboard
from tests.bench.job import Bench, lasting
from tests.bench.upstream import Upstream
from tests.bench.world import FILES, small_world
from tests.support.cluster import Cluster

MADE = {"seconds", "created", "command", "commit", "calls", "replay", "profile", "leaderboard"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, bench_cluster: Cluster) -> Bench:
    """A run that is over: its models are gone, and its Ray is not this process's."""
    with Upstream().started() as server:
        bench = small_world(bench_cluster.environment, server, tmp_path_factory.mktemp("run"))
        code, output = bench.run()
        assert code == 0, output
    return bench


@pytest.fixture
def run(finished: Bench, tmp_path: Path) -> Path:
    """A copy of it, to do with as one likes."""
    return Path(shutil.copytree(finished.out, tmp_path / "run"))


def other_profile(finished: Bench, folder: Path, **changes: Any) -> str:
    content = yaml.safe_load(finished.profile.read_text("utf-8"))
    path = folder / "other.yaml"
    path.write_text(yaml.safe_dump({**content, **changes}), "utf-8")
    return str(path)


def said(lines: list[str]) -> str:
    return "\n".join(lines)


def test_the_same_figures_again_in_the_same_folder(finished: Bench, run: Path) -> None:
    for name in ("summary.json", "report.html", "answers", "dead_letters.parquet"):
        path = run / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    lines: list[str] = []
    summary = replay(ReplayRequest(run), lines.append)
    before = finished.summary()
    assert {**lasting(summary), "replay": None} == {**lasting(before), "replay": None}
    assert summary["calls"] == before["calls"]
    assert Bench({}, run, run, run).folder.read_answers() == finished.folder.read_answers()
    assert lines == []  # every record is there: nothing had to be looked up


def test_without_its_records_a_run_is_read_out_of_its_journal(finished: Bench, run: Path) -> None:
    (run / "records.parquet").unlink()
    files = sorted(file.name for file in (run / "journal").iterdir())
    lines: list[str] = []
    summary = replay(ReplayRequest(run), lines.append)
    assert "20 questions are read out of the journal" in said(lines)
    assert {**lasting(summary), "replay": None} == {**lasting(finished.summary()), "replay": None}
    assert sorted(file.name for file in (run / "journal").iterdir()) == files


def test_another_leaderboard_routes_the_same_answers(finished: Bench, run: Path, tmp_path: Path) -> None:
    # Wrong on purpose: beta is best at everything.
    board = Leaderboard.from_scores(
        (who, task, who == "beta", 1) for who in ("alpha", "beta", "gamma") for task in FILES
    )
    board.save(tmp_path / "board.json")
    out = tmp_path / "out"
    summary = replay(ReplayRequest(run, out, leaderboard=tmp_path / "board.json"), print)
    before = finished.summary()["systems"]
    assert summary["leaderboard"]["version"] == board.version
    assert summary["systems"]["coe"] == before["beta"]
    assert {name: summary["systems"][name] for name in ("alpha", "beta", "gamma")} == {
        name: before[name] for name in ("alpha", "beta", "gamma")
    }
    assert summary["calls"]["issued"] == 0


def test_another_profile_that_shares_the_calls(finished: Bench, run: Path, tmp_path: Path) -> None:
    experts = {"one": {"model": "third"}, "two": {"model": "second"}}
    profile = other_profile(finished, tmp_path, experts=experts)
    lines: list[str] = []
    summary = replay(ReplayRequest(run, tmp_path / "out", profile), lines.append)
    assert "20 questions are read out of the journal" in said(lines)
    before = finished.summary()
    assert (summary["systems"]["one"], summary["systems"]["two"]) == (
        before["systems"]["gamma"],
        before["systems"]["beta"],
    )
    assert summary["classifier"] == before["classifier"]
    assert not summary["incomplete"]


def test_calls_that_were_never_made_are_missing_and_no_wrong_answers(
    finished: Bench, run: Path, tmp_path: Path
) -> None:
    experts = {"alpha": {"model": "first"}, "colder": {"model": "third", "settings": {"temperature": 0.5}}}
    summary = replay(ReplayRequest(run, tmp_path / "out", other_profile(finished, tmp_path, experts=experts)), print)
    assert summary["systems"]["colder"]["failed"] == 20
    assert summary["systems"]["alpha"] == finished.summary()["systems"]["alpha"]
    assert summary["incomplete"]
    [missing] = summary["failures"]
    assert (missing["model"], missing["error"], missing["calls"]) == ("third", "NotInJournal", 20)
    assert missing["remedy"] == "a replay asks nobody: run the bench with this profile and the same --journal"


def test_a_profile_that_changed_since_must_not_mix_its_answers_with_the_runs(finished: Bench, run: Path) -> None:
    before = finished.profile.read_text("utf-8")
    records = (run / "records.parquet").read_bytes()
    finished.profile.write_text(before.replace("model: third", "model: second"), "utf-8")
    try:
        with pytest.raises(ConfigError, match="profile 'world' has changed since the run; give --out"):
            replay(ReplayRequest(run), print)
    finally:
        finished.profile.write_text(before, "utf-8")
    assert (run / "records.parquet").read_bytes() == records
    assert lasting({**replay(ReplayRequest(run), print), "replay": None}) == {
        **lasting(finished.summary()),
        "replay": None,
    }


def test_how_fast_and_at_what_price_is_asked_may_change(finished: Bench, run: Path) -> None:
    before = finished.profile.read_text("utf-8")
    finished.profile.write_text(before.replace("output: 10.0", "output: 20.0\n    max_concurrency: 3"), "utf-8")
    try:
        assert replay(ReplayRequest(run), print)["calls"]["cost"] > finished.summary()["calls"]["cost"]
    finally:
        finished.profile.write_text(before, "utf-8")


def test_a_replay_of_a_replay(finished: Bench, run: Path, tmp_path: Path) -> None:
    experts = {"one": {"model": "third"}, "two": {"model": "second"}}
    first = replay(ReplayRequest(run, tmp_path / "one", other_profile(finished, tmp_path, experts=experts)), print)
    again = replay(ReplayRequest(tmp_path / "one", tmp_path / "two", finished.order.profile), print)
    assert again["systems"] == finished.summary()["systems"]
    assert first["rejected"] == again["rejected"] == 2


def test_a_replay_by_other_routes_wants_a_folder_of_its_own(finished: Bench, run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give --out for a replay by another profile or leaderboard"):
        replay(ReplayRequest(run, leaderboard=tmp_path / "board.json"), print)
    with pytest.raises(ConfigError, match="holds a run; give another --out for the replay"):
        replay(ReplayRequest(run, finished.out), print)
    with pytest.raises(DataError, match=r"no run\.json there; give the folder of a bench run"):
        replay(ReplayRequest(tmp_path), print)
    assert finished.summary()["rows"] == 20

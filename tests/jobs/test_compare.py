"""The comparison's own arithmetic, table and set-up; the measurement itself is for a quiet machine."""

import json
from pathlib import Path
from typing import Any

import pytest

from coe_ray.bench.datasets.load import load_benchmark
from coe_ray.profile.profile import load_profile
from coe_ray.routing.leaderboard import Leaderboard
from jobs.loading.comparison import ENCODER, ROWS, ComparisonResult, Round, markdown
from jobs.loading.endpoint import make_key, write_profile
from jobs.loading.loops import closed_loop
from jobs.loading.peers import start_upstream
from jobs.loading.results import Target

ABOUT = {
    "cores": 2, "litellm": "1.2.3", "rounds": 3, "seconds": 8.0, "workers": 2,
    "commit": "abc1234", "date": "2026-11-23", "command": "python -m jobs.compare",
}  # fmt: skip


def figures(rate: float, p50: float, errors: int = 0) -> dict[str, Any]:
    latency = {"p50": p50, "p99": 2 * p50} if rate else None
    return {
        "requests_per_s": rate,
        "latency_ms": latency,
        "errors": {"total": errors},
        "generator": {"saturated": False},
    }


def a_round(factor: float = 1.0, litellm: float = 75.0) -> Round:
    """Every target is just met where the factor is 1."""
    rates = {"ours": 450.0 * factor, "litellm": litellm, "bare": 800.0, "direct": 4000.0}
    p50s = {"ours": 10.0 / factor, "litellm": 20.0, "bare": 2.5, "direct": 0.5}
    return {
        **{f"expert-32/{who}": figures(rate, 40.0) for who, rate in rates.items()},
        **{f"expert-1/{who}": figures(1.0, p50) for who, p50 in p50s.items()},
        "new-32/ours": figures(100.0 * factor, 300.0),
        "repeated-32/ours": figures(300.0 * factor, 50.0),
        "new-1/ours": figures(1.0, 20.5 / factor),
        ENCODER: {"texts_per_s": 200.0},
    }


def test_targets_are_met_from_their_bound_on() -> None:
    assert [verdict.met for verdict in ComparisonResult([a_round()]).verdicts] == [True] * 5
    assert [verdict.met for verdict in ComparisonResult([a_round(0.99)]).verdicts] == [False] * 5


def test_new_questions_are_held_against_the_higher_bound() -> None:
    """100/s is half of what the encoder does, but less than a pass-through of 120/s."""
    verdict = ComparisonResult([a_round(litellm=120.0)]).verdicts[2]
    assert (verdict.wanted, verdict.met) == ("120/s", False)


def test_the_median_round_counts() -> None:
    result = ComparisonResult([a_round(0.1), a_round(2.0), a_round(1.0)])
    assert result.rate("expert-32") == 450.0
    assert result.overhead == 20.0


def test_errors_and_a_saturated_generator_are_told() -> None:
    first, second = a_round(), a_round()
    first["expert-32/litellm"] = figures(10.0, 5.0, errors=2)
    second["expert-32/litellm"] = figures(0.0, 5.0, errors=3)
    second["new-1/ours"]["generator"]["saturated"] = True
    result = ComparisonResult([first, second])
    assert result.errors == {"expert-32/litellm": 5}
    assert result.saturated == ["new-1/ours"]
    assert ComparisonResult([a_round()]).errors == {}


def test_a_peer_that_answers_nothing_breaks_nothing() -> None:
    silent = a_round(litellm=0.0)
    silent["expert-1/litellm"] = figures(0.0, 0.0)
    assert "inf" in markdown(ComparisonResult([silent]), ABOUT)


def test_the_table_is_a_table_and_says_where_it_comes_from() -> None:
    text = markdown(ComparisonResult([a_round(), a_round(0.99), a_round(0.99)]), ABOUT)
    tables = [block.splitlines() for block in text.split("\n\n")[:2]]
    assert [len(lines) for lines in tables] == [8, 7]
    assert all(len({line.count("|") for line in lines}) == 1 for lines in tables)
    assert "LiteLLM 1.2.3" in text
    assert "**missed**" in text
    assert "Commit abc1234, 2026-11-23: `python -m jobs.compare`" in text


def test_every_row_is_in_the_figures_of_a_round() -> None:
    assert {f"{row.name}/{who}" for row in ROWS for who in row.servers} | {ENCODER} == set(a_round())


def test_the_profile_leaves_every_task_of_the_sample_to_the_neighbours(tmp_path: Path) -> None:
    profile = load_profile(write_profile(tmp_path, "http://127.0.0.1:1/v1"))
    board = Leaderboard.load(tmp_path / "leaderboard.json")
    assert profile.classifier.skip_llm_above == 0.0
    assert {task.name for task in load_benchmark("sample").tasks} <= {task.name for task in profile.task_list}
    assert {board.ranked(task.name)[0].expert for task in profile.task_list} == set(profile.experts)
    assert profile.keys_file == tmp_path / "keys.json"


def test_the_key_is_kept_as_a_hash_only(tmp_path: Path) -> None:
    key = make_key(tmp_path)
    assert [entry["name"] for entry in json.loads((tmp_path / "keys.json").read_bytes())] == ["compare"]
    assert key not in (tmp_path / "keys.json").read_text()


@pytest.mark.parametrize("stream", [False, True])
async def test_the_upstream_gives_good_answers_of_both_kinds(stream: bool) -> None:
    with start_upstream() as url:
        load = await closed_loop(Target(url, stream=stream), iter(["Which?"] * 10**5), clients=2, seconds=0.2)
    assert load.requests
    assert all(request.ok for request in load.requests)
    assert all((request.first_s is not None) is stream for request in load.requests)

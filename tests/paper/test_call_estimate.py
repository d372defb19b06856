"""Estimate of a study: experts × questions, classifiers × questions, tokens, cost and GPUs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe_ray.core.types import Call
from coe_ray.paper import call_estimate
from coe_ray.paper.call_estimate import ModelLoad, estimate_loads, estimate_table, estimate_tokens
from coe_ray.paper.study_plan import StudyPlan, plan_study
from coe_ray.routing.pipeline import Expert
from tests.bench.world import row, write_csv
from tests.paper.small_study import CONTENT, make_plan, make_request, write_benchmark, write_profile

QUESTIONS = 10
CLASSIFIERS = {
    "first": {"model": "hosted", "k": 3, "settings": {"max_tokens": 100}},
    "second": {"model": "remote", "k": 0, "settings": {"max_tokens": 10}},
}


def with_model(name: str, **changes: Any) -> dict[str, Any]:
    return {**CONTENT["models"], name: {**CONTENT["models"][name], **changes}}


def calls_and_tokens(load: ModelLoad) -> tuple[int, int | None]:
    return load.calls, load.completion_tokens


def test_calls_are_experts_and_labellers_times_questions(tmp_path: Path) -> None:
    plan = make_plan(tmp_path)
    loads = estimate_loads(plan)
    assert len(plan.questions) == QUESTIONS
    assert {name: load.calls for name, load in loads.items()} == {
        "hosted": QUESTIONS,
        "remote": QUESTIONS,
        "counter": QUESTIONS,
        "sorter": 2 * QUESTIONS,  # with and without examples
    }
    assert (
        sum(load.calls for load in loads.values())
        == (len(plan.run_profile.experts) + len(plan.classifiers)) * QUESTIONS
    )


def test_a_model_of_several_experts_is_counted_once_for_each(tmp_path: Path) -> None:
    study = {"classifiers": CLASSIFIERS, "singles": {"large": {"model": "remote", "settings": {"max_tokens": 4}}}}
    loads = estimate_loads(make_plan(tmp_path, study=study))
    assert calls_and_tokens(loads["remote"]) == (3 * QUESTIONS, (16 + 4 + 10) * QUESTIONS)
    assert calls_and_tokens(loads["hosted"]) == (3 * QUESTIONS, (512 + 2 * 100) * QUESTIONS)
    assert "sorter" not in loads


def test_scenarios_count_with_their_labels_and_whom_they_change(tmp_path: Path) -> None:
    change = {"experts": {"alpha": {"prompt": "direct"}}}
    plan = make_plan(tmp_path, study={"scenarios": {"short": {"change": change}}})
    loads = estimate_loads(plan)
    assert (loads["hosted"].calls, loads["sorter"].calls) == (2 * QUESTIONS, 4 * QUESTIONS)
    assert (
        sum(load.calls for load in loads.values())
        == (len(plan.run_profile.experts) + len(plan.classifiers)) * QUESTIONS
    )


def test_fewer_questions_are_fewer_calls(tmp_path: Path) -> None:
    loads = estimate_loads(make_plan(tmp_path, {"per_task": 1}))
    assert (loads["hosted"].calls, loads["sorter"].calls) == (2, 4)


def test_a_next_token_is_one_token(tmp_path: Path) -> None:
    loads = estimate_loads(make_plan(tmp_path, {"scoring": "next-token"}))
    assert calls_and_tokens(loads["hosted"]) == calls_and_tokens(loads["remote"]) == (QUESTIONS, QUESTIONS)


def test_without_a_limit_there_is_no_most(tmp_path: Path) -> None:
    experts = {**CONTENT["experts"], "delta": {"model": "remote"}}
    load = estimate_loads(make_plan(tmp_path, experts=experts))["remote"]
    assert (load.calls, load.completion_tokens, load.cost_at_most) == (2 * QUESTIONS, None, None)


def prompt_tokens(plan: StudyPlan, expert: str) -> int:
    chosen = Expert(expert, None, plan.run_profile.experts[expert], plan.shots)  # type: ignore[arg-type]  # nobody asks
    calls = [chosen.make_call(question, Call(())) for question in plan.questions]
    return sum(estimate_tokens(message.content) for call in calls for message in call.messages)


def test_prompts_are_counted_as_they_will_be_sent(tmp_path: Path) -> None:
    plain, shown = make_plan(tmp_path), make_plan(tmp_path, {"shots": 2})
    assert estimate_loads(plain)["hosted"].prompt_tokens == prompt_tokens(plain, "alpha") > 0
    assert (
        estimate_loads(shown)["hosted"].prompt_tokens == prompt_tokens(shown, "alpha") > prompt_tokens(plain, "alpha")
    )


def test_examples_make_a_classifiers_prompt_longer(tmp_path: Path) -> None:
    def tokens(k: int) -> int:
        classifier = {**CONTENT["classifier"], "k": k}
        return estimate_loads(make_plan(tmp_path, classifier=classifier))["sorter"].prompt_tokens

    alone = tokens(0)
    assert alone < tokens(1) - alone < tokens(4) - alone


def test_the_cost_is_the_price_of_prompts_and_of_the_longest_replies(tmp_path: Path) -> None:
    load = estimate_loads(make_plan(tmp_path))["remote"]
    assert load.cost_at_most == pytest.approx((load.prompt_tokens * 2 + QUESTIONS * 16 * 10) / 1e6)


def test_without_a_price_and_for_what_is_hosted_there_is_no_cost(tmp_path: Path) -> None:
    loads = estimate_loads(make_plan(tmp_path, models=with_model("remote", price=None)))
    assert {load.cost_at_most for load in loads.values()} == {None}


def test_what_is_free_costs_nothing(tmp_path: Path) -> None:
    free = with_model("remote", price={"input": 0, "output": 0})
    assert estimate_loads(make_plan(tmp_path, models=free))["remote"].cost_at_most == 0


@pytest.mark.parametrize(
    ("changes", "gpus", "nodes"),
    [
        ({}, 1, "1 × GPU, STRICT_PACK"),
        ({"bundle": {"GPU": 0.25, "CPU": 1}}, 0.25, "1 × GPU, STRICT_PACK"),
        ({"bundle": {"CPU": 4}}, 0, "1 × GPU, STRICT_PACK"),
        ({"engine": {"tensor_parallel_size": 4}, "accelerator": "H100"}, 4, "4 × H100, STRICT_PACK"),
        ({"engine": {"pipeline_parallel_size": 2, "tensor_parallel_size": 2}}, 4, "4 × GPU, PACK"),
        ({"scaling": {"min_replicas": 2, "max_replicas": 3}}, 2, "1 × GPU, STRICT_PACK"),
    ],
)
def test_cards_are_those_of_the_replicas_that_start(
    tmp_path: Path, changes: dict[str, Any], gpus: float, nodes: str
) -> None:
    load = estimate_loads(make_plan(tmp_path, models=with_model("hosted", **changes)))["hosted"]
    assert (load.kind, load.gpus, load.nodes_with) == ("vllm", gpus, nodes)


@pytest.mark.parametrize(
    ("name", "gpus"),
    [("paper-set1", 5), ("paper-set1-80gb", 2), ("paper-set2", 1), ("paper-set3", 4), ("paper-set3-80gb", 1)],
)
def test_the_papers_sets_take_the_cards_that_their_files_name(tmp_path: Path, name: str, gpus: float) -> None:
    plan = plan_study(make_request(tmp_path, Path(name), Path("sample")), name, tmp_path)
    loads = estimate_loads(plan)
    assert sum(load.gpus for load in loads.values()) == gpus
    assert set(loads) == set(plan.profile.models)
    # Four variants of two classifiers.
    calls = (len(plan.profile.experts) + len(plan.profile.study.singles) + 4) * len(plan.questions)
    assert sum(load.calls for load in loads.values()) == calls


# The table


def rows(
    plan: StudyPlan, monkeypatch: pytest.MonkeyPatch, loads: Mapping[str, ModelLoad]
) -> dict[str, tuple[str, ...]]:
    monkeypatch.setattr(call_estimate, "estimate_loads", lambda _: loads)
    return {row[0]: row[1:] for row in estimate_table(plan).rows}


def test_a_row_a_model_and_one_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads = {
        "large": ModelLoad("vllm", 1000, 2_500_000, 512_000, None, 2.0, "2 × H100, STRICT_PACK"),
        "remote": ModelLoad("api", 20, 4000, 100, 1.234),
        "endless": ModelLoad("api", 3, 30, None, None),
        "other": ModelLoad("api", 7, 70, 7, 2.0),
    }
    assert rows(make_plan(tmp_path), monkeypatch, loads) == {
        "large": ("vllm", "1,000", "2,500,000", "512,000", "–", "2 (2 × H100, STRICT_PACK)"),
        "remote": ("api", "20", "4,000", "100", "1.23", "–"),
        "endless": ("api", "3", "30", "no limit", "–", "–"),
        "other": ("api", "7", "70", "7", "2.00", "–"),
        "all": ("", "1,030", "2,504,100", "", "3.23", "2"),
    }


def test_without_a_price_the_whole_has_no_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads = {"large": ModelLoad("vllm", 1, 1, 1, None, 0.25, "1 × GPU, STRICT_PACK")}
    assert rows(make_plan(tmp_path), monkeypatch, loads)["all"][-2:] == ("–", "0.25")


def test_the_table_says_what_is_estimated(tmp_path: Path) -> None:
    table = estimate_table(make_plan(tmp_path))
    assert (table.title, table.caption) == ("profile small", "10 questions, 3 experts, 2 classifiers")


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("a", 1),
        ("four", 1),
        ("fives", 2),
        ("日志", 2),
        ("日志 log", 3),
        ("日志 logs", 4),
        ("。", 1),
        ("a" * 4000, 1000),
    ],
)
def test_a_token_is_four_characters_or_a_chinese_one(text: str, tokens: int) -> None:
    assert estimate_tokens(text) == tokens


@given(st.text(), st.text())
def test_more_text_is_never_fewer_tokens(first: str, second: str) -> None:
    assert (
        max(estimate_tokens(first), estimate_tokens(second))
        <= estimate_tokens(first + second)
        <= estimate_tokens(first) + estimate_tokens(second)
    )
    assert estimate_tokens(first) <= len(first)


def test_nothing_is_called_or_written(tmp_path: Path) -> None:
    profile, data = write_profile(tmp_path), write_benchmark(tmp_path)
    write_csv(data / "english" / "dev" / "Go.csv", [row("one?", 1, "A")])
    estimate_loads(plan_study(make_request(tmp_path, profile, data), str(profile), tmp_path / "run"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "small.yaml"]

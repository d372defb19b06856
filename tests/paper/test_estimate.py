"""What a study would call is known before: experts × questions, classifiers × questions, tokens, cost and cards."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe_ray.core.types import Call
from coe_ray.paper.estimate import COLUMNS, Load, estimate_loads, rows, tokens_of
from coe_ray.paper.plan_calls import StudyPlan, plan_calls
from coe_ray.routing.pipeline import Expert
from tests.bench.world import row, write_csv
from tests.paper.orders import CONTENT, asked_for, data_at, order_of, profile_at

QUESTIONS = 10
CLASSIFIERS = {
    "first": {"model": "hosted", "k": 3, "settings": {"max_tokens": 100}},
    "second": {"model": "remote", "k": 0, "settings": {"max_tokens": 10}},
}


def with_model(name: str, **changes: Any) -> dict[str, Any]:
    return {**CONTENT["models"], name: {**CONTENT["models"][name], **changes}}


def said(load: Load) -> tuple[int, int | None]:
    return load.calls, load.completion_tokens


def test_calls_are_experts_and_labellers_times_questions(tmp_path: Path) -> None:
    asked = asked_for(tmp_path)
    found = estimate_loads(asked)
    assert len(asked.questions) == QUESTIONS
    assert {name: load.calls for name, load in found.items()} == {
        "hosted": QUESTIONS,
        "remote": QUESTIONS,
        "counter": QUESTIONS,
        "sorter": 2 * QUESTIONS,  # with and without examples
    }
    assert sum(load.calls for load in found.values()) == (len(asked.asked.experts) + len(asked.labellers)) * QUESTIONS


def test_a_model_that_is_asked_as_several_is_counted_once_for_each(tmp_path: Path) -> None:
    study = {"classifiers": CLASSIFIERS, "singles": {"large": {"model": "remote", "settings": {"max_tokens": 4}}}}
    found = estimate_loads(asked_for(tmp_path, study=study))
    assert found["remote"].asked_as == {"beta", "large", "second without RAG"}
    assert said(found["remote"]) == (3 * QUESTIONS, (16 + 4 + 10) * QUESTIONS)
    assert found["hosted"].asked_as == {"alpha", "first", "first without RAG"}
    assert said(found["hosted"]) == (3 * QUESTIONS, (512 + 2 * 100) * QUESTIONS)
    assert "sorter" not in found


def test_scenarios_count_with_their_labels_and_whom_they_change(tmp_path: Path) -> None:
    change = {"experts": {"alpha": {"prompt": "direct"}}}
    asked = asked_for(tmp_path, study={"scenarios": {"short": {"change": change}}})
    found = estimate_loads(asked)
    assert (found["hosted"].calls, found["sorter"].calls) == (2 * QUESTIONS, 4 * QUESTIONS)
    assert sum(load.calls for load in found.values()) == (len(asked.asked.experts) + len(asked.labellers)) * QUESTIONS


def test_fewer_questions_are_fewer_calls(tmp_path: Path) -> None:
    found = estimate_loads(asked_for(tmp_path, {"per_task": 1}))
    assert (found["hosted"].calls, found["sorter"].calls) == (2, 4)


def test_a_next_token_is_one_token(tmp_path: Path) -> None:
    found = estimate_loads(asked_for(tmp_path, {"scoring": "next-token"}))
    assert said(found["hosted"]) == said(found["remote"]) == (QUESTIONS, QUESTIONS)


def test_without_a_limit_there_is_no_most(tmp_path: Path) -> None:
    experts = {**CONTENT["experts"], "delta": {"model": "remote"}}
    load = estimate_loads(asked_for(tmp_path, experts=experts))["remote"]
    assert (load.calls, load.completion_tokens, load.cost_at_most) == (2 * QUESTIONS, None, None)


def prompt_tokens(asked: StudyPlan, expert: str) -> int:
    chosen = Expert(expert, None, asked.asked.experts[expert], asked.shots)  # type: ignore[arg-type]  # nobody asks
    calls = [chosen.make_call(question, Call(())) for question in asked.questions]
    return sum(tokens_of(message.content) for call in calls for message in call.messages)


def test_prompts_are_counted_as_they_will_be_sent(tmp_path: Path) -> None:
    plain, shown = asked_for(tmp_path), asked_for(tmp_path, {"shots": 2})
    assert estimate_loads(plain)["hosted"].prompt_tokens == prompt_tokens(plain, "alpha") > 0
    assert (
        estimate_loads(shown)["hosted"].prompt_tokens == prompt_tokens(shown, "alpha") > prompt_tokens(plain, "alpha")
    )


def test_examples_make_a_classifiers_prompt_longer(tmp_path: Path) -> None:
    def tokens(k: int) -> int:
        classifier = {**CONTENT["classifier"], "k": k}
        return estimate_loads(asked_for(tmp_path, classifier=classifier))["sorter"].prompt_tokens

    alone = tokens(0)
    assert alone < tokens(1) - alone < tokens(4) - alone


def test_the_cost_is_the_price_of_prompts_and_of_the_longest_replies(tmp_path: Path) -> None:
    load = estimate_loads(asked_for(tmp_path))["remote"]
    assert load.cost_at_most == pytest.approx((load.prompt_tokens * 2 + QUESTIONS * 16 * 10) / 1e6)


def test_without_a_price_and_for_what_is_hosted_there_is_no_cost(tmp_path: Path) -> None:
    found = estimate_loads(asked_for(tmp_path, models=with_model("remote", price=None)))
    assert {load.cost_at_most for load in found.values()} == {None}


def test_what_is_free_costs_nothing(tmp_path: Path) -> None:
    free = with_model("remote", price={"input": 0, "output": 0})
    assert estimate_loads(asked_for(tmp_path, models=free))["remote"].cost_at_most == 0


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
    load = estimate_loads(asked_for(tmp_path, models=with_model("hosted", **changes)))["hosted"]
    assert (load.kind, load.gpus, load.nodes_with) == ("vllm", gpus, nodes)


@pytest.mark.parametrize(
    ("name", "gpus"),
    [("paper-set1", 5), ("paper-set1-80gb", 2), ("paper-set2", 1), ("paper-set3", 4), ("paper-set3-80gb", 1)],
)
def test_the_papers_sets_take_the_cards_that_their_files_name(tmp_path: Path, name: str, gpus: float) -> None:
    asked = plan_calls(order_of(tmp_path, Path(name), Path("sample")), name, tmp_path)
    found = estimate_loads(asked)
    assert sum(load.gpus for load in found.values()) == gpus
    assert set(found) == set(asked.profile.models)
    # Four variants of two classifiers.
    calls = (len(asked.profile.experts) + len(asked.profile.study.singles) + 4) * len(asked.questions)
    assert sum(load.calls for load in found.values()) == calls


# As it is shown.


def shown(found: Mapping[str, Load]) -> dict[str, tuple[str, ...]]:
    return {row[0]: row[1:] for row in rows(found)}


def test_a_row_a_model_and_one_for_all() -> None:
    found = {
        "large": Load("vllm", 1000, 2_500_000, 512_000, None, 2.0, "2 × H100, STRICT_PACK"),
        "remote": Load("api", 20, 4000, 100, 1.234),
        "endless": Load("api", 3, 30, None, None),
        "other": Load("api", 7, 70, 7, 2.0),
    }
    assert shown(found) == {
        "large": ("vllm", "1,000", "2,500,000", "512,000", "–", "2 (2 × H100, STRICT_PACK)"),
        "remote": ("api", "20", "4,000", "100", "1.23", "–"),
        "endless": ("api", "3", "30", "no limit", "–", "–"),
        "other": ("api", "7", "70", "7", "2.00", "–"),
        "all": ("", "1,030", "2,504,100", "", "3.23", "2"),
    }
    assert all(len(row) == len(COLUMNS) for row in rows(found))


def test_without_a_price_the_whole_has_no_cost() -> None:
    assert shown({"large": Load("vllm", 1, 1, 1, None, 0.25, "1 × GPU, STRICT_PACK")})["all"][-2:] == ("–", "0.25")


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
    assert tokens_of(text) == tokens


@given(st.text(), st.text())
def test_more_text_is_never_fewer_tokens(first: str, second: str) -> None:
    assert max(tokens_of(first), tokens_of(second)) <= tokens_of(first + second) <= tokens_of(first) + tokens_of(second)
    assert tokens_of(first) <= len(first)


def test_nobody_is_asked_and_nothing_written(tmp_path: Path) -> None:
    profile, data = profile_at(tmp_path), data_at(tmp_path)
    write_csv(data / "english" / "dev" / "Go.csv", [row("one?", 1, "A")])
    estimate_loads(plan_calls(order_of(tmp_path, profile, data), str(profile), tmp_path / "run"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "small.yaml"]

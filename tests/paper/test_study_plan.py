"""Plan of a study: every classifier with and without examples, every expert once, and no leak."""

from pathlib import Path
from typing import Any

import pytest

from coe_ray.analysis.matrix import OWN
from coe_ray.bench.datasets.load import load_benchmark
from coe_ray.core.errors import ConfigError, DataError
from coe_ray.core.types import Call
from coe_ray.paper.study_plan import classifier_variants, plan_study, scenario_label
from coe_ray.profile.profile import load_profile
from coe_ray.routing.pipeline import Expert
from tests.bench.world import row, write_csv
from tests.paper.small_study import CONTENT, DEV, TASKS, make_plan, make_request, write_benchmark, write_profile

CLASSIFIERS: dict[str, Any] = {
    "first": {"model": "hosted", "k": 3, "skip_llm_above": 0.5, "decoding": "free"},
    "second": {"model": "remote", "k": 0},
}


def count_tasks(tasks: list[str | None]) -> dict[str | None, int]:
    return {task: tasks.count(task) for task in dict.fromkeys(tasks)}


def plain_task(name: str) -> dict[str, str]:
    return {"name": name, "description": f"about {name}"}


# Who is plan.


def test_every_expert_and_the_profiles_own_classifier_are_asked(tmp_path: Path) -> None:
    plan = make_plan(tmp_path)
    assert plan.run_profile.experts == plan.profile.experts
    assert list(plan.classifiers) == [OWN, f"{OWN} without RAG"]
    assert [each.profile.classifier.k for each in plan.classifiers.values()] == [2, 0]
    assert (plan.scenarios, plan.shots) == ((), {})
    assert plan.profile == load_profile(tmp_path / "small.yaml")


def test_the_studys_classifiers_take_the_place_of_the_own_one(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, study={"classifiers": CLASSIFIERS})
    assert list(plan.classifiers) == ["first", "first without RAG", "second without RAG"]
    assert list(classifier_variants(plan.profile)) == list(plan.classifiers)
    assert [each.profile.classifier.model for each in plan.classifiers.values()] == ["hosted", "hosted", "remote"]
    assert [each.profile.classifier.k for each in plan.classifiers.values()] == [3, 0, 0]
    assert plan.run_profile.classifier == plan.profile.study.classifiers["first"]


def test_a_cascade_is_asked_itself_and_not_its_neighbours(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, study={"classifiers": CLASSIFIERS})
    assert {each.profile.classifier.skip_llm_above for each in plan.classifiers.values()} == {None}


def test_variants_are_one_a_classifier_without_examples_and_two_with(tmp_path: Path) -> None:
    own = load_profile(write_profile(tmp_path, classifier={"model": "sorter", "k": 0}))
    assert tuple(classifier_variants(own)) == (f"{OWN} without RAG",)
    assert tuple(classifier_variants(load_profile("paper-set1"))) == (
        "classifier-1",
        "classifier-1 without RAG",
        "classifier-2",
        "classifier-2 without RAG",
    )


def test_single_models_are_asked_beside_the_experts_and_are_none_of_the_profile(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, study={"singles": {"large": {"model": "remote"}}})
    assert list(plan.run_profile.experts) == ["alpha", "beta", "gamma", "large"]
    assert list(plan.profile.experts) == ["alpha", "beta", "gamma"]


# Questions and examples


def test_only_questions_of_the_profiles_tasks_are_asked(tmp_path: Path) -> None:
    plan = make_plan(tmp_path)
    assert count_tasks([each.task for each in plan.questions]) == {"Log Parser": 6, "Root Cause Analysis": 4}


def test_examples_are_those_of_the_profiles_tasks_and_lie_in_the_run(tmp_path: Path) -> None:
    for classifier in make_plan(tmp_path).classifiers.values():
        assert count_tasks([each.task for each in classifier.examples]) == {"Log Parser": 3, "Root Cause Analysis": 3}
        assert classifier.index == tmp_path / "run" / "index"


def test_the_benchmarks_other_examples_are_kept_for_classifiers_that_are_moved_here(tmp_path: Path) -> None:
    assert {each.task for each in make_plan(tmp_path).benchmark.examples} == set(TASKS.values())


def test_so_many_of_each_task_and_the_same_for_the_same_seed(tmp_path: Path) -> None:
    first, again, other = (make_plan(tmp_path, {"per_task": 2, "seed": seed}) for seed in (0, 0, 1))
    assert count_tasks([each.task for each in first.questions]) == {"Log Parser": 2, "Root Cause Analysis": 2}
    assert first.questions == again.questions != other.questions
    assert len(make_plan(tmp_path, {"per_task": 99}).questions) == 10


def test_a_profile_without_the_benchmarks_tasks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"profile 'small' has none of the tasks of data \(Log Parser, Root Cause"):
        make_plan(tmp_path, tasks=["opseval"])


def test_a_profile_or_data_that_is_not_there_is_refused(tmp_path: Path) -> None:
    profile, data = write_profile(tmp_path), write_benchmark(tmp_path)
    with pytest.raises(ConfigError, match="no profile 'nowhere'"):
        plan_study(make_request(tmp_path, profile, data), "nowhere", tmp_path)
    with pytest.raises(DataError, match="no benchmark"):
        plan_study(make_request(tmp_path, profile, tmp_path / "nothing"), str(profile), tmp_path)


# Scoring and shots


def test_by_their_text_experts_are_asked_as_their_profile_says(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, {"scoring": "text"})
    assert plan.run_profile.experts == plan.profile.experts


def test_by_their_next_token_language_models_are_scored_and_others_left_alone(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, {"scoring": "next-token"}, study={"singles": {"large": {"model": "remote"}}})
    experts = plan.run_profile.experts
    assert {name: each.prompt for name, each in experts.items()} == {
        "alpha": "next-token",
        "beta": "next-token",
        "gamma": "direct",
        "large": "next-token",
    }
    assert not experts["beta"].constrained
    assert experts["gamma"] == plan.profile.experts["gamma"]
    assert plan.profile.experts["alpha"].prompt == "step-by-step"
    for classifier in plan.classifiers.values():
        assert classifier.profile.experts == plan.profile.experts


def test_an_expert_on_a_scenarios_own_model_is_scored_as_the_others_are(tmp_path: Path) -> None:
    change = {"models": {"new": CONTENT["models"]["remote"]}, "experts": {"delta": {"model": "new"}}}
    plan = make_plan(tmp_path, {"scoring": "next-token"}, study={"scenarios": {"more": {"change": change}}})
    assert plan.run_profile.experts["delta"].prompt == "next-token"
    assert "new" in plan.run_profile.models


def test_shots_are_the_first_solved_examples_of_the_questions_category(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, {"shots": 2})
    assert set(plan.shots) == {f"english/{name}" for name in TASKS}
    assert [each.text for each in plan.shots["english/LogParser"]] == [
        "dev case 0 of LogParser?",
        "dev case 1 of LogParser?",
    ]
    assert all(question.category in plan.shots for question in plan.questions)
    expert = Expert("alpha", None, plan.run_profile.experts["alpha"], plan.shots)  # type: ignore[arg-type]  # nobody asks
    assert len(expert.make_call(plan.questions[0], Call(())).messages) == 2 + 2 * 2


def test_of_fewer_solved_examples_than_wanted_all_are_shown(tmp_path: Path) -> None:
    assert [len(each) for each in make_plan(tmp_path, {"shots": 5}).shots.values()] == [3, 3, 3]


def test_an_example_without_an_answer_is_no_shot(tmp_path: Path) -> None:
    data = write_benchmark(tmp_path)
    rows = [row("unsolved?", 0, "A,B"), row("solved?", 1, "C")]
    write_csv(data / "english" / "dev" / "LogParser.csv", rows)
    profile = write_profile(tmp_path)
    plan = plan_study(make_request(tmp_path, profile, data, shots=2), str(profile), tmp_path)
    assert [(each.text, each.answer) for each in plan.shots["english/LogParser"]] == [("solved?", "C")]


def test_without_a_solved_example_there_are_no_shots_to_show(tmp_path: Path) -> None:
    data = write_benchmark(tmp_path, dev={})
    profile = write_profile(tmp_path)
    with pytest.raises(ConfigError, match="--shots 3: data has no solved examples in its dev split"):
        plan_study(make_request(tmp_path, profile, data, shots=3), str(profile), tmp_path)
    assert plan_study(make_request(tmp_path, profile, data), str(profile), tmp_path).shots == {}


# Leaks


@pytest.fixture
def leaking(tmp_path: Path) -> Path:
    """A benchmark with a scored question, in other spelling, among its examples."""
    data = write_benchmark(tmp_path)
    rows = [row(f"dev case {n} of LogParser?", n, "A") for n in range(DEV["LogParser"])]
    leak = row("  TEST case 2, of LogParser ？", 2, "B")
    write_csv(data / "english" / "dev" / "LogParser.csv", [*rows, [*leak[:2], *reversed(leak[2:6]), "B"]])
    return data


def test_a_scored_question_among_the_examples_is_refused(tmp_path: Path, leaking: Path) -> None:
    profile = write_profile(tmp_path)
    with pytest.raises(DataError, match=r"1 of 10 scored questions are in the labelled examples(.|\n)*case 2 of LogP"):
        plan_study(make_request(tmp_path, profile, leaking), str(profile), tmp_path)


def test_what_is_not_scored_leaks_nothing(tmp_path: Path, leaking: Path) -> None:
    profile = write_profile(tmp_path, tasks=["devops-eval-b"])
    assert plan_study(make_request(tmp_path, profile, leaking), str(profile), tmp_path).questions
    profile = write_profile(tmp_path)
    benchmark = load_benchmark(leaking)
    drawn = (
        plan_study(
            make_request(tmp_path, profile, leaking, per_task=1, seed=seed, leave_out_leaks=True),
            str(profile),
            tmp_path,
        )
        for seed in range(30)
    )
    for each in drawn:
        scored = any("case 2 of LogParser" in question.text for question in each.questions)
        assert len(each.benchmark.examples) == len(benchmark.examples) - scored


def test_leaks_can_be_left_out_of_everything_that_is_made_of_examples(tmp_path: Path, leaking: Path) -> None:
    profile = write_profile(tmp_path)
    plan = plan_study(make_request(tmp_path, profile, leaking, leave_out_leaks=True, shots=9), str(profile), tmp_path)
    assert len(plan.questions) == 10
    for examples in (
        plan.benchmark.examples,
        plan.shots["english/LogParser"],
        *(classifier.examples for classifier in plan.classifiers.values()),
    ):
        texts = [each.text for each in examples]
        assert not any("TEST" in text for text in texts)
        assert sum("LogParser" in text for text in texts) == 3


# Scenarios


def test_a_scenario_has_labels_of_its_own_over_its_tasks_and_examples(tmp_path: Path) -> None:
    change = {"tasks": [plain_task("Parsing"), plain_task("Root Cause Analysis")]}
    scenario = {"change": change, "relabel": {"Log Parser": "Parsing"}}
    plan = make_plan(tmp_path, study={"scenarios": {"renamed": scenario}})
    label = scenario_label(OWN, "renamed")
    assert label == "classifier @ renamed"
    assert list(plan.classifiers) == [
        "classifier",
        "classifier without RAG",
        label,
        scenario_label(f"{OWN} without RAG", "renamed"),
    ]
    classifier = plan.classifiers[label]
    assert [task.name for task in classifier.profile.task_list] == ["Parsing", "Root Cause Analysis"]
    assert count_tasks([each.task for each in classifier.examples]) == {"Parsing": 3, "Root Cause Analysis": 3}
    assert classifier.index == tmp_path / "run" / "index-renamed"
    assert {each.task for each in plan.questions} == {"Log Parser", "Root Cause Analysis"}
    assert plan.benchmark.examples == load_benchmark(tmp_path / "data").examples


def test_questions_that_only_a_scenario_has_a_task_for_are_asked_too(tmp_path: Path) -> None:
    change = {"tasks": ["devops-eval-a", "devops-eval-b"]}
    plan = make_plan(tmp_path, study={"scenarios": {"wider": {"change": change}}})
    assert count_tasks([each.task for each in plan.questions]) == {"Log Parser": 6, "Root Cause Analysis": 4, "Test": 3}
    assert [task.name for task in plan.run_profile.task_list] == [task.name for task in plan.profile.task_list]


def test_a_scenario_alone_can_have_the_benchmarks_tasks(tmp_path: Path) -> None:
    relabel = {"english/UnitTesting": "Storage"}
    scenario = {"change": {"tasks": [plain_task("Storage")]}, "relabel": relabel}
    plan = make_plan(tmp_path, tasks=["opseval"], study={"scenarios": {"moved": scenario}})
    assert count_tasks([each.task for each in plan.questions]) == {"Test": 3}


def test_an_expert_that_a_scenario_changes_is_a_further_expert_of_the_run(tmp_path: Path) -> None:
    change = {"experts": {"alpha": {"prompt": "direct"}, "beta": None}}
    plan = make_plan(tmp_path, study={"scenarios": {"short": {"change": change}}})
    assert list(plan.run_profile.experts) == ["alpha", "beta", "gamma", "alpha @ short"]
    assert (plan.run_profile.experts["alpha @ short"].prompt, plan.run_profile.experts["alpha"].prompt) == (
        "direct",
        "step-by-step",
    )

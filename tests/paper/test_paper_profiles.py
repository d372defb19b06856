"""The paper's four expert sets as they are shipped: the paper's experts and tasks, and cards that hold the models."""

import pytest

from coe_ray.paper.published import TABLES
from coe_ray.profile.loading import shipped_profiles
from coe_ray.profile.models import ApiModel, VllmModel
from coe_ray.profile.profile import Profile, load_profile
from coe_ray.profile.tasks import TASK_SETS
from coe_ray.serve.hosting import vllm as models
from coe_ray.serve.hosting.vllm import llm_config
from tests.paper.paper_facts import CLASSIFIERS, EXPERTS, NAMES, TABLE_SETS, TASKS

PAPER = [name for name in shipped_profiles() if name.startswith("paper-set")]
TABLE = {1: "III", 2: "IV", 3: "V", 4: "VI"}
CARD_GB, WEIGHTS_GB = {"24": 24, "80": 80}, 15.3
"""Memory of a card, and what 7.6 billion weights take of it in bfloat16."""


def number(name: str) -> int:
    return int(name.removeprefix("paper-set")[0])


def hosted(profile: Profile) -> dict[str, VllmModel]:
    return {name: model for name, model in profile.models.items() if isinstance(model, VllmModel)}


def every_hosted() -> list[tuple[str, str]]:
    return [(name, model) for name in PAPER for model in hosted(load_profile(name))]


@pytest.fixture(autouse=True)
def no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is downloaded or converted."""
    monkeypatch.setattr(models, "locate_weights", lambda weights: f"located {weights.hub}")


def test_all_four_sets_are_shipped_and_those_of_local_models_for_large_cards_too() -> None:
    assert sorted(PAPER) == sorted([*(f"paper-set{n}" for n in (1, 2, 3, 4)), "paper-set1-80gb", "paper-set3-80gb"])


@pytest.mark.parametrize("name", PAPER)
def test_the_experts_are_the_rows_of_their_table(name: str) -> None:
    numeral = TABLE[number(name)]
    _, experts = TABLE_SETS[numeral]
    assert experts == number(name)
    assert set(load_profile(name).experts) == {row for row in TABLES[numeral].rows if not row.startswith("coe/")}
    assert set(EXPERTS[experts].values()) <= set(load_profile(name).experts)


@pytest.mark.parametrize("name", PAPER)
def test_the_tasks_are_those_of_its_table(name: str) -> None:
    task_set, _ = TABLE_SETS[TABLE[number(name)]]
    assert tuple(task.name for task in load_profile(name).task_list) == TASKS[task_set]


@pytest.mark.parametrize("name", PAPER)
def test_the_classifiers_are_the_papers_two_and_one_of_them_serves(name: str) -> None:
    profile = load_profile(name)
    assert set(profile.study.classifiers) == set(CLASSIFIERS)
    # A live question's patience is no part of a study.
    studied = [each.model_copy(update={"live_timeout_s": 0}) for each in profile.study.classifiers.values()]
    assert profile.classifier.model_copy(update={"live_timeout_s": 0}) in studied
    first = profile.models[profile.study.classifiers["classifier-1"].model]
    assert isinstance(first, VllmModel)
    assert first.weights.hub.endswith(CLASSIFIERS["classifier-1"])
    second = profile.models[profile.study.classifiers["classifier-2"].model]
    assert isinstance(second, ApiModel)
    assert second.model.startswith("deepseek/")


@pytest.mark.parametrize("name", PAPER)
def test_the_classifiers_see_examples_speak_freely_and_none_is_a_cascade(name: str) -> None:
    for config in load_profile(name).study.classifiers.values():
        assert (config.k, config.decoding, config.skip_llm_above) == (4, "free", None)


@pytest.mark.parametrize("name", PAPER)
def test_the_larger_model_is_asked_where_the_paper_asks_it(name: str) -> None:
    tables = [TABLES[numeral] for numeral, (_, experts) in TABLE_SETS.items() if experts == number(name)]
    singles = [NAMES["single"].lower()] if any("single" in table.rows for table in tables) else []
    assert list(load_profile(name).study.singles) == singles


@pytest.mark.parametrize("name", PAPER)
def test_a_moved_classifiers_tasks_are_of_the_other_set_and_become_tasks_of_this_one(name: str) -> None:
    profile = load_profile(name)
    own = {task.name for task in profile.task_list}
    every = {task.name for key in ("devops-eval-a", "devops-eval-b") for task in TASK_SETS[key]}
    assert profile.study.transfer
    assert set(profile.study.transfer) <= every - own
    assert set(profile.study.transfer.values()) <= own


@pytest.mark.parametrize("name", PAPER)
def test_served_needs_no_model_that_is_only_studied(name: str) -> None:
    profile = load_profile(name)
    needed = {*(expert.model for expert in profile.experts.values()), profile.classifier.model}
    assert set(profile.without_study.models) == needed
    assert profile.experts == profile.without_study.experts


@pytest.mark.parametrize("name", PAPER)
def test_every_model_is_asked_in_the_study_and_each_expert_has_its_own(name: str) -> None:
    profile = load_profile(name)
    study = profile.study
    asked = [each.model for section in (profile.experts, study.singles, study.classifiers) for each in section.values()]
    assert set(asked) == set(profile.models)
    assert len({expert.model for expert in profile.experts.values()}) == len(profile.experts)


@pytest.mark.parametrize(
    ("name", "gpus"),
    [
        ("paper-set1", [1, 1, 1, 1, 1]),
        ("paper-set2", [1]),
        ("paper-set3", [1, 1, 1, 1]),
        ("paper-set4", [1]),
        ("paper-set1-80gb", [0.25, 0.25, 0.25, 0.25, 1]),
        ("paper-set3-80gb", [0.25, 0.25, 0.25, 0.25]),
    ],
)
def test_the_cards_are_as_many_as_the_file_says(name: str, gpus: list[float]) -> None:
    models = hosted(load_profile(name))
    parts = sorted(bundle["GPU"] for model in models.values() for bundle in model.bundles)
    assert parts == sorted(gpus)
    assert sum(part for part in parts if part < 1) <= 1  # who shares a card shares one
    assert all((model.scaling.min_replicas, model.scaling.max_replicas) == (1, 1) for model in models.values())


@pytest.mark.parametrize(("profile", "model"), every_hosted())
def test_ray_accepts_a_hosted_model_and_its_weights_fit_into_its_part_of_the_card(profile: str, model: str) -> None:
    config = llm_config(model, hosted(load_profile(profile))[model])
    assert config.model_id == model
    assert config.placement_group_config["bundle_per_worker"]["GPU"] <= 1
    card = CARD_GB["80" if profile.endswith("-80gb") else "24"]
    share = config.engine_kwargs["gpu_memory_utilization"]
    assert share <= hosted(load_profile(profile))[model].bundle["GPU"]
    assert share * card > WEIGHTS_GB + 2  # the rest is for the key-value cache


@pytest.mark.parametrize("name", PAPER)
def test_what_shares_a_card_wants_no_more_than_all_its_memory(name: str) -> None:
    shared = {key: model for key, model in hosted(load_profile(name)).items() if model.bundle["GPU"] < 1}
    assert sum(llm_config(key, model).engine_kwargs["gpu_memory_utilization"] for key, model in shared.items()) <= 1


@pytest.mark.parametrize(("profile", "model"), every_hosted())
def test_prompt_and_reply_fit_into_the_context(profile: str, model: str) -> None:
    """A classifier's prompt is the list, four examples of up to 1,200 characters and a question: some 2,500 tokens."""
    of = load_profile(profile)
    study = of.study
    longest = max(
        each.settings.max_tokens or 0
        for section in (of.experts, study.singles, study.classifiers)
        for each in section.values()
        if each.model == model
    )
    assert longest
    assert hosted(of)[model].engine["max_model_len"] >= longest + 3500


@pytest.mark.parametrize("name", ["paper-set1", "paper-set3"])
def test_large_cards_change_the_cards_and_nothing_that_is_asked(name: str) -> None:
    small, large = load_profile(name), load_profile(f"{name}-80gb")
    assert large.extends == name
    for section in ("tasks", "experts", "classifier", "retrieval", "study"):
        assert getattr(large, section) == getattr(small, section)
    assert {key: model.weights for key, model in hosted(large).items()} == {
        key: model.weights for key, model in hosted(small).items()
    }

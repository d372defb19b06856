"""Results of a run. The bill: totals over models, and a cost only where the profile gives a price."""

import pytest

from coe_ray.bench.results import make_bill
from coe_ray.journal.audit import Audit
from coe_ray.profile.models import ApiModel, Price
from coe_ray.profile.profile import load_profile

PROFILE = load_profile("api")
PRICED = PROFILE.model_copy(
    update={
        "models": {
            name: model.model_copy(update={"price": Price(input=2.0, output=10.0)}) if name == "glm-4" else model
            for name, model in PROFILE.models.items()
            if isinstance(model, ApiModel)
        }
    }
)
ONE = Audit(3, 2, 1, 1, 1, 4, 1, 1_000_000, 500_000)
OTHER = Audit(10, 10, 0, 0, 0, 0, 0, 70, 7)


def test_models_are_added_up_and_told_apart() -> None:
    calls = make_bill({"glm-4": ONE, "codestral": OTHER}, PROFILE)
    assert (calls["issued"], calls["completed"], calls["reused"], calls["abandoned"]) == (13, 12, 1, 1)
    assert (calls["prompt_tokens"], calls["completion_tokens"]) == (1_000_070, 500_007)
    assert calls["by_model"]["codestral"]["issued"] == 10
    assert calls["cost"] is None
    assert calls["by_model"]["glm-4"]["cost"] is None


def test_a_price_is_for_a_million_tokens() -> None:
    calls = make_bill({"glm-4": ONE, "codestral": OTHER}, PRICED)
    assert calls["by_model"]["glm-4"]["cost"] == calls["cost"] == pytest.approx(2.0 + 5.0)
    assert calls["by_model"]["codestral"]["cost"] is None


def test_no_call_is_no_cost() -> None:
    assert make_bill({}, PRICED)["issued"] == 0
    assert make_bill({}, PRICED)["cost"] is None


def test_a_model_of_another_profile_has_no_price() -> None:
    assert make_bill({"gone": ONE}, PRICED)["by_model"]["gone"]["cost"] is None

"""The published schemas, held against what the endpoint writes."""

import orjson
import pytest
from pydantic import ValidationError

from coe_ray.core.types import Classification, Neighbour
from coe_ray.routing.router import choose_expert
from coe_ray.serve.api.openai import RequestError, route_object
from coe_ray.serve.api.schemas import Decision, Error
from tests.support.planted import BOARD

NEAR = Neighbour("1", "one?", "Build", 0.5, 1.0)


def test_an_error_object_is_as_it_says() -> None:
    Error.model_validate(RequestError(404, "no model", param="model", code="model_not_found").content())
    Error.model_validate(RequestError(500, "internal error").content())
    with pytest.raises(ValidationError):
        Error.model_validate({"detail": "Not Found"})


@pytest.mark.parametrize("by", ["llm", "neighbours", "client", "conversation"])
def test_a_route_is_as_it_says(by: str) -> None:
    classification = Classification("Build", "rule", "raw", 0.5, (NEAR,), by, fallback="CallTimeout")  # type: ignore[arg-type]
    route = route_object(choose_expert(classification, BOARD))
    content = orjson.loads(orjson.dumps({**route, "version": "v", "stages": {"route": 0.1}}))
    assert Decision.model_validate(content).model_dump(mode="json") == content


def test_a_source_of_the_task_that_it_does_not_name_is_refused() -> None:
    route = route_object(choose_expert(Classification("Build", "rule", "raw", 0.5), BOARD))
    route["classifier"]["by"] = "chance"
    with pytest.raises(ValidationError):
        Decision.model_validate({**route, "version": "v", "stages": {}})

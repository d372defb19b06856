"""The error tree: whole across process borders, as drawn, and speaking plainly."""

import inspect
import pickle
import re

import pytest

from coe_ray.core import errors
from coe_ray.core.errors import CallError, CoeError, RateLimited, call_error

CLASSES = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, CoeError)]
CALL_ERRORS = [kind for kind in CLASSES if issubclass(kind, CallError)]
TREE = errors.__doc__ or ""


@pytest.mark.parametrize("kind", CALL_ERRORS)
def test_a_call_error_survives_pickling_with_every_field(kind: type[CallError]) -> None:
    error = kind("glm", "no luck", status=429, retry_after=1.5, attempts=3, body="{}")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert (
        vars(again)
        == vars(error)
        == {
            "model": "glm",
            "message": "no luck",
            "status": 429,
            "retry_after": 1.5,
            "attempts": 3,
            "tried": (),
            "body": "{}",
        }
    )
    assert str(again) == str(error)


@pytest.mark.parametrize("kind", [kind for kind in CLASSES if kind not in CALL_ERRORS])
def test_other_errors_survive_pickling_with_their_message(kind: type[CoeError]) -> None:
    assert str(pickle.loads(pickle.dumps(kind("what, where, what to do")))) == "what, where, what to do"


def test_the_drawing_names_every_class_and_no_other() -> None:
    assert sorted(re.findall(r"^[│├└─ ]*(\w+)", TREE.partition("\n\n")[2], re.MULTILINE)) == sorted(
        kind.__name__ for kind in CLASSES
    )


@pytest.mark.parametrize("kind", CALL_ERRORS)
def test_the_drawing_says_retried_exactly_of_the_retryable(kind: type[CallError]) -> None:
    line = next(line for line in TREE.splitlines() if re.search(rf"\b{kind.__name__}\b", line))
    assert line.endswith("(retried)") is kind.retryable
    assert line.endswith("(stops the model)") is kind.stops


@pytest.mark.parametrize("kind", CALL_ERRORS)
def test_a_call_error_written_down_by_name_comes_back_whole(kind: type[CallError]) -> None:
    error = kind("glm", "no luck", status=429, retry_after=1.5, attempts=3, body="{}")
    again = call_error(kind.__name__, error.model, error.message, error.fields())
    assert type(again) is kind
    assert vars(again) == vars(error)


def test_a_class_that_is_gone_comes_back_as_a_call_error() -> None:
    assert type(call_error("Forgotten", "glm", "no luck", {})) is CallError


@pytest.mark.parametrize("kind", CLASSES)
def test_every_class_says_what_it_means(kind: type[CoeError]) -> None:
    assert kind.__doc__


def test_a_call_errors_message_names_the_model_and_the_tries() -> None:
    assert str(RateLimited("glm", "too fast")) == "model 'glm': too fast"
    assert str(RateLimited("glm", "too fast", attempts=6)) == "model 'glm': too fast after 6 attempts"

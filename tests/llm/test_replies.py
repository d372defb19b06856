"""The first token's alternatives out of a reply: those that can be, and none out of what cannot be read."""

from typing import Any

import orjson
import pytest

from coe_ray.core.types import Delta, Usage
from coe_ray.llm.faults import FaultClassifier
from coe_ray.llm.provider_key import ProviderKey
from coe_ray.llm.replies import completion_deltas, read_completion
from coe_ray.llm.retry import Timeouts
from tests.support.model_under_test import FAULTS, KEY

ALTERNATIVES = [
    {"token": " B", "logprob": -1.5, "bytes": [32, 66]},
    {"token": "A", "logprob": -0.25},
    {"token": "The", "logprob": -9999},
]


def reply(**choice: Any) -> bytes:
    return orjson.dumps({"choices": [{"message": {"content": "A"}, "finish_reason": "length", **choice}]})


def told(alternatives: object) -> bytes:
    return reply(logprobs={"content": [{"token": "A", "logprob": -0.25, "top_logprobs": alternatives}]})


def test_the_alternatives_to_the_first_token_come_likeliest_first() -> None:
    completion = read_completion(FAULTS, told(ALTERNATIVES))
    assert completion.first_token == (("A", -0.25), (" B", -1.5), ("The", -9999.0))
    assert (completion.text, completion.finish_reason, completion.usage) == ("A", "length", Usage())


def test_only_the_first_token_counts() -> None:
    first = {"token": "A", "top_logprobs": ALTERNATIVES[:1]}
    second = {"token": ".", "top_logprobs": ALTERNATIVES}
    assert read_completion(FAULTS, reply(logprobs={"content": [first, second]})).first_token == ((" B", -1.5),)


NO_TOKENS: tuple[object, ...] = (None, [], {}, "A", [None], [5], ["A"], [[]], [{}], [{"token": "A"}])


@pytest.mark.parametrize(
    "logprobs",
    [
        *(None, 5, True, "A", [], [ALTERNATIVES], {}),
        *({"content": content} for content in NO_TOKENS),
        # The form of older completions.
        {"tokens": ["A"], "token_logprobs": [-0.25], "top_logprobs": [{"A": -0.25}]},
    ],
    ids=str,
)
def test_an_answer_counts_though_no_alternatives_were_told(logprobs: object) -> None:
    completion = read_completion(FAULTS, reply(logprobs=logprobs))
    assert (completion.text, completion.first_token) == ("A", ())


NO_CHANCES: tuple[object, ...] = (None, True, 0.5, 2**63, [], {})


@pytest.mark.parametrize(
    "alternatives",
    [
        *(None, 0, 5, 1.5, True, False, "AB", {}, {"A": -0.25}, {"token": "A", "logprob": -0.25}, []),
        *([None, 5, "A", [], {}], [{"token": "A"}], [{"logprob": -1.0}], [{"token": 5, "logprob": -1.0}]),
        *([{"token": "A", "logprob": chance}] for chance in (*NO_CHANCES, "-1")),
    ],
    ids=str,
)
def test_alternatives_that_cannot_be_are_none(alternatives: object) -> None:
    completion = read_completion(FAULTS, told(alternatives))
    assert (completion.text, completion.first_token) == ("A", ())


def test_one_broken_alternative_takes_no_other_with_it() -> None:
    broken = [None, {"token": "A", "logprob": 5}, *ALTERNATIVES, {"token": None, "logprob": -1.0}]
    assert len(read_completion(FAULTS, told(broken)).first_token) == len(ALTERNATIVES)


def test_a_refusal_may_have_alternatives_and_stays_a_refusal() -> None:
    body = reply(message={"refusal": "no"}, logprobs={"content": [{"top_logprobs": ALTERNATIVES}]})
    completion = read_completion(FAULTS, body)
    assert (completion.refusal, len(completion.first_token)) == ("no", 3)


def test_a_key_that_an_endpoint_says_as_a_token_goes_no_further() -> None:
    body = told([{"token": f"<{KEY}>", "logprob": -1.0}, {"token": "A", "logprob": -2.0}])
    assert read_completion(FAULTS, body).first_token == (("<***>", -1.0), ("A", -2.0))
    keyless = FaultClassifier("expert-a", ProviderKey(None), Timeouts())
    assert read_completion(keyless, told(ALTERNATIVES)).first_token[0] == ("A", -0.25)


def test_alternatives_are_no_part_of_a_stream() -> None:
    assert list(completion_deltas(read_completion(FAULTS, told(ALTERNATIVES)))) == [
        Delta("A"),
        Delta("", "length", Usage()),
    ]

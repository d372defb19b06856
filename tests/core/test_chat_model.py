"""The scripted model: the first rule that fits speaks, failures are failures, streams carry the whole text."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe_ray.core.chat_model import ChatModel, ScriptedModel, ScriptRule, stream_completion
from coe_ray.core.errors import CoeError, ServerFault
from coe_ray.core.types import Call, Completion, Delta, Message, Usage
from tests.support.planted import Listener

MODEL = ScriptedModel(
    "script",
    [
        ScriptRule(re.compile("disk (\\w+)"), r"the disk is \1"),
        ScriptRule(re.compile("outage"), "out of order", fails=True),
        ScriptRule(re.compile("disk"), "too late"),
    ],
)


def asked(text: str) -> Call:
    return Call((Message("system", "disk full"), Message("user", text)))


async def test_the_first_rule_that_fits_the_last_message_speaks() -> None:
    assert await MODEL.complete(asked("my disk slow?")) == Completion("the disk is slow", usage=Usage(3, 4))


async def test_a_failing_rule_is_a_failed_call_that_names_the_model() -> None:
    with pytest.raises(ServerFault, match="model 'script': out of order"):
        await MODEL.complete(asked("outage"))


async def test_a_script_without_a_fitting_rule_is_no_outage() -> None:
    with pytest.raises(CoeError, match="no rule for: 'net'") as error:
        await MODEL.complete(asked("net"))
    assert type(error.value) is CoeError


@given(st.text())
async def test_a_streams_pieces_are_the_text(text: str) -> None:
    model = ScriptedModel("script", [ScriptRule(re.compile(""), text.replace("\\", "\\\\"))])
    deltas = [delta async for delta in model.stream(asked(""))]
    assert "".join(delta.text for delta in deltas) == text
    assert [delta.finish_reason for delta in deltas] == [None] * (len(deltas) - 1) + ["stop"]


async def test_a_model_without_pieces_streams_its_answer_whole() -> None:
    deltas = [delta async for delta in stream_completion(Listener("whole", "yes"), asked("?"))]
    assert deltas == [Delta("yes", "stop", Usage())]


def test_scripted_and_test_models_are_chat_models() -> None:
    assert isinstance(MODEL, ChatModel)
    assert isinstance(Listener("whole", ""), ChatModel)

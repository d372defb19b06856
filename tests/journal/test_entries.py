"""Lines of the journal: every field survives, wrong lines are none, and the key is all that decides the answer."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coe_ray.core.errors import BadCall, CallError
from coe_ray.core.types import Call, Completion, Message, Question, SamplingParams, Usage
from coe_ray.journal.audit import audit_calls
from coe_ray.journal.entries import Part, call_key, finished_line, issued_line, parse_entry, prompt_hash, reused_line
from coe_ray.journal.journal import Journal
from tests.support.journal_world import ANSWER, IDENTITY, IN_ONE_FOLDER, call, found, key, shown


@pytest.mark.parametrize(
    "line",
    [
        {"key": "00", "model": "m", "at": 1.0, "answer": {"text": "x"}},
        {"key": key("one").hex(), "model": "m", "at": "soon", "answer": {"text": "x"}},
        {"key": key("one").hex(), "model": "m", "at": 1.0, "answer": {"text": None}},
        {"key": key("one").hex(), "model": "m", "at": 1.0, "answer": "x"},
        {"key": key("one").hex(), "model": "m", "at": 1.0, "failure": {"error": "ServerFault"}},
        {"key": key("one").hex(), "model": "m", "at": 1.0},
        {"key": key("one").hex(), "at": 1.0, "answer": {"text": "x"}},
        {"key": key("one").hex(), "model": "m", "at": True, "answer": {"text": "x"}},
        {"key": key("one").hex(), "model": "m", "at": 1.0, "answer": {"text": "x", "attempts": 2**63}},
        {"key": key("one").hex(), "model": "m", "at": 1.0, "failure": {"error": "A", "message": "", "attempts": "3"}},
        {"issued": key("one").hex(), "model": {}, "at": 1.0},
        {"issued": key("one").hex(), "model": None, "at": 1.0},
        {"issued": 5, "model": "m", "at": 1.0},
        {"something": "else"},
    ],
)
def test_a_line_that_lacks_what_a_record_needs_is_none(
    tmp_path: Path, line: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "old.jsonl").write_bytes(orjson.dumps(line) + b"\n")
    assert found(Journal.open(tmp_path), ["one"]) == []
    assert "1 lines are no entries and were left out, the first at byte 0" in caplog.text


LINES = tuple(
    orjson.loads(line)
    for line in (
        issued_line(key("one"), "model-a", prompt_hash(call("one"))),
        finished_line(key("one"), "model-a", 1.0, replace(ANSWER, first_token=(("A", -0.25), (" B", -1.5)))),
        finished_line(key("one"), "model-a", 1.0, BadCall("model-a", "no", status=400, retry_after=2.0, body="{}")),
        reused_line(key("one"), "model-a"),
    )
)


PATHS = [
    (number, outer, inner)
    for number, line in enumerate(LINES)
    for outer, value in line.items()
    for inner in (None, *(value if isinstance(value, dict) else ()))
]


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["text", "error", ""]), inner),
    max_leaves=4,
)


@settings(IN_ONE_FOLDER, max_examples=300)
@given(path=st.sampled_from(PATHS), value=ANY_JSON)
def test_a_line_of_the_wrong_types_is_none_or_right(
    tmp_path: Path, path: tuple[int, str, str | None], value: object
) -> None:
    number, outer, inner = path
    wrong = deepcopy(LINES[number])
    if inner is None:
        wrong[outer] = value
    else:
        wrong[outer][inner] = value
    segment = tmp_path / "run-host-1-00000000.jsonl"
    segment.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in (wrong, LINES[0])))
    journal = Journal.open(tmp_path)
    outcome = journal.find(key("one"))
    journal.close()
    assert outcome is None or parse_entry(finished_line(key("one"), "model-a", 1.0, outcome))
    counts = audit_calls(tmp_path)
    assert counts["model-a"].issued >= 1
    assert orjson.dumps(counts)


@pytest.mark.parametrize("usage", [None, 3, [], {}, {"prompt_tokens": "7"}, {"prompt_tokens": True}])
def test_an_answer_counts_though_its_tokens_do_not(tmp_path: Path, usage: object) -> None:
    line = {"key": key("one").hex(), "model": "m", "at": 1.0, "answer": {"text": "x", "usage": usage}}
    (tmp_path / "old.jsonl").write_bytes(orjson.dumps(line) + b"\n")
    assert Journal.open(tmp_path).find(key("one")) == Completion("x")


def test_an_answer_of_a_journal_that_knew_no_first_tokens_has_none(tmp_path: Path) -> None:
    answer = {"text": "A", "finish_reason": "stop", "usage": {"prompt_tokens": 3, "completion_tokens": 1}}
    old = {"key": key("one").hex(), "model": "m", "at": 1.0, "answer": {**answer, "refusal": None, "attempts": 1}}
    (tmp_path / "old.jsonl").write_bytes(orjson.dumps(old) + b"\n")
    assert Journal.open(tmp_path).find(key("one")) == Completion("A", usage=Usage(3, 1), first_token=())


@pytest.mark.parametrize("tokens", [None, 5, "A", {}, {"A": -1.0}, [], [["A"]], [["A", 0.5]], [[1, -1.0]], [None]])
def test_an_answer_counts_though_its_first_tokens_do_not(tmp_path: Path, tokens: object) -> None:
    line = {"key": key("one").hex(), "model": "m", "at": 1.0, "answer": {"text": "x", "first_token": tokens}}
    (tmp_path / "old.jsonl").write_bytes(orjson.dumps(line) + b"\n")
    assert Journal.open(tmp_path).find(key("one")) == Completion("x")


def test_an_impossible_token_is_lost_and_nothing_with_it() -> None:
    # JSON knows no infinity.
    line = finished_line(key("one"), "m", 1.0, Completion("A", first_token=(("A", -0.5), ("B", float("-inf")))))
    record = parse_entry(line)
    assert record is not None
    assert record.outcome == Completion("A", first_token=(("A", -0.5),))


def test_records_of_another_version_are_read_as_far_as_they_are_known(tmp_path: Path) -> None:
    head = {"model": "m", "at": 1.0}
    answer = {"text": "x", "mood": "good", "usage": {"prompt_tokens": 3, "cached_tokens": 2}}
    failure = {"error": "GoneSince", "message": "no", "mood": "bad", "attempts": 4}
    lines = [{"key": key("one").hex(), "answer": answer, **head}, {"key": key("two").hex(), "failure": failure, **head}]
    (tmp_path / "old.jsonl").write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    journal = Journal.open(tmp_path)
    assert journal.find(key("one")) == Completion("x", usage=Usage(3))
    assert shown(journal.find(key("two"))) == shown(CallError("m", "no", attempts=4))


def test_the_key_is_made_of_all_that_decides_the_answer() -> None:
    original = call("Which?")
    others = [
        *(call_key({**IDENTITY, name: "other"}, original) for name in IDENTITY),
        call_key({**IDENTITY, "more": 1}, original),
        *(call_key(IDENTITY, other) for other in different(original)),
    ]
    assert len({call_key(IDENTITY, original), *others}) == len(others) + 1


def different(original: Call) -> list[Call]:
    system, user = original.messages
    question = Question("id", "text")
    return [
        replace(original, messages=(system, replace(user, content="What?"))),
        replace(original, messages=(system, replace(user, role="assistant"))),
        replace(original, messages=(user, system)),
        replace(original, messages=(Message("system", "Be brief.Which?"),)),
        replace(original, choices=("A",)),
        replace(original, choices=("A", "B")),
        replace(original, choices=("AB",)),
        replace(original, settings=SamplingParams(temperature=0.5)),
        replace(original, settings=original.settings.merge(SamplingParams(seed=1))),
        replace(original, settings=original.settings.merge(SamplingParams(temperature=0.0))),
        replace(original, top_logprobs=1),
        replace(original, top_logprobs=20),
        replace(original, question=question),
        replace(original, question=replace(question, id="other")),
    ]


def test_equal_calls_have_one_key() -> None:
    backwards = dict(reversed(IDENTITY.items()))
    assert call_key(backwards, call("Which?")) == key("Which?")
    assert len(key("Which?")) == 16
    original = replace(call("Which?"), question=Question("id", "text"))
    assert call_key(IDENTITY, original) == call_key(IDENTITY, replace(original, question=Question("id", "changed")))


@pytest.mark.parametrize("reads", [frozenset[Part](), frozenset[Part]({"choices"}), frozenset[Part]({"question"})])
def test_only_what_the_model_reads_is_in_the_key(reads: frozenset[Part]) -> None:
    original = call("Which?")
    changes: dict[Part, Call] = {
        "choices": replace(original, choices=("A",)),
        "question": replace(original, question=Question("id", "text")),
    }
    for part, changed in changes.items():
        assert (call_key(IDENTITY, changed, reads) != key("Which?")) == (part in reads)


@given(one=st.text(), other=st.text(), turn=st.booleans())
def test_no_two_prompts_share_a_key(one: str, other: str, turn: bool) -> None:
    first = Call((Message("user", one), Message("user", other)))
    second = Call((Message("user", other), Message("user", one))) if turn else Call((Message("user", one + other),))
    assert (call_key(IDENTITY, first) == call_key(IDENTITY, second)) == (first == second)

"""What is written down is found again, by this process and by the next; what is broken is left out and told."""

import logging
import os
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coe_ray.core.counts import tokens_in
from coe_ray.core.errors import BadCall, CallError, ContentFiltered, DataError, ServerFault
from coe_ray.core.types import Call, Completion, Message, Question, SamplingParams, Usage
from coe_ray.journal.audit import audit_calls
from coe_ray.journal.entries import CallOutcome, Part, finished_line, issued_line, prompt_hash, record_in, reused_line
from coe_ray.journal.journal import Journal, call_key
from tests.support.journal_world import ANSWER, IDENTITY, answered, call, found, key, segments, written

IN_ONE_FOLDER = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
KINDS = CallError.__subclasses__()
FEW = st.integers(0, 9)
COMPLETIONS = st.builds(
    Completion,
    st.text(),
    st.text(max_size=9),
    st.builds(Usage, FEW, FEW),
    st.none() | st.text(max_size=9),
    FEW,
    st.floats(0, 1e6),
    st.lists(st.tuples(st.text(max_size=3), st.floats(-1e4, 0)), max_size=3).map(tokens_in),
)
FAILURES = st.builds(
    lambda kind, message, **fields: kind(message="" + message, **fields),
    st.sampled_from(KINDS),
    st.text(),
    model=st.just("model-a"),
    status=st.none() | FEW,
    retry_after=st.none() | st.floats(0, 1e6),
    attempts=FEW,
    body=st.text(max_size=9),
)


def shown(outcome: CallOutcome | None) -> Any:
    """An outcome as something that can be compared."""
    if isinstance(outcome, CallError):
        return type(outcome), outcome.model, outcome.message, outcome.fields()
    return outcome


@IN_ONE_FOLDER
@given(outcomes=st.lists(COMPLETIONS | FAILURES, min_size=1, max_size=5))
def test_what_was_finished_is_found_as_it_was(tmp_path: Path, outcomes: list[CallOutcome]) -> None:
    place = tmp_path / str(len(list(tmp_path.iterdir())))  # a fresh one: no failure takes the place of an answer
    writer = Journal.open(place, "run")
    keys = [key(str(number)) for number in range(len(outcomes))]
    for each, outcome in zip(keys, outcomes, strict=True):
        writer.finish(each, "model-a", outcome)
    reader = Journal.open(place)
    for journal in (writer, reader):
        assert [shown(journal.find(each)) for each in keys] == [shown(outcome) for outcome in outcomes]
        journal.close()


def test_the_last_outcome_counts_in_whatever_order_the_segments_are_read(tmp_path: Path) -> None:
    for number in range(8):
        journal = Journal.open(tmp_path)
        journal.finish(key("again"), "model-a", replace(ANSWER, text=str(number)))
        assert journal.find(key("again")) == replace(ANSWER, text=str(number))
        journal.close()
    assert Journal.open(tmp_path).find(key("again")) == replace(ANSWER, text="7")


@pytest.mark.parametrize("outcome", [ANSWER, ContentFiltered("model-a", "no")])
@pytest.mark.parametrize("names", ["ab", "ba"])
def test_no_later_clock_beats_an_answer(tmp_path: Path, outcome: CallOutcome, names: str) -> None:
    late = finished_line(key("one"), "model-a", 2e9, ServerFault("model-a", "down"))
    early = finished_line(key("one"), "model-a", 1.0, outcome)
    for name, line in zip(names, (late, early), strict=True):
        (tmp_path / f"{name}.jsonl").write_bytes(line)
    journal = Journal.open(tmp_path)
    assert shown(journal.find(key("one"))) == shown(outcome)
    journal.finish(key("one"), "model-a", ServerFault("model-a", "down again"))
    assert shown(journal.find(key("one"))) == shown(outcome)
    journal.close()


def test_only_finished_calls_are_found(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    journal.begin(key("lost"), "model-a", call("lost"))
    journal.reuse(key("other"), "model-a")
    journal.close()
    assert found(Journal.open(tmp_path), ["lost", "other", "never asked"]) == []


def test_a_journal_that_is_only_read_stays_as_it_was(tmp_path: Path) -> None:
    written(tmp_path, "one")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    journal = Journal.open(tmp_path, "another run")
    assert found(journal, ["one"]) == ["one"]
    journal.flush()
    journal.close()
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_prompt_that_several_models_share_is_written_once(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, "run")
    for number in range(5000):  # more than the index keeps in its dict
        for model in ("model-a", "model-b"):
            journal.begin(key(str(number)), model, call(str(number)))
    journal.close()
    (prompts,) = tmp_path.glob("run-*.prompts.jsonl")
    lines = [orjson.loads(line) for line in prompts.read_bytes().splitlines()]
    assert [line["messages"][1]["content"] for line in lines] == [str(number) for number in range(5000)]
    issued = [orjson.loads(line) for line in segments(tmp_path)[0].read_bytes().splitlines()]
    assert [line["prompt"] for line in issued[::2]] == [line["prompt"] for line in lines]


async def test_refresh_reads_what_others_have_written_since(tmp_path: Path) -> None:
    reader, writer = Journal.open(tmp_path), Journal.open(tmp_path)
    answered(writer, "one")
    assert found(reader, ["one"]) == []
    await reader.refresh()
    answered(writer, "two")
    late = Journal.open(tmp_path)
    answered(late, "three")
    await reader.refresh()
    await reader.refresh()
    assert found(reader, ["one", "two", "three"]) == ["one", "two", "three"]
    for journal in (reader, writer, late):
        journal.close()


async def test_a_line_that_is_just_being_written_is_read_when_it_is_whole(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    segment = written(tmp_path, "one", "two")
    content = segment.read_bytes()
    segment.write_bytes(content[:-40])
    reader = Journal.open(tmp_path)
    assert found(reader, ["one", "two"]) == ["one"]
    segment.write_bytes(content)
    await reader.refresh()
    assert found(reader, ["one", "two"]) == ["one", "two"]
    assert len(caplog.records) == 1  # told once, at the opening


def test_the_last_record_cut_at_every_byte_takes_nothing_else_with_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    segment = written(tmp_path, "one", "two", "three")
    content = segment.read_bytes()
    last = content.rindex(b"\n", 0, -1) + 1
    for cut in range(last, len(content)):
        segment.write_bytes(content[:cut])
        caplog.clear()
        journal = Journal.open(tmp_path)
        assert found(journal, ["one", "two", "three"]) == ["one", "two"]
        assert_told(caplog, segment, cut - last, last)
        answered(journal, "three")
        journal.close()
        assert segment.read_bytes() == content[:cut]  # it may be another worker's
        (own,) = set(segments(tmp_path)) - {segment}
        assert found(Journal.open(tmp_path), ["one", "two", "three"]) == ["one", "two", "three"]
        own.unlink()


def assert_told(caplog: pytest.LogCaptureFixture, segment: Path, torn: int, offset: int) -> None:
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == bool(torn)
    for line in told:
        assert line.startswith(f"{segment}: the last line has no end")
        assert f"({torn} bytes at byte {offset})" in line


@pytest.mark.parametrize("tail", [b"\0" * 5000, b"\0" * 5000 + b"\n", b'{"key":\n', b"\xff\xfe\n", b"\n", b"[]\n"])
def test_a_broken_tail_is_left_out_and_told(tmp_path: Path, tail: bytes, caplog: pytest.LogCaptureFixture) -> None:
    segment = written(tmp_path, "one", "two")
    size = segment.stat().st_size
    with segment.open("ab") as file:
        file.write(tail)
    assert found(Journal.open(tmp_path), ["one", "two"]) == ["one", "two"]
    (told,) = caplog.records
    assert (told.levelno, str(segment) in told.getMessage(), str(size) in told.getMessage()) == (
        logging.WARNING,
        True,
        True,
    )


@IN_ONE_FOLDER
@given(garbage=st.lists(st.binary(max_size=80).filter(lambda line: b"\n" not in line), min_size=1, max_size=4))
def test_garbage_between_records_hides_none_of_them(tmp_path: Path, garbage: list[bytes]) -> None:
    texts = [str(number) for number in range(len(garbage) + 1)]
    segment = written(tmp_path, *texts)
    lines = segment.read_bytes().splitlines(keepends=True)
    for number, line in enumerate(garbage):
        lines.insert(3 * number + 2, line + b"\n")
    segment.write_bytes(b"".join(lines))
    assert found(Journal.open(tmp_path), texts) == texts
    segment.unlink()


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
    assert "1 lines are no records and were left out, the first at byte 0" in caplog.text


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
    assert outcome is None or record_in(finished_line(key("one"), "model-a", 1.0, outcome))
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


@pytest.mark.parametrize("told", [None, 5, "A", {}, {"A": -1.0}, [], [["A"]], [["A", 0.5]], [[1, -1.0]], [None]])
def test_an_answer_counts_though_its_first_tokens_do_not(tmp_path: Path, told: object) -> None:
    line = {"key": key("one").hex(), "model": "m", "at": 1.0, "answer": {"text": "x", "first_token": told}}
    (tmp_path / "old.jsonl").write_bytes(orjson.dumps(line) + b"\n")
    assert Journal.open(tmp_path).find(key("one")) == Completion("x")


def test_an_impossible_token_is_lost_and_nothing_with_it() -> None:
    # JSON knows no infinity.
    line = finished_line(key("one"), "m", 1.0, Completion("A", first_token=(("A", -0.5), ("B", float("-inf")))))
    record = record_in(line)
    assert record is not None
    assert record.outcome == Completion("A", first_token=(("A", -0.5),))


def test_a_pipe_with_a_segment_s_name_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    assert found(Journal.open(tmp_path), ["one"]) == []


def test_records_of_another_version_are_read_as_far_as_they_are_known(tmp_path: Path) -> None:
    head = {"model": "m", "at": 1.0}
    answer = {"text": "x", "mood": "good", "usage": {"prompt_tokens": 3, "cached_tokens": 2}}
    failure = {"error": "GoneSince", "message": "no", "mood": "bad", "attempts": 4}
    lines = [{"key": key("one").hex(), "answer": answer, **head}, {"key": key("two").hex(), "failure": failure, **head}]
    (tmp_path / "old.jsonl").write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    journal = Journal.open(tmp_path)
    assert journal.find(key("one")) == Completion("x", usage=Usage(3))
    assert shown(journal.find(key("two"))) == shown(CallError("m", "no", attempts=4))


def test_more_segments_than_files_may_be_open(tmp_path: Path) -> None:
    texts = [str(number) for number in range(100)]
    for text in texts:
        written(tmp_path, text)
    journal = Journal.open(tmp_path)
    assert found(journal, texts) == texts == found(journal, texts)


def test_a_place_that_cannot_be_used_is_refused_with_a_remedy(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    for place in (file, file / "below"):
        with pytest.raises(DataError, match=str(file)):
            Journal.open(place)


def test_a_segment_that_changed_in_use_is_no_answer(tmp_path: Path) -> None:
    segment = written(tmp_path, "one")
    journal = Journal.open(tmp_path)
    segment.write_bytes(b"\0" * segment.stat().st_size)
    with pytest.raises(DataError, match="changed while it was in use"):
        journal.find(key("one"))
    segment.unlink()
    fresh = Journal.open(tmp_path)
    assert fresh.find(key("one")) is None


def test_the_key_is_made_of_all_that_decides_the_answer() -> None:
    asked = call("Which?")
    others = [
        *(call_key({**IDENTITY, name: "other"}, asked) for name in IDENTITY),
        call_key({**IDENTITY, "more": 1}, asked),
        *(call_key(IDENTITY, other) for other in different(asked)),
    ]
    assert len({call_key(IDENTITY, asked), *others}) == len(others) + 1


def different(asked: Call) -> list[Call]:
    system, user = asked.messages
    question = Question("id", "text")
    return [
        replace(asked, messages=(system, replace(user, content="What?"))),
        replace(asked, messages=(system, replace(user, role="assistant"))),
        replace(asked, messages=(user, system)),
        replace(asked, messages=(Message("system", "Be brief.Which?"),)),
        replace(asked, choices=("A",)),
        replace(asked, choices=("A", "B")),
        replace(asked, choices=("AB",)),
        replace(asked, settings=SamplingParams(temperature=0.5)),
        replace(asked, settings=asked.settings.merge(SamplingParams(seed=1))),
        replace(asked, settings=asked.settings.merge(SamplingParams(temperature=0.0))),
        replace(asked, top_logprobs=1),
        replace(asked, top_logprobs=20),
        replace(asked, question=question),
        replace(asked, question=replace(question, id="other")),
    ]


def test_equal_calls_have_one_key() -> None:
    backwards = dict(reversed(IDENTITY.items()))
    assert call_key(backwards, call("Which?")) == key("Which?")
    assert len(key("Which?")) == 16
    asked = replace(call("Which?"), question=Question("id", "text"))
    assert call_key(IDENTITY, asked) == call_key(IDENTITY, replace(asked, question=Question("id", "changed")))


@pytest.mark.parametrize("reads", [frozenset[Part](), frozenset[Part]({"choices"}), frozenset[Part]({"question"})])
def test_only_what_the_model_reads_is_in_the_key(reads: frozenset[Part]) -> None:
    asked = call("Which?")
    changes: dict[Part, Call] = {
        "choices": replace(asked, choices=("A",)),
        "question": replace(asked, question=Question("id", "text")),
    }
    for part, changed in changes.items():
        assert (call_key(IDENTITY, changed, reads) != key("Which?")) == (part in reads)


@given(one=st.text(), other=st.text(), turn=st.booleans())
def test_no_two_prompts_share_a_key(one: str, other: str, turn: bool) -> None:
    first = Call((Message("user", one), Message("user", other)))
    second = Call((Message("user", other), Message("user", one))) if turn else Call((Message("user", one + other),))
    assert (call_key(IDENTITY, first) == call_key(IDENTITY, second)) == (first == second)

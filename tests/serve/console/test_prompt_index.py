"""A journal is indexed once, a bounded piece at a time; a question finds the prompts that ask it and no others."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from coe_ray.core.questions import make_question
from coe_ray.core.types import Question
from coe_ray.serve.console import prompt_index
from coe_ray.serve.console.prompt_index import PromptIndex

QUESTION = make_question("Which log says: why?", ("this", "that"))
LONGER = make_question("Which log says: why?\nA. this\nB. that\nC. none")
OTHER = make_question("Why?")


def prompt(content: str, name: str = "ab") -> dict[str, Any]:
    return {"prompt": name, "messages": [{"role": "user", "content": content}], "choices": []}


def call(model: str, name: str = "ab") -> dict[str, Any]:
    return {"issued": "00" * 16, "model": model, "at": 1.0, "prompt": name}


def classifier(*questions: Question) -> str:
    """A classifier's message about the last question, with the others as examples."""
    *examples, last = questions
    parts = [f"Question: {example.full_text}\n**Task: Plan**" for example in examples]
    return "\n\n".join([*parts, f"Question: {last.full_text}", "Reply in exactly this form:\n**Task: [selected]**"])


class FakeJournal:
    """A folder with a file of prompts and a file of calls of one worker."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.index = PromptIndex(folder, [QUESTION, LONGER, OTHER])

    def write(self, *lines: dict[str, Any] | bytes, worker: int = 1) -> None:
        for line in lines:
            kind = ".prompts.jsonl" if isinstance(line, bytes) or "messages" in line else ".jsonl"
            with (self.folder / f"run-host-{worker}-0a0b0c0d{kind}").open("ab") as file:
                file.write(line if isinstance(line, bytes) else orjson.dumps(line) + b"\n")

    def contents(self, question: Question) -> list[str]:
        return [found.messages[-1]["content"] for found in self.index.find(question.id)]

    def models(self, question: Question) -> list[list[str]]:
        return [found.models for found in self.index.find(question.id)]


@pytest.fixture
def journal(tmp_path: Path) -> FakeJournal:
    return FakeJournal(tmp_path)


@pytest.mark.parametrize(
    "content",
    [QUESTION.full_text, f"{QUESTION.full_text}\nAnswer:", classifier(QUESTION), classifier(OTHER, LONGER, QUESTION)],
)
def test_a_question_finds_the_prompts_that_ask_it(journal: FakeJournal, content: str) -> None:
    journal.write(prompt(content), call("one"), call("two"), call("one"))
    assert journal.contents(QUESTION) == [content]
    assert journal.models(QUESTION) == [["one", "two"]]
    assert journal.contents(OTHER) == journal.contents(LONGER) == []


def test_what_is_about_no_question_of_the_run_is_left_out(journal: FakeJournal) -> None:
    journal.write(prompt("Why not?"), call("one"), prompt("", "cd"))
    assert [journal.contents(question) for question in (QUESTION, LONGER, OTHER)] == [[], [], []]


def test_a_prompt_that_two_workers_sent_is_one(journal: FakeJournal) -> None:
    for worker, model in ((1, "one"), (2, "two")):
        journal.write(prompt(QUESTION.full_text), call(model), worker=worker)
    assert journal.models(QUESTION) == [["one", "two"]]


def test_lines_that_cannot_be_read_are_left_out(journal: FakeJournal) -> None:
    whole = orjson.dumps(prompt(QUESTION.full_text))
    journal.write(b"not json, " + whole + b"\n", b"[]\n", b'{"prompt": "ab", "messages": [7]}\n', b"null\n")
    journal.write(prompt(QUESTION.full_text), whole[:-1])
    assert journal.contents(QUESTION) == [QUESTION.full_text]


def test_each_line_is_read_once(journal: FakeJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []
    read_fields = prompt_index._read_fields

    def count(line: bytes, fields: Any) -> tuple[str, str] | None:
        read.append(line)
        return read_fields(line, fields)

    monkeypatch.setattr(prompt_index, "_read_fields", count)
    journal.write(prompt(QUESTION.full_text), call("one"))
    for _ in range(3):
        assert journal.models(QUESTION) == [["one"]]
    assert len(read) == 2
    journal.write(call("two"), worker=2)
    assert journal.models(QUESTION) == [["one", "two"]]
    assert len(read) == 3


def test_a_line_counts_once_its_end_is_there(journal: FakeJournal) -> None:
    line = orjson.dumps(prompt(QUESTION.full_text)) + b"\n"
    journal.write(line[:20])
    assert journal.contents(QUESTION) == []
    journal.write(line[20:])
    assert journal.contents(QUESTION) == [QUESTION.full_text]


def test_a_large_journal_is_read_over_several_requests(journal: FakeJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_index, "READ_AT_MOST", 150)
    for number in range(6):
        journal.write(prompt(f"{OTHER.full_text}\nAnswer {number}:", f"{number:02}"), call("one", f"{number:02}"))
    counts = [len(journal.contents(OTHER)) for _ in range(6)]
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (2, 6)
    for _ in range(6):
        models = journal.models(OTHER)
    assert models == [["one"]] * 6


def test_one_question_has_a_bounded_number_of_prompts(journal: FakeJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_index, "PROMPTS_AT_MOST", 3)
    journal.write(*(prompt(f"{OTHER.full_text}\nAnswer {number}:", f"{number:02}") for number in range(9)))
    assert len(journal.contents(OTHER)) == 3

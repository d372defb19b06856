"""Questions out of text: every form of option list, stable ids, and what counts as the same question."""

import re
import string
import unicodedata
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe_ray.bench.datasets.load import load_benchmark
from coe_ray.core import questions
from coe_ray.core.questions import (
    MAX_EXAM,
    MAX_HOW_TO,
    language_of,
    make_question,
    near_duplicate_key,
    question_id,
    split_exam,
    split_options,
)
from coe_ray.core.types import LETTERS

WORDS = st.text(alphabet=string.ascii_lowercase + string.digits + " 日志", min_size=1, max_size=30)
TEXTS = WORDS.map(str.strip).filter(bool)
OPTIONS = st.lists(TEXTS, min_size=2, max_size=len(LETTERS))
NUMBERS = st.lists(st.decimals(-999, 999, places=1), min_size=1, max_size=8)


@pytest.mark.parametrize(
    "form",
    ["{}. ", "{}.", "{}) ", "{}: ", "{}、", "({}) ", "（{}）", "{}．", "{}：", "{}）", "  {}. ", "\t({})"],
)
def test_options_are_found_in_every_form(form: str) -> None:
    lines = [form.format(letter) + text for letter, text in zip("ABC", ("one", "two", "三"), strict=True)]
    assert split_options("\n".join(["Which?", *lines])) == ("Which?", ("one", "two", "三"))


def test_full_width_letters_and_windows_line_ends_are_options_too() -> None:
    assert split_options("哪个?\r\nＡ．一\r\nＢ．二\r\n") == ("哪个?", ("一", "二"))


def test_an_option_goes_on_until_the_next_letter() -> None:
    text = "Which fails?\nA. SELECT 1\nFROM dual;\n\nB. \nSELECT 2\nFROM dual;"
    assert split_options(text) == ("Which fails?", ("SELECT 1\nFROM dual;", "SELECT 2\nFROM dual;"))


def test_a_letter_out_of_turn_belongs_to_the_option_before_it() -> None:
    text = "Which paths?\nA. these:\nC:\\temp\nB. none\nC. all"
    assert split_options(text) == ("Which paths?", ("these:\nC:\\temp", "none", "all"))


def test_the_last_run_counts() -> None:
    text = "Given\nA. red\nB. green\nC. blue\nwhich is right?\nA. only A\nB. A and C"
    stem, options = split_options(text)
    assert options == ("only A", "A and C")
    assert stem.endswith("C. blue\nwhich is right?")


@pytest.mark.parametrize("tail", ["\n\nExplain your choice.", "\nAnswer:", "\n答案：", "\nThe answer: "])
def test_what_follows_the_options_goes_to_the_stem(tail: str) -> None:
    stem, options = split_options(f"Which?\nA. one\nB. two{tail}")
    assert options == ("one", "two")
    assert stem == f"Which?\n{tail.strip()}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "How does one rotate logs?",
        "A. Smith asked why",
        "B. two\nC. three",
        "Which?\nA. one\nB. two\nD. four",
        "Which?\nA. one\nC. three",
        "Which? A. one B. two",
        "a. one\nb. two",
        "\n".join(f"{letter}. x" for letter in string.ascii_uppercase[: len(LETTERS) + 1]),
    ],
)
def test_anything_else_is_a_question_without_options(text: str) -> None:
    assert split_options(text) == (text, ())


def test_many_marks_are_split_in_linear_time() -> None:
    # A quadratic search would take minutes here, and the text comes from whoever sends a request.
    assert split_options("A. x\n" * 50_000)[1] == ()
    assert len(split_options("A. x\nB. y\n" * 50_000)[1]) == 2


@given(TEXTS, OPTIONS)
def test_a_question_printed_and_split_is_the_same(text: str, options: list[str]) -> None:
    question = make_question(text, options, "A", "Build")
    assert split_options(question.full_text) == (text, tuple(options))


@given(st.text())
def test_splitting_never_fails_and_gives_two_to_ten_options_or_none(text: str) -> None:
    stem, options = split_options(text)
    assert len(options) in (0, *range(2, len(LETTERS) + 1))
    assert options or stem == text


def test_the_id_is_of_the_exact_content() -> None:
    assert question_id("Which?", ("a", "b")) == question_id("Which?", ["a", "b"]) == "510f15ce0c4cb7e0"
    others = [
        ("Which?", ("b", "a")),
        ("Which? ", ("a", "b")),
        ("Which?", ("a", "b", "")),
        ("Which?", ("ab",)),
    ]
    assert len({question_id(*other) for other in [("Which?", ("a", "b")), *others]}) == 5


def test_a_lone_surrogate_has_an_id_too() -> None:
    assert len(question_id("\ud800")) == len(near_duplicate_key("\ud800")) == 16


@given(TEXTS, OPTIONS, st.randoms())
def test_form_does_not_count_for_near_duplicates(text: str, options: list[str], random: object) -> None:
    shuffled = sorted(options, key=lambda _: random.random())  # type: ignore[attr-defined]
    other = "\u3000" + text.upper().replace(" ", " \n") + "?!"
    assert near_duplicate_key(text, options) == near_duplicate_key(other, [f"“{one}。”" for one in shuffled])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Use `git log` !", "use git-log"),
        ("ＡＰＩ １２．５", "api 12.5"),
        ("使用 Git 吗？", "使用git吗"),
        ("[1, -2, 3]", "1 \N{MINUS SIGN}2; 3"),
        ("drops to 3.", "Drops to 3"),
    ],
)
def test_these_are_near_duplicates(one: str, other: str) -> None:
    assert near_duplicate_key(one) == near_duplicate_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1.5", "15"),
        ("-1", "1"),
        ("[3, -1]", "[3, 1]"),
        ("1 5", "15"),
        (".5", "5"),
        ("1e-5", "1e5"),
        ("5-3", "53"),
        ("a < b", "a > b"),
        ("C++", "C"),
    ],
)
def test_these_are_not_near_duplicates(one: str, other: str) -> None:
    assert near_duplicate_key(one) != near_duplicate_key(other)
    assert near_duplicate_key("Which?", (one, "x")) != near_duplicate_key("Which?", (other, "x"))


TRICKY = st.text(
    st.one_of(st.characters(), st.sampled_from("0123456789.-eE+() ,x]\n\x1f\u2212\u0300\u0301")), max_size=80
)


def normalised(text: str) -> str:
    """The definition, character by character: numbers, and what stands between them without form."""
    kept, run = "", 0
    for character in text:
        run = run + 1 if unicodedata.combining(character) else 0
        kept += character if run <= 30 else ""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", kept).casefold())
    folded = re.sub("[\u2212\u2013\u2011]", "-", folded)
    number = re.compile(r"(?:(?<![\w)\]])-)?(?:\d+|(?<!\w)(?=\.\d))(?:\.\d+)*(?:e[-+]?\d+\b)?")
    tokens, end = "", 0
    for match in number.finditer(folded):
        tokens += (without_form(folded[end : match.start()]) or "\x1f") + match[0]
        end = match.end()
    return tokens + without_form(folded[end:])


def without_form(text: str) -> str:
    categories = [(character, unicodedata.category(character)) for character in text if not character.isspace()]
    return "".join(character for character, kind in categories if kind[0] not in "PZC" and kind != "Sk")


@given(TRICKY)
def test_a_text_is_normalised_as_defined(text: str) -> None:
    assert questions._bare(text) == normalised(text)


@given(TRICKY)
def test_where_a_long_text_is_cut_does_not_count(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(questions, "_PIECE", re.compile(r"[\s\S]{1,3}\S*"))
        assert questions._bare(text) == normalised(text)


@pytest.mark.parametrize("text", ["e" + "\u0301" * 300_000, "1.5, " * 60_000, "日志。" * 100_000, "-." * 200_000])
def test_a_long_text_has_a_key(text: str) -> None:
    assert near_duplicate_key(text) == near_duplicate_key(text + " ")


def test_text_and_options_are_not_mixed_up() -> None:
    assert near_duplicate_key("a b", ("c",)) != near_duplicate_key("a", ("b", "c"))


@given(NUMBERS, NUMBERS)
def test_series_are_near_duplicates_only_with_the_same_numbers(one: list[object], other: list[object]) -> None:
    keys = [near_duplicate_key(f"Predict {list(map(str, numbers))}") for numbers in (one, other)]
    assert (keys[0] == keys[1]) == (list(map(str, one)) == list(map(str, other)))


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("5G AN 和 AMF 之间最上层协议是", "chinese"),
        ("这些日志的模板是什么？\n" + "WARN Cannot open channel to election address\n" * 3, "chinese"),
        ("What does the status 正常 mean in the health check of a deployed service?", "english"),
        ("Forecast [1, 2, 3]", "english"),
        ("", "english"),
    ],
)
def test_the_language_is_read_off_the_letters(text: str, language: str) -> None:
    assert language_of(text) == language
    assert make_question(text).language == language


def test_a_question_is_made_with_what_is_known() -> None:
    question = make_question("Which?", ["a", "b"], "B", "Code", "chinese")
    assert (question.answer, question.task, question.language) == ("B", "Code", "chinese")
    assert question.options == ("a", "b")
    assert question.id == question_id("Which?", ("a", "b"))


@pytest.mark.parametrize("text", ["q\nA. a\nB. b\nanswer" + " " * 200_000 + "x", "A.\n" * 100_000])
def test_no_text_takes_the_square_of_its_length(text: str) -> None:
    assert split_options(text)  # minutes, where it did


EXAM = "Which command undoes a pushed commit?\nA. git revert\nB. git reset\nC. git stash"
EXAM_OPTIONS = ("git revert", "git reset", "git stash")


def test_a_question_with_options_and_nothing_else_is_an_exam() -> None:
    assert split_exam(EXAM) == ("Which command undoes a pushed commit?", EXAM_OPTIONS)


@pytest.mark.parametrize(
    "how",
    [
        "Answer with the letter only.",
        "Answer with one of the options above.",
        "Reply with A, B or C.",
        "Please choose the correct option and finish with: the answer is (X)",
        "Think step by step.",
        "Answer:",
        "The answer: ",
        "Your answer",
        "答案：",
        "请只回答字母。",
        "请选择正确的选项，并一步一步思考。",
        "Think step by step.\nAnswer with the letter only.\nAnswer:",
    ],
)
@pytest.mark.parametrize("gap", ["\n", "\n\n"])
def test_how_to_answer_is_part_of_an_exam_and_not_of_its_last_option(how: str, gap: str) -> None:
    assert split_exam(EXAM + gap + how) == (f"Which command undoes a pushed commit?\n{how.strip()}", EXAM_OPTIONS)


@pytest.mark.parametrize(
    "request_behind",
    [
        "Explain each of them in a sentence.",
        "Which of them would you use on a shared branch, and how do I tell my team?",
        "Write a runbook for the first one.",
        "Now translate all of it into German.",
        "为什么这些命令都危险？",
    ],
)
@pytest.mark.parametrize("gap", ["\n", "\n\n"])
def test_a_list_with_a_request_behind_it_is_no_exam(request_behind: str, gap: str) -> None:
    assert split_exam(EXAM + gap + request_behind) is None


@pytest.mark.parametrize(
    "stem",
    [
        "Compare these options for our cluster:",
        "Please summarise the steps below.",
        "Can you review this plan?",
        "We have an outage. Write a status message that names:",
        "Fix this list:",
        "请总结以下步骤：",
        "帮我翻译：",
        "",
        "Agenda",
        "Agenda:",
        "Runbook steps:",
    ],
)
def test_a_list_that_is_no_question_is_no_exam(stem: str) -> None:
    assert split_exam(f"{stem}\nA. drain the node\nB. cordon the node".strip()) is None


@pytest.mark.parametrize("text", ["", "Why?", "A. one", "Which?\nA. one", "Which?\n- one\n- two"])
def test_without_options_there_is_no_exam(text: str) -> None:
    assert split_exam(text) is None


def test_options_may_have_several_lines_each() -> None:
    text = "Which fails?\nA. SELECT 1\nFROM dual;\nB. SELECT 2\nFROM dual;"
    options = ("SELECT 1\nFROM dual;", "SELECT 2\nFROM dual;")
    assert split_exam(text) == ("Which fails?", options)
    assert split_exam(f"{text}\nAnswer with the letter only.") == (
        "Which fails?\nAnswer with the letter only.",
        options,
    )
    assert split_exam(f"{text}\nExplain it.") is None


def test_chinese_exams_are_exams() -> None:
    text = "下列哪个命令可以查看端口？\nＡ．netstat\nＢ．ping\n请用字母回答，给出选项。"
    assert split_exam(text) == ("下列哪个命令可以查看端口？\n请用字母回答，给出选项。", ("netstat", "ping"))


def test_an_exam_is_bounded() -> None:
    def exam(size: int) -> str:
        return f"Which {'x' * size}?\nA. one\nB. two"

    longest = MAX_EXAM - len(exam(0))
    assert split_exam(exam(longest)) is not None
    assert split_exam(exam(longest + 1)) is None
    assert split_exam(f"{EXAM}\n{'Answer with a letter. ' * MAX_HOW_TO}") is None


@given(TEXTS, OPTIONS)
def test_an_exam_is_split_as_its_question_is(text: str, options: list[str]) -> None:
    full = make_question(f"Which {text}?", options).full_text
    if exam := split_exam(full):
        assert exam == split_options(full)


@pytest.mark.parametrize("split", ["dev", "test"])
def test_every_question_of_the_sample_is_an_exam(split: Literal["dev", "test"]) -> None:
    rows = load_benchmark("sample", split=split).questions
    assert len(rows) > 50
    assert [row.id for row in rows if split_exam(row.full_text) != (row.text, row.options)] == []

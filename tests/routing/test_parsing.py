"""Letters and task labels out of what models really say, and nothing out of what they do not say."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe_ray.core.types import LETTERS, UNKNOWN
from coe_ray.routing.parsing import after_reasoning, likeliest_letter, parse_letter, parse_task

TASKS = ("Build", "Code", "Test", "Integration Test", "Log Parser")


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("the answer is (B)", "B"),
        ("The answer is B.", "B"),
        ("The answer is: B", "B"),
        ("The answer is:\n\nB", "B"),
        ("the answer is (b)", "B"),
        ("the answer is b because make compiles", "B"),
        ("The answer is A because make compiles", "A"),
        ("The answer is **(C)**.", "C"),
        ("The answer is **C: docker**", "C"),
        ("The answer is `D`", "D"),
        ('the answer is "C"', "C"),
        ("The answer is [D]", "D"),
        ("the answer is option B", "B"),
        ("The correct answer is option (C).", "C"),
        ("The answer should be D.", "D"),
        ("the answer is not A but (B)", "B"),
        ("The answer is not (A), but rather option C.", "C"),
        ("the answer is A, not B", "A"),
        ("The answer is (A). No: (A) fails, so the answer is (C).", "C"),
        ("Answer: D", "D"),
        ("**Answer:** D", "D"),
        ("**Answer**: option D", "D"),
        ("ANSWER: d", "D"),
        ("Answer: A is right", "A"),
        ("Answer (B)", "B"),
        ('{"answer": "B"}', "B"),
        ("The final value is $\\boxed{B}$", "B"),
        ("\\boxed{\\text{C}}", "C"),
        ("The correct option is D", "D"),
        ("The best choice: (B)", "B"),
        ("Option C", "C"),
        ("B", "B"),
        ("b", "B"),
        ("(B)", "B"),
        ("**B**", "B"),
        ("（Ａ）", "A"),
        ("Ｃ", "C"),
        ("B. make", "B"),
        ("B) make\nIt compiles.", "B"),
        ("C、打包", "C"),
        ("答案是 B", "B"),
        ("答案：C", "C"),
        ("正确答案为（Ｄ）。", "D"),
        ("答案应该是选项A", "A"),
        ("因此，答案是**B**。", "B"),
        ("答案不是A，而是B。", "B"),
        ("因此选择 B。", "B"),
        ("故选：D", "D"),
        ("应该选B", "B"),
        ("不选A，选C", "C"),
        ("正确的选项是 B", "B"),
        ("<think>the answer is (A)</think>the answer is (B)", "B"),
        ("so it is A. The answer is (A)\n</think>\n\nthe answer is (C)", "C"),
        ("<think>a</think> <THINK>the answer is (A)</THINK> B", "B"),
    ],
)
def test_a_letter_is_read(text: str, letter: str) -> None:
    assert parse_letter(text, "ABCD").value == letter


@pytest.mark.parametrize(
    "text",
    [
        "",
        "the answer is a tricky one",
        "The answer is a matter of taste.",
        "The answer is I think unclear",
        "Answer: A monitoring tool that scrapes targets",
        "the answer is not A",
        "the answer is A/B testing",
        "the answer is C++",
        "C#",
        "the answer is bash",
        "the answer is unclear",
        "答案不是A",
        "不应该选A",
        "答案是API网关",
        "选项B不正确",
        "A cluster needs three nodes.",
        "A. make\nB. ping\nC. top\nD. df",
        "<think>the answer is (A)",
        "<think>first</think><think>the answer is (A)",
    ],
)
def test_no_letter_is_read_where_none_is_given(text: str) -> None:
    assert parse_letter(text, "ABCD").value is None


def test_a_letter_outside_the_options_counts_as_none_and_the_rule_says_so() -> None:
    assert parse_letter("the answer is (E)", "ABCD") == (None, "letter outside the options")
    assert parse_letter("E", "ABCD").value is None


def test_the_rule_that_read_the_letter_is_named() -> None:
    assert parse_letter("the answer is (A)", "AB") == ("A", "the answer is (X)")
    assert parse_letter("答案是B", "AB") == ("B", "答案是 X")
    assert parse_letter("A", "AB") == ("A", "bare letter")
    assert parse_letter("A. one\nB. two", "AB") == (None, "options repeated")


@pytest.mark.parametrize(
    ("text", "task", "rule"),
    [
        ("**Task: [Log Parser]**", "Log Parser", "**Task: …**"),
        ("**Task:** Build", "Build", "**Task: …**"),
        ("task: LOG-PARSER.", "Log Parser", "**Task: …**"),
        ("任务：Build", "Build", "**Task: …**"),
        ("**Task：［Build］**", "Build", "**Task: …**"),
        ("Task:\nBuild", "Build", "**Task: …**"),
        ("Task: Build. Task: Code", "Code", "**Task: …**"),
        ("**Task: [selected task]**\n**Task: [Build]**", "Build", "**Task: …**"),
        ("Task: the Build task", "Build", "task within the label"),
        ("Task: 1. an integration test", "Integration Test", "task within the label"),
        ("Task: Build (the code)", "Build", "task within the label"),
        ("Task: unknown", UNKNOWN, "**Task: …**"),
        ("Task: Networking", UNKNOWN, "label outside the list"),
        ("Task: testing", UNKNOWN, "label outside the list"),
        ("Task:", UNKNOWN, "label outside the list"),
        ("[Build]", "Build", "bare label"),
        ("Unknown.", UNKNOWN, "bare label"),
        ("It could be Code, yet I say Build", "Build", "last task mentioned"),
        ("I think it is an integration test", "Integration Test", "last task mentioned"),
        ("the test of a log parser", "Log Parser", "last task mentioned"),
        ("encoded buildings", UNKNOWN, "no task named"),
        ("", UNKNOWN, "no task named"),
        ("<think>Task: Code</think>Task: Build", "Build", "**Task: …**"),
        ("<think>Task: Code", UNKNOWN, "no task named"),
    ],
)
def test_a_task_is_read(text: str, task: str, rule: str) -> None:
    assert parse_task(text, TASKS) == (task, rule)


def test_names_that_differ_in_signs_only_are_kept_apart() -> None:
    tasks = ("C", "C++", "C#")
    assert [parse_task(f"**Task: [{task}]**", tasks).value for task in tasks] == list(tasks)
    assert [parse_task(task, tasks).value for task in tasks] == list(tasks)


def test_chinese_task_names_are_read() -> None:
    assert parse_task("**Task: [日志分析]**", ("日志分析", "部署")) == ("日志分析", "**Task: …**")
    assert parse_task("这属于日志分析任务", ("日志分析", "部署")) == ("日志分析", "last task mentioned")


def test_a_name_of_signs_only_is_not_read_out_of_nothing() -> None:
    assert parse_task("", ("!?", "Build")) == (UNKNOWN, "no task named")


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("plain", "plain"),
        ("<think>a</think>b", "b"),
        ("a</think>b", "b"),
        ("<think>a", ""),
        ("<reasoning>a</reasoning>b<thinking>c", "b"),
    ],
)
def test_only_what_follows_the_reasoning_counts(text: str, rest: str) -> None:
    assert after_reasoning(text) == rest


PIECES = st.lists(
    st.sampled_from(["answer", " is ", "the ", "not ", "but ", "答案", "是", "选", "A", "b", "J", "İ", "ı", "(", ")"])
    | st.sampled_from(
        ["**", ":", "：", ". ", "\n", "Task", "任务", "Build", "unknown", "<think>", "</think>", "\\boxed{"]
    )
    | st.text(max_size=3)
).map("".join)


@given(PIECES, st.integers(0, len(LETTERS)))
def test_any_text_gives_a_letter_among_the_options_or_none(text: str, count: int) -> None:
    letters = tuple(LETTERS[:count])
    assert parse_letter(text, letters).value in (*letters, None)


@given(PIECES, st.lists(st.text(min_size=1, max_size=8), max_size=5, unique=True))
def test_any_text_gives_a_task_of_the_list_or_unknown(text: str, tasks: list[str]) -> None:
    assert parse_task(text, tasks).value in (*tasks, UNKNOWN)


@given(st.text(), st.sampled_from("ABCD"))
def test_the_sentence_at_the_end_settles_it(before: str, letter: str) -> None:
    text = before.replace("<", "") + f"\nSo the answer is ({letter})."
    assert parse_letter(text, "ABCD").value == letter


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "piece", [" ", "\n", "(", "answer is ", "answer is not ", "答案", "Task:", "选", "A.\n", "task "]
)
def test_long_repetitions_are_read_in_time(piece: str) -> None:
    text = piece * (20_000 // len(piece))
    parse_letter(text, "ABCD")
    parse_task(text, TASKS)


def tokens(**chances: float) -> list[tuple[str, float]]:
    return [(token, math.log(chance)) for token, chance in chances.items()]


def test_the_likeliest_letter_comes_first_and_chances_are_among_the_letters() -> None:
    tokens = [("B", math.log(0.2)), ("The", math.log(0.5)), ("A", math.log(0.3)), ("Z", -9.0)]
    (first, most), (second, least) = likeliest_letter(tokens, ("A", "B", "C"))
    assert (first, second) == ("A", "B")
    assert [most, least] == pytest.approx([0.6, 0.4])


@pytest.mark.parametrize("token", ["A", " A", "(A", " (A", "\nA", "（A", "Ａ", "（Ａ", "**A", "`A`", "\tA "])
def test_a_letter_in_any_spelling_of_its_token(token: str) -> None:
    assert likeliest_letter([(token, -1.0)], ("A", "B")) == (("A", 1.0),)


def test_spellings_of_one_letter_count_together() -> None:
    tokens = [("B", math.log(0.4)), (" A", math.log(0.3)), ("A", math.log(0.2)), ("(A", math.log(0.1))]
    assert dict(likeliest_letter(tokens, ("A", "B"))) == pytest.approx({"A": 0.6, "B": 0.4})


def test_between_equals_the_first_letter_comes_first() -> None:
    assert [letter for letter, _ in likeliest_letter(tokens(C=0.5, B=0.5), ("A", "B", "C"))] == ["B", "C"]


@pytest.mark.parametrize(
    "token", ["", " ", "(", "**", "a", "AB", "A.", "A)", "An", "The", "E", "\u200bA", "答案", "<think>", "Ⓐ5"]
)
def test_what_is_no_letter_among_the_options_has_no_chance(token: str) -> None:
    assert likeliest_letter([(token, -0.1)], ("A", "B", "C", "D")) == ()
    assert likeliest_letter([(token, -0.1)], "ABCD") == ()


def test_nothing_comes_of_nothing() -> None:
    assert likeliest_letter([], ("A", "B")) == ()
    assert likeliest_letter([("A", -0.1)], ()) == ()
    assert likeliest_letter([("A", -math.inf), ("B", -math.inf)], ("A", "B")) == ()


def test_a_letter_that_is_as_good_as_impossible_is_last_and_breaks_nothing() -> None:
    assert likeliest_letter([("A", -9999.0), ("B", -0.1)], ("A", "B")) == (("B", 1.0), ("A", 0.0))


TOLD = st.lists(
    st.tuples(st.sampled_from(["A", " A", "(B", "B", "C", "", "The"]) | st.text(max_size=4), st.floats(max_value=0)),
    max_size=20,
)


@given(TOLD, st.integers(0, len(LETTERS)))
def test_any_alternatives_give_chances_that_add_up_or_nothing(tokens: list[tuple[str, float]], count: int) -> None:
    letters = tuple(LETTERS[:count])
    chances = likeliest_letter(tokens, letters)
    assert {letter for letter, _ in chances} <= set(letters)
    assert len(dict(chances)) == len(chances)
    assert not chances or sum(chance for _, chance in chances) == pytest.approx(1)
    assert [chance for _, chance in chances] == sorted((chance for _, chance in chances), reverse=True)


WORDS = st.lists(
    st.sampled_from(["test", "Test", "integration", "build", "c", "构建", "构建测试", "测试"]), min_size=1, max_size=3
)
NAMES = st.lists(WORDS.map(" ".join), min_size=1, max_size=6, unique_by=str.casefold)


def last_end(name: str, text: str) -> int:
    return max((m.end() for m in re.finditer(rf"(?<![a-z0-9]){re.escape(name)}(?![a-z0-9])", text)), default=-1)


@given(NAMES, st.lists(WORDS.map(" ".join), max_size=4).map(" or ".join))
def test_one_pattern_finds_what_a_search_for_each_name_finds(tasks: list[str], text: str) -> None:
    """Against the search name by name: the longest within a label, and in a text the one that ends last."""
    names = {name.casefold(): name for name in (*tasks, UNKNOWN)}
    ends = {name: end for name in names if (end := last_end(name, text.casefold())) >= 0}
    label, mention = parse_task(f"Task: the {text} thing", tasks), parse_task(f"the {text} thing", tasks)
    longest = max(map(len, ends), default=0)
    assert label.value == next((names[name] for name in names if name in ends and len(name) == longest), UNKNOWN)
    last = max(((end, len(name), names[name]) for name, end in ends.items()), default=(0, 0, UNKNOWN))
    assert mention.value == last[2]

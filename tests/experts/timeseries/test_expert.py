"""The time-series expert on whole questions made here: seeded draws of each kind, single cases, any text."""

import asyncio
import re
import threading
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coe_ray.core.chat_model import ChatModel
from coe_ray.core.errors import CannotAnswer
from coe_ray.core.types import Call, Question
from coe_ray.experts.timeseries.expert import TimeSeriesExpert, answer, kind_of
from coe_ray.experts.timeseries.series import Array
from coe_ray.routing.parsing import parse_letter
from tests.experts.timeseries.made_series import (
    Base,
    decaying,
    falling,
    growing,
    level,
    listed,
    rising,
    spiking,
    stepping,
    stepping_down,
    walking,
    wave,
    widening,
)

DRAWS = 100
LEAST = 80


def ask(text: str, *options: str) -> str | None:
    question = Question("q", text, options)
    return parse_letter(answer(question), question.letters).value


def chosen(text: str, *options: str) -> str | None:
    """The text of the option that the expert chose."""
    letter = ask(text, *options)
    return None if letter is None else options["ABCDEFGHIJ".index(letter)]


def shuffled(rng: np.random.Generator, right: str, wrong: Sequence[str]) -> list[str]:
    options = list(dict.fromkeys([right, *wrong]))[:4]
    return [options[i] for i in rng.permutation(len(options))]


def with_outlier(rng: np.random.Generator, base: Base) -> tuple[Array, int]:
    values = base(rng, int(rng.integers(20, 60)))
    at = int(rng.integers(0, len(values)))
    values[at] += rng.choice([-1, 1]) * rng.uniform(22, 80)
    return np.round(values, 1), at


@pytest.mark.parametrize("base", [level, wave, rising, stepping])
def test_finds_the_outlier_by_value(base: Base) -> None:
    def draw(seed: int) -> bool:
        rng = np.random.default_rng(seed)
        values, at = with_outlier(rng, base)
        wrong = [f"{value:.1f}" for value in rng.permutation(np.delete(values, at))[:3]]
        options = shuffled(rng, f"{values[at]:.1f}", wrong)
        return chosen(f"Given the series {listed(values)}, which value is an anomaly?", *options) == f"{values[at]:.1f}"

    assert sum(map(draw, range(DRAWS))) >= LEAST


@pytest.mark.parametrize(
    ("template", "text", "base_index"),
    [
        ("index {}", "Which point of {} is an outlier?", 0),
        (
            "{}",
            "分析如下时间序列\n{}\n请找出其中明显异常点的下标。所谓的异常点一般指的是明显与数据整体趋势不符的点。",
            0,
        ),
        ("第{}个点", "分析下面的时间序列，哪些点是异常点：{}", 1),
        ("position {}", "Positions are counted from 1. Find the anomaly: {}", 1),
    ],
)
def test_finds_the_outlier_by_position(template: str, text: str, base_index: int) -> None:
    def draw(seed: int) -> bool:
        rng = np.random.default_rng(seed)
        values, at = with_outlier(rng, [level, wave, rising][seed % 3])
        others = [i for i in rng.permutation(len(values)) if i != at][:3]
        right = template.format(at + base_index)
        options = shuffled(rng, right, [template.format(i + base_index) for i in others])
        return chosen(text.format(listed(values)), *options) == right

    assert sum(map(draw, range(DRAWS))) >= LEAST


def test_finds_sets_of_outliers_or_none() -> None:
    def draw(seed: int) -> bool:
        rng = np.random.default_rng(seed)
        values = [level, wave, rising][seed % 3](rng, 40)
        a, b, c, d = (int(i) for i in rng.choice(40, 4, replace=False))
        bad = seed % 4 != 0
        if bad:
            values[[a, b]] += rng.uniform(30, 80)
        sets = [f"{a}, {b}", f"{a}, {c}", f"{c}, {d}"]
        right = sets[0] if bad else "no anomaly"
        options = [*sets, "no anomaly"]
        text = f"Which indices (0-based) of {listed(values)} are anomalous?"
        return chosen(text, *(options[i] for i in rng.permutation(4))) == right

    assert sum(map(draw, range(DRAWS))) >= LEAST


def test_counts_outliers() -> None:
    def draw(seed: int) -> bool:
        rng = np.random.default_rng(seed)
        values = [level, wave][seed % 2](rng, 50)
        count = int(rng.integers(0, 4))
        values[rng.choice(50, count, replace=False)] += rng.uniform(40, 80)
        text = f"How many anomalies are there in {listed(values)}?"
        return chosen(text, "0", "1", "2", "3") == str(count)

    assert sum(map(draw, range(DRAWS))) >= LEAST


def test_finds_where_the_level_shifts() -> None:
    def draw(seed: int) -> bool:
        rng = np.random.default_rng(seed)
        values, at = level(rng, 40), int(rng.integers(8, 32))
        values[at:] += rng.choice([-1, 1]) * rng.uniform(10, 40)
        wrong = [f"index {i}" for i in rng.permutation(40) if abs(i - at) > 2][:3]
        text = f"At which index does the level shift occur? {listed(values)}"
        return chosen(text, *shuffled(rng, f"index {at}", wrong)) == f"index {at}"

    assert sum(map(draw, range(DRAWS))) >= LEAST


ENGLISH = {
    "stationary noise around a constant level": level,
    "periodic (seasonal) pattern": wave,
    "increasing trend": rising,
    "decreasing trend": falling,
    "upward level shift": stepping,
    "downward level shift": stepping_down,
    "stable with isolated spikes": spiking,
}
CHINESE = {
    "平稳": level,
    "周期性": wave,
    "持续增长": rising,
    "持续下降": falling,
    "突增": stepping,
    "随机游走": walking,
}
SHAPES = {
    "linear growth": rising,
    "exponential growth": growing,
    "exponential decay": decaying,
    "increasing variance": widening,
    "random walk": walking,
    "white noise": level,
}


@pytest.mark.parametrize(
    ("classes", "right"),
    [(c, name) for c in (ENGLISH, CHINESE, SHAPES) for name in c],
    ids=lambda value: str(value)[:20],
)
def test_names_the_pattern(classes: dict[str, Base], right: str) -> None:
    def draw(seed: int) -> bool:
        rng = np.random.default_rng(seed)
        values = classes[right](rng, int(rng.integers(36, 61)))
        wrong = [str(name) for name in rng.permutation([name for name in classes if name != right])]
        ask_for = "下面的时间序列属于哪种类型？" if classes is CHINESE else "Which pattern describes the series best?"
        return chosen(f"{ask_for}\n{listed(values)}", *shuffled(rng, right, wrong)) == right

    draws = DRAWS // 2 if classes is CHINESE else DRAWS  # mostly the same series in other words
    assert sum(map(draw, range(draws))) >= LEAST * draws // DRAWS


@pytest.mark.parametrize("base", [level, wave, rising, growing, decaying, stepping])
@pytest.mark.parametrize("steps", [1, 4])
def test_forecasts_the_next_values(base: Base, steps: int) -> None:
    def draw(seed: int) -> bool:
        rng = np.random.default_rng(seed)
        values = base(rng, 40)
        past, future = values[:-steps], values[-steps:]
        spread = max(float(np.ptp(past[-20:])) / 2, 12.0)
        off = [future + shift * spread for shift in (-1.6, 1.0, 1.7)]
        right = listed(future) if steps > 1 else f"{future[0]:.1f}"
        wrong = [listed(other) if steps > 1 else f"{other[0]:.1f}" for other in off]
        text = f"Predict the next {steps} value(s) of {listed(past)}"
        return chosen(text, *shuffled(rng, right, wrong)) == right

    assert sum(map(draw, range(DRAWS // 4))) >= LEAST // 4


SAMPLE = (
    "分析如下时间序列\n[50,62,74,84,92,97,99,98,94,87,77,65,265,40,28,17,8,3,0,0,4,10,20,31,43,56,68,79,89,95,99,99,96,91,"
    "82,71,59,46,34,22,12,5,1,0,2,7,15,25,37,49]\n请找出其中明显异常点的下标。"
)
FLAT = "[10, 11, 10, 9, 10, 50, 10, 11, 9, 10]"


@pytest.mark.parametrize(
    ("text", "options", "right"),
    [
        (SAMPLE, ("46", "0", "37", "12"), "12"),
        (f"Find the outlier in {FLAT}", ("the 6th value", "the 5th value", "the 2nd value"), "the 6th value"),
        (f"Is there an anomaly in {FLAT}?", ("No", "Yes"), "Yes"),
        (f"{FLAT}中是否存在异常？", ("是", "否"), "是"),
        ("[10, 11, 10, 9, 10, 11, 10, 9]是否存在异常？", ("有异常", "没有异常"), "没有异常"),
        (f"Which range of {FLAT} is anomalous?", ("index 1-2", "index 4 to 6", "index 7-9"), "index 4 to 6"),
        (
            (
                "哪个时间点的延迟异常？\n10:00 20ms\n10:01 21ms\n10:02 19ms\n10:03 95ms"
                "\n10:04 20ms\n10:05 22ms\n10:06 20ms"
            ),
            ("10:01", "10:03", "10:05", "10:06"),
            "10:03",
        ),
        (
            "Which point is abnormal? t=5: 10, t=6: 11, t=7: 10, t=8: 70, t=9: 10, t=10: 11, t=11: 10",
            ("t=3", "t=6", "t=8", "t=11"),
            "t=8",
        ),
        (
            "Which of these is an outlier? 1,234, 1,240, 1,229, 9,876, 1,235, 1,231, 1,238",
            ("1,234", "9,876", "1,238"),
            "9,876",
        ),
        ("Predict the next value: 2, 4, 6, 8, 10, 12, 14", ("15", "16", "17", "18"), "16"),
        ("下一个值最可能是多少？1, 2, 4, 8, 16, 32, 64, 128", ("130", "192", "256", "512"), "256"),
        (
            "预测接下来的3个值：3, 5, 9, 3, 5, 9, 3, 5, 9, 3, 5, 9",
            ("[9, 5, 3]", "[3, 5, 9]", "[5, 9, 3]"),
            "[3, 5, 9]",
        ),
        (
            "Forecast the next value: 50MB, 52MB, 54MB, 56MB, 58MB, 60MB, 62MB",
            ("40-45 MB", "55-60 MB", "62-66 MB", "> 80 MB"),
            "62-66 MB",
        ),
        (
            "[1,2,3,2,1,2,3,2,1,2,3,2,1,2,3,2]: which statement is true?",
            ("an increasing trend", "periodic with period 3", "periodic with period 4", "no clear pattern"),
            "periodic with period 4",
        ),
        (
            "[100,102,98,101,99,100,180,182,179,181,180,178]: what happened?",
            ("a spike at index 6", "a level shift at index 3", "a level shift at index 6", "nothing"),
            "a level shift at index 6",
        ),
        ("哪些是异常值? [3, 4, 3, 5, 4, 60, 4, 3, -50, 4, 5, 3]", ("60", "60和-50", "-50", "5"), "60和-50"),
        (
            "Latencies 10 11 10 12 11 10 11 12 10 95: which is abnormal?",
            ("the first point", "none of the points", "the last point"),
            "the last point",
        ),
        ("The next value of 1 2 3 4 5 6 7 8 9 will", ("increase", "decrease", "stay unchanged"), "increase"),
        ("What is the period of 1 5 9 1 5 9 1 5 9 1 5 9 1 5 9?", ("2", "3", "4", "6"), "3"),
        ("Classify: 5, 5, 5, 5, 5, 5, 5, 5, 5, 5", ("constant", "increasing trend", "seasonal"), "constant"),
        (
            f"What kind of anomaly is in {FLAT}?",
            ("a level shift at index 5", "a spike at index 5", "a spike at index 2", "no anomaly"),
            "a spike at index 5",
        ),
    ],
)
def test_answers(text: str, options: tuple[str, ...], right: str) -> None:
    assert chosen(text, *options) == right


@pytest.mark.parametrize(
    "question",
    [
        None,
        Question("q", f"Which is an anomaly? {FLAT}"),
        Question("q", "Which tool builds Java projects?", ("Maven", "npm", "pip", "cargo")),
        Question("q", f"What is the mean of {FLAT}?", ("10", "12", "14", "16")),
        Question("q", f"Which is an anomaly? {FLAT}", ("red", "green", "blue")),
        Question("q", f"Which is an anomaly? {FLAT}", ("the red one", "none of them")),
    ],
)
def test_without_an_answer_no_letter_is_printed(question: Question | None) -> None:
    text = answer(question)
    assert text
    assert parse_letter(text, tuple("ABCDEFGHIJ")).value is None
    assert not re.search(r"\b[A-J]\b", text)


def test_the_finding_comes_before_the_answer() -> None:
    text = answer(Question("q", SAMPLE, ("46", "0", "37", "12")))
    assert "index 12 (265)" in text
    assert text.endswith("the answer is (D)")


def test_kinds() -> None:
    numbers, words = ("1", "2"), ("periodic", "stable")
    assert kind_of("which are outliers", numbers) == "anomaly"
    assert kind_of("how many outliers", numbers) == "count"
    assert kind_of("predict the next value, ignore the outlier", numbers) == "forecast"
    assert kind_of("判断序列的异常类型", ("突增", "突降", "周期性")) == "pattern"
    assert kind_of("whatever this is", words) == "pattern"
    assert kind_of("what is the sum", numbers) is None


async def test_the_expert_is_a_chat_model_and_works_beside_the_event_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads: list[int] = []

    def noted(question: Question | None) -> str:
        threads.append(threading.get_ident())
        return answer(question)

    monkeypatch.setattr("coe_ray.experts.timeseries.expert.answer", noted)
    expert = TimeSeriesExpert("statistics")
    assert isinstance(expert, ChatModel)
    assert expert.name == "statistics"
    call = Call((), question=Question("q", SAMPLE, ("46", "0", "37", "12")))
    completions = await asyncio.gather(*(expert.complete(call) for _ in range(4)))
    assert {completion.text[-3:] for completion in completions} == {"(D)"}
    pieces = [piece async for piece in expert.stream(call)]
    assert "".join(piece.text for piece in pieces) == completions[0].text
    assert pieces[-1].finish_reason == "stop"
    assert threading.get_ident() not in threads
    with pytest.raises(CannotAnswer, match="no question with options to read"):
        await expert.complete(Call(()))


REQUESTS = st.sampled_from(
    [
        "which is an anomaly ",
        "how many outliers ",
        "predict the next value ",
        "classify the pattern ",
        "周期是多少 ",
        "变点位置 ",
        "异常点 ",
    ]
)
VALUES = st.lists(
    st.one_of(
        st.integers(-5, 5),
        st.integers(-(10**20), 10**20),
        st.floats(allow_nan=True, allow_infinity=True),
        st.sampled_from([0, 0.1, 1e-300, 1e300, 1e60, -1e59]),
    ),
    max_size=40,
)
OPTION = st.one_of(
    st.text(max_size=20),
    st.integers(-3, 45).map(str),
    st.floats().map(str),
    st.sampled_from(
        [
            "index 3-5",
            "第2个点",
            "no anomaly",
            "trend up",
            "平稳",
            "非平稳",
            "> 5",
            "3 to 4",
            "[1, 2, 3]",
            "spike at index 2",
            "10:00",
        ]
    ),
)


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(st.text(max_size=300), st.tuples(REQUESTS, VALUES).map(lambda pair: pair[0] + str(pair[1]))),
    st.lists(OPTION, max_size=12).map(tuple),
)
def test_any_question_gets_a_letter_of_its_options_or_none(text: str, options: tuple[str, ...]) -> None:
    question = Question("q", text, options)
    text = answer(question)
    if "the answer is" in text:
        assert text[-2] in question.letters[: len(options)]
        assert parse_letter(text, question.letters).value == text[-2]
    else:
        assert parse_letter(text, question.letters).value is None


@settings(max_examples=100, deadline=None)
@given(
    REQUESTS,
    st.lists(st.integers(-3, 3), min_size=6, max_size=30),
    st.lists(OPTION, min_size=1, max_size=4).map(tuple),
)
def test_short_and_nearly_constant_series_never_fail(text: str, values: list[int], options: tuple[str, ...]) -> None:
    ask(text + str(values), *options)

"""Time-series expert: reads the series out of a multiple-choice question and answers by statistics, without an LLM.

Its text is the finding and "the answer is (X)". Where there is no series, or nothing that it can measure, it abstains:
it never guesses.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import ClassVar, Literal, TypeAlias

from coe_ray.core.abilities import Ability
from coe_ray.core.chat_model import stream_completion
from coe_ray.core.errors import CannotAnswer
from coe_ray.core.types import Call, Completion, Delta, Question
from coe_ray.experts.timeseries.concepts import read_claim
from coe_ray.experts.timeseries.options import denies_anomaly, has_positions, parse_yes_no
from coe_ray.experts.timeseries.series import read_series
from coe_ray.experts.timeseries.verdicts import (
    SeriesQuestion,
    Verdict,
    judge_anomalies,
    judge_change,
    judge_count,
    judge_forecast,
    judge_pattern,
    judge_period,
)

Kind: TypeAlias = Literal["anomaly", "count", "change", "period", "pattern", "forecast"]

ANSWERED = "the answer is "

_FORECAST = re.compile(
    r"predict|forecast|\bnext\b|will be|extrapolat|continu|following\s+(?:value|point|step)"
    r"|预测|下一|接下来|后续|未来|后面",
    re.I,
)
_AHEAD = re.compile(r"predict|forecast|\bnext\b|预测|下一|接下来|后续|未来", re.I)
_ANOMALY = re.compile(r"anomal|outlier|abnormal|unusual|deviat|irregular|异常|离群|反常", re.I)
_CHANGE = re.compile(
    r"change[- ]?points?|变点|突变点"
    r"|(?:level[- ]?shift|step|jump|shift|change)\w*\s+(?:\w+\s+){0,3}(?:occur|happen|start|begin|take)"
    r"|(?:突变|跳变|阶跃)\w{0,6}(?:位置|发生|开始|时刻)",
    re.I,
)
_PATTERN = re.compile(
    r"classif|pattern|categor|\btype\b|\bclass\b|trend|describ|behavio|characteri|shape|which kind"
    r"|分类|类型|类别|模式|属于|哪种|哪类|特征|趋势|形态|规律",
    re.I,
)
_COUNT = re.compile(r"how many|number of|多少个?|几个|数量|个数", re.I)
_PERIOD = re.compile(
    r"\bperiod\b|cycle length|seasonal\w* length|周期(?:长度)?(?:是|为|有)?(?:多少|几|多长)|周期长度", re.I
)


class TimeSeriesExpert:
    """Expert for questions on anomalies, patterns and forecasts of a series; others stay unanswered."""

    reads: ClassVar[frozenset[Ability]] = frozenset({"choice"})

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    async def complete(self, call: Call) -> Completion:
        """The answer to `call.question`, computed in a thread so that the event loop stays free.

        Raises `CannotAnswer` where there is no series, or nothing that it can measure.
        """
        started = time.perf_counter()
        text = await asyncio.to_thread(answer, call.question)
        if ANSWERED not in text:
            raise CannotAnswer(self.name, text)
        return Completion(text, seconds=time.perf_counter() - started)

    def stream(self, call: Call) -> AsyncIterator[Delta]:
        return stream_completion(self, call)


def answer(question: Question | None) -> str:
    """The finding and "the answer is (X)"; or the reason why there is no answer, without any letter."""
    if question is None or not question.options:
        return "no question with options to read"
    series = read_series(question.text)
    if series is None:
        return "no series in the question"
    options = question.options[: len(question.letters)]
    kind = kind_of(question.text, options)
    if kind is None:
        return "the question is not about outliers, patterns or forecasts"
    verdict = _JUDGES[kind](SeriesQuestion(question.text, options, series))
    best = max(verdict.scores)
    if best == -float("inf"):
        return f"{verdict.finding}; no option says anything that can be measured"
    return f"{verdict.finding}; {ANSWERED}({question.letters[verdict.scores.index(best)]})"


def kind_of(text: str, options: Sequence[str]) -> Kind | None:
    """The kind of question, by its words and by whether the options are numbers or descriptions."""
    anomaly, ahead, pattern = (bool(words.search(text)) for words in (_ANOMALY, _AHEAD, _PATTERN))
    numeric = sum(bool(re.search(r"\d", option)) for option in options)
    described = sum(read_claim(option) is not None and not denies_anomaly(option) for option in options)
    if numeric * 2 < len(options):
        if anomaly and described < 2 and any(parse_yes_no(option) is not None for option in options):
            return "anomaly"
        if described >= 2 or (described and (anomaly or pattern)):
            return "forecast" if ahead and _directions(options) else "pattern"
    rules: tuple[tuple[Kind, bool], ...] = (  # the first that holds
        ("period", bool(_PERIOD.search(text)) and bool(numeric) and not described and not anomaly and not ahead),
        ("count", anomaly and not ahead and bool(_COUNT.search(text)) and _all_counts(options)),
        ("anomaly", anomaly and not ahead),
        ("change", bool(_CHANGE.search(text))),
        ("forecast", bool(_FORECAST.search(text)) and bool(numeric)),
        ("anomaly", anomaly),
        ("anomaly", described > 1 and has_positions(options)),
        ("pattern", described > 1 or (described > 0 and pattern)),
    )
    return next((kind for kind, holds in rules if holds), None)


def _all_counts(options: Sequence[str]) -> bool:
    return all(len(re.findall(r"\d+(?:\.\d+)?", option)) == 1 or denies_anomaly(option) for option in options)


def _directions(options: Sequence[str]) -> bool:
    """Whether the options only say up, down or unchanged."""
    claims = [read_claim(option) for option in options]
    plain = [c for c in claims if c is not None and all(m <= {"trend", "up", "down", "stable"} for m in c.meanings)]
    return len(plain) >= 2 and len(plain) == sum(c is not None for c in claims)


_JUDGES: dict[Kind, Callable[[SeriesQuestion], Verdict]] = {
    "anomaly": judge_anomalies,
    "count": judge_count,
    "change": judge_change,
    "period": judge_period,
    "pattern": judge_pattern,
    "forecast": judge_forecast,
}

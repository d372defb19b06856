"""What an option's words claim about a series, in English or Chinese, and how well fitted models bear it out."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from coe_ray.experts.timeseries.patterns import KINDS, Fit

Tags: TypeAlias = frozenset[str]

_NOT = re.compile(
    r"(?:\bno\b|\bnot\b|\bnon[- ]?|\bwithout\b|\black(?:s|ing)?\b|\babsence of\b|\ba(?=period)"
    r"|无|没有|不是|不存在|不(?=呈|具)|非|未见|缺乏)"
    r"\s*(?:an?\b|any\b|clear|obvious|significant|visible|strong|呈|具有?|任何|明显|显著|的|\s)*$",
    re.IGNORECASE,
)
_UP = r"(?:up(?:ward)?s?|increas\w*|ris\w*|positive|higher)"
_DOWN = r"(?:down(?:ward)?s?|decreas\w*|fall\w*|drop\w*|negative|lower)"
_FAST = r"(?:sudden|abrupt|sharp|rapid|steep)\w*"
_STEP = r"(?:level[- ]?shift|mean[- ]?shift|shift|step|jump)\w*"
_SEASON = (
    r"season\w*|period\w*|cycl\w*|sinus\w*|\bsine|oscillat\w*|square[- ]wave|sawtooth|repeat\w*"
    r"|周期\w{0,1}|季节|循环|正弦|震荡|振荡|锯齿"
)
_THEN = r"[^,;，]{0,25}\bthen\b[^,;，]{0,25}"
_VARIANCE = r"(?:varianc\w*|volatil\w*|amplitude|fluctuation\w*|dispersion)"
_VARIANCE_ZH = r"(?:方差|波动性?|振幅|波动幅度|幅度)"

# What an option may mean, and below it the words for that: each line goes on with alternatives. What is matched is used
# up, so the more special comes first. Of meanings with a slash between them an option may mean any.
_TABLE = rf"""
variance wider
    (?:{_UP}|grow\w*|widen\w*|expand\w*)\s+(?:\w+\s+)?{_VARIANCE}
    {_VARIANCE}\s+(?:\w+\s+)?(?:{_UP}|grow\w*|widen\w*)|{_VARIANCE_ZH}\w{{0,3}}?(?:增大|变大|加剧|增加|扩大|增强)
variance narrower
    (?:{_DOWN}|shrink\w*|narrow\w*)\s+(?:\w+\s+)?{_VARIANCE}
    {_VARIANCE}\s+(?:\w+\s+)?(?:{_DOWN}|shrink\w*|narrow\w*)|{_VARIANCE_ZH}\w{{0,3}}?(?:减小|变小|减弱|降低|缩小|收窄)
variance
    heterosced\w*|chang\w*\s+(?:in\s+)?{_VARIANCE}|{_VARIANCE}\s+(?:change|shift|cluster|burst)\w*|异方差
    {_VARIANCE_ZH}\w{{0,2}}?(?:变化|改变|突变)|volatil\w*
walk
    random[- ]walk|brownian|unit[- ]root|随机游走|布朗运动
stable noise
    white[- ]noise|(?:pure|random)(?:ly)?\s+(?:noise|fluctuat\w*)|\bnoise\b|\bnoisy\b|随机(?:噪声|波动)|白?噪[声音]
stable noise / walk
    (?:no|without)\s+(?:any\s+|clear\s+|obvious\s+)*(?:pattern|regularity)|(?:无|没有)(?:明显)?(?:的)?规律
    \brandom(?:ly|ness)?\b|随机|irregular\w*|不规则
hump
    (?:ris|increas|grow|climb|goes up|up)\w*{_THEN}(?:fall|decreas|declin|drop|down)\w*
    先[升增涨上]\w{{0,3}}[后再][降减跌下]\w?|inverted[- ][uv]\b|bell[- ]shaped|倒[UV]
valley
    (?:fall|decreas|declin|drop|goes down|down)\w*{_THEN}(?:ris|increas|grow|recover|up)\w*
    先[降减跌下]\w{{0,3}}[后再][升增涨上回]\w?|\b[uv][- ]shape\w*|[UV][型形]
trend down exponential
    exponential(?:ly)?\s*(?:decay\w*|decreas\w*|declin\w*|fall\w*|drop\w*)|指数(?:级|型|式)?(?:衰减|下降|递减|减少)
trend up exponential
    exponential(?:ly)?\s*(?:growth|grow\w*|increas\w*|ris\w*)|指数(?:级|型|式)?(?:增长|上升|递增|增加)
trend exponential
    exponential\w*|指数\w{{0,1}}
trend down exponential / trend down
    decay\w*|衰减
trend saturating
    logarithm\w*|saturat\w*|plateau\w*|level(?:l)?ing off|对数\w{{0,2}}|饱和
shift up
    {_UP}\s+{_STEP}|{_STEP}\s+{_UP}|(?:向上|上升|上行)的?(?:平移|跳变|漂移|偏移|阶跃|突变)|上[移跳]|阶跃(?:上升|增加)|突升
shift down
    {_DOWN}\s+{_STEP}|{_STEP}\s+{_DOWN}|(?:向下|下降|下行)的?(?:平移|跳变|漂移|偏移|阶跃|突变)|下[移跳]|阶跃(?:下降|减少)
shift
    {_STEP}(?:\s+(?:change|function))?|change[- ]?point|regime\s+\w+|structural break|阶跃|跳变|突变|断层|台阶|平移
    (?:水平|均值|电平)\w{{0,1}}(?:偏移|漂移|移动|变化)|变点
shift up / spike up
    {_FAST}\s+(?:\w+\s+)?(?:{_UP}|surge|growth|spike)|surg(?:e|es|ing)\b|突增|激增|骤增|陡增|骤升|陡升|暴涨
    急剧(?:上升|增长|增加)|突然(?:上升|增长|增加|升高)
shift down / spike down
    {_FAST}\s+(?:\w+\s+)?(?:{_DOWN}|declin\w*|plunge)|plung\w*|突降|突减|骤降|陡降|骤减|骤跌|暴跌
    急剧(?:下降|减少|下跌)|突然(?:下降|减少|降低|下跌)
spike
    spik\w*|outlier\w*|impuls\w*|bursts?\b|pulses?\b|transient\w*|anomal\w*|尖峰|尖刺|毛刺|脉冲|突刺|突发|离群\w?|孤立点|异常\w?
spike down
    \bdips?\b|凹陷|尖谷
seasonal
    {_SEASON}
trend accelerating / trend exponential / hump / valley
    non-?linear\w*|quadratic\w*|parabol\w*|非线性|二次|抛物线?
trend up linear
    linear(?:ly)?\s+(?:\w+\s+)?(?:{_UP}|grow\w*)|线性(?:增长|上升|递增|增加)
trend down linear
    linear(?:ly)?\s+(?:\w+\s+)?(?:{_DOWN}|declin\w*)|线性(?:下降|递减|减少)
trend linear
    linear\w*|线性
trend up
    increas\w*|upward\w*|uptrend|\bup\b|grow\w*|\bris(?:e|es|en|ing)\b|climb\w*|ascend\w*|positive|higher|上升|增长|递增
    增加|上涨|上行|走高|升高|增大
trend down
    decreas\w*|downward\w*|downtrend|\bdown\b|declin\w*|fall\w*|\bdrop\w*|descend\w*|reduc\w*|negative|lower|下降|递减
    减少|下跌|下行|降低|走低|减小
trend
    trend\w*|drift\w*|趋势\w?|漂移
stable
    station[ae]r\w*|\bstab\w*|\bstead\w*|\bflat\b|constant\w*|\bnormal\w*|\bunchang\w*|平稳\w?|稳定\w?|恒定|常数|不变|正常|平缓
"""


def _read_table(table: str) -> Iterator[tuple[re.Pattern[str], tuple[Tags, ...]]]:
    for tags, words in re.findall(r"^(\S.*)\n((?: +.*\n)+)", table, re.MULTILINE):
        pattern = "|".join(line.strip() for line in words.splitlines())
        yield re.compile(pattern, re.IGNORECASE), tuple(frozenset(tag.split()) for tag in tags.split("/"))


_PATTERNS = tuple(_read_table(_TABLE))
_TREND = (frozenset({"trend"}),)
_USED = "§"
LONGEST_CLAIM = 400
"""Characters of an option that are read: the patterns take quadratic time."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What an option says the series is (any one of `meanings`) and is not (`denied` kinds)."""

    meanings: tuple[Tags, ...]
    denied: Tags = frozenset()


def read_claim(text: str) -> Claim | None:
    """The claim in an option's words; `None` where they name no pattern."""
    text = text[:LONGEST_CLAIM]
    said: list[tuple[Tags, ...]] = []
    denied: set[str] = set()
    for pattern, meanings in _PATTERNS:
        while found := pattern.search(text):
            before, after = text[: found.start()], text[found.end() :]
            if _NOT.search(before):
                denied |= {tag for meaning in meanings[:1] for tag in meaning & KINDS}
            elif not (meanings == _TREND and before.rstrip(" 的性型").endswith(_USED)):  # "seasonal trend"
                said.append(meanings)
            text = f"{before}{_USED}{after}"
    if not said and not denied:
        return None
    return Claim(_united(said), frozenset(denied))


def _united(said: Sequence[tuple[Tags, ...]]) -> tuple[Tags, ...]:
    """Several concepts in one option hold together; an alternative is chosen for each."""
    united: tuple[Tags, ...] = (frozenset(),)
    for meanings in said:
        united = tuple({one | other: None for one in united for other in meanings})[:16]
    return tuple(dict.fromkeys(_settled(tags) for tags in united)) if said else ()


def _settled(tags: Tags) -> Tags:
    if {"up", "down"} <= tags:
        tags -= {"up", "down"}
    if len(tags & KINDS) > 1:  # "steady growth", "normal with one spike": the other word is the news
        tags -= {"stable", "noise"}
    if tags & {"shift", "spike", "variance"}:  # "rises suddenly to a new level" is no trend
        tags -= {"trend"} if not tags & {"linear", "exponential"} else frozenset()
    return tags


def cost(claim: Claim, fits: Sequence[Fit], noise_share: float) -> float:
    """BIC of the best model that agrees with the claim (infinite: none does).

    A model with more to it than the claim says costs a little extra. `noise_share` is the spread of the values
    over their size: it tells a constant from noise around a level.
    """
    allowed = [fit for fit in fits if not fit.tags & claim.denied]
    if not claim.meanings:
        return min((fit.bic for fit in allowed), default=float("inf"))
    return min(_meaning_cost(meaning, allowed, noise_share) for meaning in claim.meanings)


def _meaning_cost(meaning: Tags, fits: Sequence[Fit], noise_share: float) -> float:
    kinds, rest = meaning & KINDS, meaning - KINDS - {"noise"}
    agreeing = [fit for fit in fits if kinds <= fit.kinds and (rest <= fit.tags)]
    if not agreeing:
        return float("inf")
    exact = min((fit.bic for fit in agreeing if fit.kinds == kinds), default=float("inf"))
    broader = min(fit.bic for fit in agreeing) + 8.0
    # Where two options share a richer model (trend, season: both), the simpler model decides between them.
    tie = 1e-3 * exact if exact < float("inf") else 0.0
    wrong_word = 0.5 if "stable" in kinds and ("noise" in meaning) == (noise_share < 0.05) else 0.0
    return min(exact, broader) + tie + wrong_word

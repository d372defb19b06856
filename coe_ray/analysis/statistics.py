"""Is one system better than another that answered the same questions? Pure: arrays in, figures out.

Questions of one category resemble each other, so they are not so many independent trials. Intervals therefore
resample whole categories (clusters), and beside McNemar's test, which takes questions for independent, stands a
test that does not. Accuracies and differences are fractions; intervals are at 95 %, tests two-sided.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.power import normal_sample_size_one_tail

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.intp]
Floats = npt.NDArray[np.float64]

FEWEST_CLUSTERS = 10
"""With fewer clusters than this their spread is not known well enough, and questions are resampled instead."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Where an accuracy lies, both ends in [0, 1], and what was resampled to say so."""

    low: float
    high: float
    method: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two systems on the same questions.

    `difference` is the accuracy of the first less that of the second, in [-1, 1], with its interval from `low` to
    `high`. `only_first` and `only_second` count the questions that one system alone got right. `p_mcnemar` is
    McNemar's exact test; `p_bootstrap` holds where questions of a category resemble each other, too. `needed` is how
    many independent questions would tell the two apart (see `questions_needed`).
    """

    difference: float
    low: float
    high: float
    only_first: int
    only_second: int
    p_mcnemar: float
    p_bootstrap: float
    needed: int | None


def accuracy_interval(correct: Bools, clusters: Ints, *, resamples: int = 10_000, seed: int = 0) -> Interval:
    """Percentile bootstrap of the share of right answers; `correct` and `clusters` (their numbers) have shape (N,).

    A resample draws as many clusters as there are, with replacement, and takes right answers over questions (a
    ratio estimator: clusters differ in size). With K even clusters it covers as often as Student's t with K - 1
    degrees of freedom stays within 1.96 * sqrt((K - 1) / K): 94.3 % for 54, 90 % for 10, and a little less where
    sizes are uneven. All right or all wrong gives an interval of no width. Raises ValueError for shapes that differ
    and for no questions.
    """
    units = _units(correct.astype(np.intp), clusters)
    low, high = _interval(units.shares(resamples, seed))
    return Interval(low, high, units.method)


def compare(first: Bools, second: Bools, clusters: Ints, *, resamples: int = 10_000, seed: int = 0) -> Comparison:
    """The two systems' answers to the same questions, paired; all three arrays have shape (N,).

    The interval resamples as `accuracy_interval` does. `p_bootstrap` is the wild cluster bootstrap with the null
    imposed and Rademacher weights (Cameron, Gelbach and Miller 2008): swapping the two systems in a random half of the
    clusters, how often is the difference at least as large? It lies in [1 / (resamples + 1), 1], and without clusters
    is McNemar's test, simulated. It keeps its level, where twice the smaller tail of the resampled differences would
    reject a true null as often as the interval misses: in 5.7 % of cases with 54 clusters, in 10 % with 10. So, near
    5 %, test and interval can disagree: believe the test. Raises ValueError as `accuracy_interval` does.
    """
    _same_shape(first, second)
    units = _units(first.astype(np.intp) - second, clusters)
    low, high = _interval(units.shares(resamples, seed))
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    difference, discordant = (only_first - only_second) / first.size, (only_first + only_second) / first.size
    return Comparison(
        difference=difference,
        low=low,
        high=high,
        only_first=only_first,
        only_second=only_second,
        p_mcnemar=float(mcnemar([[0, only_first], [only_second, 0]], exact=True).pvalue),
        p_bootstrap=units.p_of_no_difference(resamples, seed),
        needed=questions_needed(discordant, difference),
    )


def questions_needed(discordant: float, difference: float, *, alpha: float = 0.05, power: float = 0.8) -> int | None:
    """Questions for McNemar's test at level `alpha` to see `difference` with `power`; None where there is none.

    `discordant` is the share of questions that exactly one of two systems gets right. The formula is Connor's (1987),
    for large samples and independent questions; the exact test has some two points less power. Raises ValueError
    where |difference| <= discordant <= 1 does not hold.
    """
    if not abs(difference) <= discordant <= 1:
        raise ValueError(f"a difference of {difference} cannot come from {discordant} discordant questions")
    if difference == 0:
        return None
    spread_of_null, spread = math.sqrt(discordant), math.sqrt(discordant - difference**2)
    return math.ceil(float(normal_sample_size_one_tail(difference, power, alpha / 2, spread_of_null, spread)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's (1979) step-down adjusted p values, in the given order."""
    # By hand, as statsmodels' multipletests collects garbage at each call: a second in a process of this size.
    order = np.argsort(p_values, kind="stable")
    steps = np.array(p_values, dtype=np.float64)[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return [float(p) for p in adjusted]


@dataclass(frozen=True, slots=True)
class _Units:
    """What a resample draws: clusters, or questions grouped by score. The arrays have shape (U,).

    `totals` and `sizes` are a unit's summed score and its questions; `copies` is how often the data holds the unit.
    """

    totals: Floats
    sizes: Floats
    copies: Ints
    method: str

    def shares(self, resamples: int, seed: int) -> Floats:
        """The mean score of each bootstrap sample, shape (resamples,)."""
        draws = _draws(tuple(self.copies.tolist()), resamples, seed)
        shares: Floats = (draws @ self.totals) / (draws @ self.sizes)
        return shares

    def p_of_no_difference(self, resamples: int, seed: int) -> float:
        """How often random signs make the total score as large; the data is one more draw, so p is never 0."""
        # Whole numbers in floats: sums are exact, and ties are ties.
        signs = _signs(tuple(self.copies.tolist()), resamples, seed)
        as_large = np.abs(signs @ self.totals) >= abs(self.copies @ self.totals)
        return (1 + int(as_large.sum())) / (1 + resamples)


@lru_cache(maxsize=4)
def _draws(copies: tuple[int, ...], resamples: int, seed: int) -> Floats:
    """How often each resample draws each unit, shape (resamples, U); kept, as a study compares hundreds of pairs."""
    count = sum(copies)
    draws = np.random.default_rng([seed, 0]).multinomial(count, np.array(copies) / count, size=resamples)
    return draws.astype(np.float64)


@lru_cache(maxsize=4)
def _signs(copies: tuple[int, ...], resamples: int, seed: int) -> Floats:
    """The sum of a random sign for each copy of a unit, shape (resamples, U)."""
    heads = np.random.default_rng([seed, 1]).binomial(np.array(copies), 0.5, size=(resamples, len(copies)))
    signs: Floats = 2.0 * heads - np.array(copies)
    return signs


def _units(scores: Ints, clusters: Ints) -> _Units:
    _same_shape(scores, clusters)
    if not scores.size:
        raise ValueError("there are no questions")
    names, place = np.unique(clusters, return_inverse=True)
    if names.size < FEWEST_CLUSTERS:
        # Questions of one score are alike to a resample, so counts of scores are all that it must draw.
        values, copies = np.unique(scores, return_counts=True)
        method = f"bootstrap of questions: only {names.size} {'category' if names.size == 1 else 'categories'}"
        return _Units(values.astype(np.float64), np.ones(values.size), copies, method)
    return _Units(
        totals=np.bincount(place, weights=scores).astype(np.float64),
        sizes=np.bincount(place).astype(np.float64),
        copies=np.ones(names.size, np.intp),
        method="clustered bootstrap",
    )


def _same_shape(one: npt.NDArray[np.generic], other: npt.NDArray[np.generic]) -> None:
    if one.ndim != 1 or one.shape != other.shape:
        raise ValueError(f"arrays of one row a question are wanted, not of shapes {one.shape} and {other.shape}")


def _interval(shares: Floats) -> tuple[float, float]:
    low, high = np.quantile(shares, [0.025, 0.975])
    return float(low), float(high)

"""Statistics: against SciPy, exact sums and slow loops; how often intervals cover and tests reject a true null."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binom, binomtest, chi2, t

from coe_ray.analysis.statistics import (
    FEWEST_CLUSTERS,
    Bools,
    Comparison,
    Floats,
    Ints,
    accuracy_interval,
    compare,
    holm,
    questions_needed,
)

SIMULATIONS = 1000
RESAMPLES = 199
"""A simulated test is exact where 5 % of its draws, the data included, is a whole number."""


def assert_rate(hits: int, of: int, rate: float) -> None:
    """`hits` lies in the 99 % binomial band of `rate`."""
    low, high = binom.interval(0.99, of, rate)
    assert low <= hits <= high, f"{hits} of {of}, not {low} to {high} as a rate of {rate} would give"


def one_cluster(questions: int) -> Ints:
    return np.zeros(questions, np.intp)


def pair(both: int, only_first: int, only_second: int, neither: int) -> tuple[Bools, Bools]:
    counts = [both, only_first, only_second, neither]
    return np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)


def pair_in_clusters(
    rng: np.random.Generator, sizes: Ints, lead: Floats, discordant: float = 0.3
) -> tuple[Bools, Bools, Ints]:
    """Systems of which the first leads by `lead` (0 on average, where the null is true), cluster by cluster."""
    clusters = np.repeat(np.arange(sizes.size), sizes)
    draw, ahead = rng.random(clusters.size), (discordant + lead[clusters]) / 2
    both = rng.random(clusters.size) < 0.6
    first = np.where(draw < discordant, draw < ahead, both)
    return first, np.where(draw < discordant, draw >= ahead, both), clusters


def uneven_sizes(clusters: int, mean: int) -> Ints:
    weights = np.linspace(1, 5, clusters)
    sizes: Ints = np.rint(weights / weights.mean() * mean).astype(np.intp)
    return sizes


# One system


def test_questions_of_one_category_are_resampled_alone() -> None:
    correct = np.arange(200) < 130
    interval = accuracy_interval(correct, one_cluster(200))
    # A sample of questions with replacement holds a binomial number of right ones, so the ends are known.
    assert interval.low == pytest.approx(binom.ppf(0.025, 200, 0.65) / 200, abs=0.0051)
    assert interval.high == pytest.approx(binom.ppf(0.975, 200, 0.65) / 200, abs=0.0051)
    assert interval.method == "bootstrap of questions: only 1 category"


def test_clusters_are_resampled_whole() -> None:
    rng = np.random.default_rng(3)
    clusters = np.repeat(np.arange(12), uneven_sizes(12, 20))
    correct = rng.random(clusters.size) < rng.uniform(0.2, 0.9, 12)[clusters]
    members = [correct[clusters == cluster] for cluster in range(12)]
    slow = [np.concatenate([members[i] for i in rng.integers(0, 12, 12)]).mean() for _ in range(8000)]
    interval = accuracy_interval(correct, clusters, resamples=40_000)
    # An end's error over 8,000 draws is near sd * sqrt(0.025 * 0.975 / 8000) / 0.058 = 0.03 sd.
    assert [interval.low, interval.high] == pytest.approx(np.quantile(slow, [0.025, 0.975]), abs=0.12 * np.std(slow))
    assert interval.method == "clustered bootstrap"


def test_the_number_of_categories_decides_what_is_resampled() -> None:
    correct = np.arange(60) % 3 > 0
    enough = accuracy_interval(correct, np.arange(60) % FEWEST_CLUSTERS)
    too_few = accuracy_interval(correct, np.arange(60) % (FEWEST_CLUSTERS - 1))
    assert enough.method == "clustered bootstrap"
    assert too_few.method == "bootstrap of questions: only 9 categories"


def test_names_of_clusters_do_not_matter() -> None:
    rng = np.random.default_rng(4)
    correct, clusters = rng.random(300) < 0.7, rng.integers(0, 20, 300)
    assert accuracy_interval(correct, clusters) == accuracy_interval(correct, 7 * clusters + 1000)


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("clusters", [1, 30])
def test_all_right_and_all_wrong_have_no_width(right: bool, clusters: int) -> None:
    interval = accuracy_interval(np.full(90, right), np.arange(90) % clusters)
    assert (interval.low, interval.high) == (float(right), float(right))


def test_the_seed_decides() -> None:
    rng = np.random.default_rng(5)
    correct, clusters = rng.random(300) < 0.7, rng.integers(0, 20, 300)
    assert accuracy_interval(correct, clusters) == accuracy_interval(correct, clusters, seed=0)
    assert accuracy_interval(correct, clusters) != accuracy_interval(correct, clusters, seed=1)


@pytest.mark.parametrize("clusters", [10, 54])
def test_coverage_is_what_the_docstring_says(clusters: int) -> None:
    rng = np.random.default_rng(6)
    covered = 0
    for seed in range(SIMULATIONS):
        skill = rng.normal(0.6, 0.1, clusters).clip(0, 1)
        correct = (rng.random((clusters, 40)) < skill[:, None]).ravel()
        interval = accuracy_interval(correct, np.repeat(np.arange(clusters), 40), resamples=500, seed=seed)
        covered += interval.low <= 0.6 <= interval.high
    half_width = 1.96 * np.sqrt((clusters - 1) / clusters)
    assert_rate(covered, SIMULATIONS, 2 * t.cdf(half_width, clusters - 1) - 1)


def test_taking_clustered_questions_for_independent_covers_too_seldom() -> None:
    # The same world as above: what the clusters are there for.
    rng = np.random.default_rng(7)
    covered = 0
    for seed in range(300):
        skill = rng.normal(0.6, 0.1, 54)
        correct = (rng.random((54, 40)) < skill[:, None]).ravel()
        interval = accuracy_interval(correct, one_cluster(correct.size), resamples=1000, seed=seed)
        covered += interval.low <= 0.6 <= interval.high
    assert covered < binom.ppf(0.005, 300, 0.95)


@pytest.mark.parametrize(
    ("correct", "clusters", "message"),
    [
        (np.ones(0, np.bool_), one_cluster(0), "no questions"),
        (np.ones(3, np.bool_), one_cluster(4), "shapes"),
        (np.ones((2, 3), np.bool_), np.zeros((2, 3), np.intp), "shapes"),
    ],
)
def test_arrays_that_make_no_sense_are_refused(correct: Bools, clusters: Ints, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        accuracy_interval(correct, clusters)
    with pytest.raises(ValueError, match=message):
        compare(correct, correct, clusters)


def test_systems_must_have_answered_the_same_questions() -> None:
    with pytest.raises(ValueError, match="shapes"):
        compare(np.ones(1, np.bool_), np.ones(3, np.bool_), one_cluster(3))


# Two systems


def test_a_comparison_by_hand() -> None:
    first, second = pair(both=50, only_first=9, only_second=1, neither=40)
    result = compare(first, second, one_cluster(100))
    assert (result.difference, result.only_first, result.only_second) == (0.08, 9, 1)
    assert result.p_mcnemar == pytest.approx(2 * (1 + 10) / 2**10)
    assert 0 < result.low < 0.08 < result.high
    # Connor: (1.95996 * sqrt(0.1) + 0.84162 * sqrt(0.1 - 0.08**2))**2 / 0.08**2 = 120.15…
    assert result.needed == 121


def test_systems_that_answer_alike_cannot_be_told_apart() -> None:
    first, _ = pair(30, 20, 0, 0)
    assert compare(first, first, np.arange(50) % 25) == Comparison(0.0, 0.0, 0.0, 0, 0, 1.0, 1.0, None)


def test_as_many_lost_as_won_is_no_difference() -> None:
    result = compare(*pair(30, 7, 7, 6), one_cluster(50))
    assert (result.difference, result.p_mcnemar, result.p_bootstrap, result.needed) == (0.0, 1.0, 1.0, None)


def test_the_order_of_systems_only_turns_the_sign() -> None:
    rng = np.random.default_rng(8)
    first, second, clusters = pair_in_clusters(rng, uneven_sizes(20, 30), rng.normal(0.05, 0.05, 20))
    one, other = compare(first, second, clusters), compare(second, first, clusters)
    assert one.difference == -other.difference
    assert [one.low, one.high] == pytest.approx([-other.high, -other.low])
    assert (one.only_first, one.only_second) == (other.only_second, other.only_first)
    assert (one.p_mcnemar, one.p_bootstrap, one.needed) == (other.p_mcnemar, other.p_bootstrap, other.needed)


def test_mcnemar_is_the_binomial_test_of_discordant_questions() -> None:
    rng = np.random.default_rng(9)
    for _ in range(200):
        cells = rng.integers(0, 40, 4)
        result = compare(*pair(*cells), one_cluster(cells.sum()), resamples=10)
        _, only_first, only_second, _ = map(int, cells)
        if only_first + only_second:
            exact = binomtest(only_first, only_first + only_second).pvalue
            assert result.p_mcnemar == pytest.approx(exact, rel=1e-9)


def test_without_clusters_the_bootstrap_test_is_mcnemars() -> None:
    result = compare(*pair(100, 40, 22, 38), one_cluster(200), resamples=100_000)
    assert result.p_bootstrap == pytest.approx(result.p_mcnemar, abs=4 * np.sqrt(result.p_mcnemar / 100_000))


def test_the_bootstrap_test_against_every_swap_of_clusters() -> None:
    rng = np.random.default_rng(10)
    first, second, clusters = pair_in_clusters(rng, uneven_sizes(12, 25), rng.normal(0.1, 0.1, 12))
    leads = np.array(
        [(first & ~second)[clusters == i].sum() - (second & ~first)[clusters == i].sum() for i in range(12)]
    )
    signs = 1 - 2 * (np.arange(2**12)[:, None] >> np.arange(12) & 1)
    exact = float((np.abs(signs @ leads) >= abs(leads.sum())).mean())
    simulated = compare(first, second, clusters, resamples=100_000).p_bootstrap
    assert 0.005 < exact < 0.5
    assert simulated == pytest.approx(exact, abs=4 * np.sqrt(exact / 100_000))


def test_the_interval_of_a_difference_against_a_slow_bootstrap() -> None:
    rng = np.random.default_rng(11)
    first, second, clusters = pair_in_clusters(rng, uneven_sizes(12, 25), rng.normal(0.05, 0.1, 12))
    score = first.astype(np.intp) - second
    members = [score[clusters == cluster] for cluster in range(12)]
    slow = [np.concatenate([members[i] for i in rng.integers(0, 12, 12)]).mean() for _ in range(8000)]
    result = compare(first, second, clusters, resamples=40_000)
    assert [result.low, result.high] == pytest.approx(np.quantile(slow, [0.025, 0.975]), abs=0.12 * np.std(slow))


def test_a_clear_winner_gets_the_smallest_p_there_is() -> None:
    first, second = pair(0, 400, 0, 0)
    result = compare(first, second, np.arange(400) % 40, resamples=999)
    assert (result.difference, result.low, result.high, result.p_bootstrap) == (1.0, 1.0, 1.0, 1 / 1000)


# The null, planted


def rejections(null: Callable[[np.random.Generator], tuple[Bools, Bools, Ints]]) -> tuple[int, int, list[int]]:
    """How often each test rejects at 5 % (McNemar's, the bootstrap), and each comparison's discordant questions."""
    rng = np.random.default_rng(12)
    results = [compare(*null(rng), resamples=RESAMPLES, seed=seed) for seed in range(SIMULATIONS)]
    discordant = [result.only_first + result.only_second for result in results]
    return sum(r.p_mcnemar <= 0.05 for r in results), sum(r.p_bootstrap <= 0.05 for r in results), discordant


def size_of_exact_test(discordant: int) -> float:
    """How often McNemar's exact test at 5 % rejects a true null, given the number of discordant questions."""
    # 2 * P(X <= k) <= 5 % for k up to the critical count, in both tails.
    critical = int(binom.ppf(0.025, discordant, 0.5))
    critical -= binom.cdf(critical, discordant, 0.5) > 0.025
    return float(2 * binom.cdf(critical, discordant, 0.5))


def test_independent_questions_of_equal_systems_reject_at_the_level() -> None:
    by_mcnemar, by_bootstrap, discordant = rejections(
        lambda rng: pair_in_clusters(rng, np.array([2000]), np.zeros(1)),
    )
    exact = float(np.mean([size_of_exact_test(count) for count in discordant]))
    assert 0.04 < exact <= 0.05
    assert_rate(by_mcnemar, SIMULATIONS, exact)
    assert_rate(by_bootstrap, SIMULATIONS, exact)


def test_independent_questions_in_clusters_reject_at_the_level() -> None:
    by_mcnemar, by_bootstrap, discordant = rejections(
        lambda rng: pair_in_clusters(rng, uneven_sizes(54, 60), np.zeros(54)),
    )
    assert_rate(by_mcnemar, SIMULATIONS, float(np.mean([size_of_exact_test(count) for count in discordant])))
    assert_rate(by_bootstrap, SIMULATIONS, 0.05)


@pytest.mark.parametrize("clusters", [10, 54])
def test_clusters_with_leads_of_their_own_fool_mcnemars_test_and_not_the_bootstrap(clusters: int) -> None:
    by_mcnemar, by_bootstrap, _ = rejections(
        lambda rng: pair_in_clusters(rng, uneven_sizes(clusters, 60), rng.normal(0, 0.1, clusters).clip(-0.3, 0.3)),
    )
    assert by_mcnemar > SIMULATIONS * 0.15
    assert_rate(by_bootstrap, SIMULATIONS, 0.05)


# How many questions, and many tests


@pytest.mark.parametrize(("discordant", "difference"), [(0.2, 0.05), (0.3, 0.06), (0.1, -0.02)])
@pytest.mark.parametrize("power", [0.8, 0.95])
def test_the_questions_needed_give_the_power(discordant: float, difference: float, power: float) -> None:
    questions = questions_needed(discordant, difference, power=power)
    assert questions is not None
    rng = np.random.default_rng(13)
    shares = [(discordant + difference) / 2, (discordant - difference) / 2, 1 - discordant]
    only_first, only_second, _ = rng.multinomial(questions, shares, size=20_000).T
    total = only_first + only_second
    seen = (only_first - only_second) ** 2 / total > chi2.isf(0.05, 1)
    exactly = 2 * binom.cdf(np.minimum(only_first, only_second), total, 0.5) <= 0.05
    # Connor's formula is for large samples; a point of power is what it is worth here.
    assert seen.mean() == pytest.approx(power, abs=0.01)
    assert power - 0.03 < exactly.mean() <= seen.mean()


def test_a_harder_question_needs_more_questions() -> None:
    needed = [questions_needed(0.2, difference) for difference in (0.2, 0.1, 0.05, -0.05)]
    assert needed == [37, 155, 626, 626]
    assert questions_needed(0.2, 0.0) is None
    assert questions_needed(0.0, 0.0) is None


@pytest.mark.parametrize(("discordant", "difference"), [(0.1, 0.2), (0.1, -0.2), (1.1, 0.1), (float("nan"), 0.1)])
def test_a_difference_needs_as_many_discordant_questions(discordant: float, difference: float) -> None:
    with pytest.raises(ValueError, match="discordant"):
        questions_needed(discordant, difference)


@pytest.mark.parametrize(
    ("p_values", "adjusted"),
    [
        ([], []),
        ([0.03], [0.03]),
        ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]),  # 3 * 0.01; 2 * 0.03; 0.04 raised to what came before it
        ([0.5, 0.005, 0.9], [1.0, 0.015, 1.0]),
        ([0.02, 0.02], [0.04, 0.04]),
    ],
)
def test_holm(p_values: list[float], adjusted: list[float]) -> None:
    assert holm(p_values) == pytest.approx(adjusted)

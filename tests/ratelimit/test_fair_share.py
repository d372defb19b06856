"""Max-min fairness: sums, and that nobody could be better off but at the cost of somebody who has less."""

from hypothesis import given
from hypothesis import strategies as st

from coe_ray.ratelimit.fair_share import fair_shares, whole_shares

AMOUNTS = st.lists(st.floats(0, 1000), max_size=12)
WANTS = st.lists(st.integers(1, 300), min_size=1, max_size=12)


@given(st.floats(0, 5000), AMOUNTS)
def test_shares_add_up_and_none_is_beyond_its_want(total: float, wants: list[float]) -> None:
    shares = fair_shares(total, wants)
    assert sum(shares) <= total + 1e-6
    assert all(0 <= share <= want for share, want in zip(shares, wants, strict=True))
    assert sum(shares) >= min(total, sum(wants)) - 1e-6


@given(st.floats(0, 5000), AMOUNTS)
def test_who_gets_less_than_he_wants_has_as_much_as_anybody(total: float, wants: list[float]) -> None:
    shares = fair_shares(total, wants)
    short = [share for share, want in zip(shares, wants, strict=True) if share < want]
    assert all(share >= max(shares) - 1e-6 for share in short)


@given(st.integers(0, 500), WANTS)
def test_whole_shares_add_up_to_the_total_but_for_a_newcomers_part(total: int, wants: list[int]) -> None:
    shares = whole_shares(total, wants)
    unwanted, parts = max(total - sum(wants), 0), len(wants) + 1
    assert unwanted // parts <= total - sum(shares) <= -(-unwanted // parts)
    assert all(share >= min(total // len(wants), want) for share, want in zip(shares, wants, strict=True))


@given(st.integers(0, 500), WANTS)
def test_whole_shares_are_fair_to_one_call(total: int, wants: list[int]) -> None:
    shares = whole_shares(total, wants)
    short = [share for share, want in zip(shares, wants, strict=True) if share < want]
    assert all(share >= max(shares) - 1 for share in short)


@given(st.integers(0, 11), st.lists(st.integers(1, 300), min_size=12, max_size=12))
def test_the_first_in_the_row_get_one_each_where_there_are_too_few(total: int, wants: list[int]) -> None:
    assert whole_shares(total, wants) == [1] * total + [0] * (12 - total)


def test_what_nobody_wants_yet_is_spread_and_a_part_kept_for_a_newcomer() -> None:
    assert whole_shares(20, [3, 9]) == [5, 12]

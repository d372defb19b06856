"""Numbers as people write them."""

import pytest

from coe_ray.bench.report.formatting import money, p_value, points, round_count, sentence


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        (money(None), "–"),
        (money(0), "0.00"),
        (money(1234.567), "1,234.57"),
        (money(0.04211), "0.0421"),
        (money(1e-12), "0.00000000"),
        (points(0.0004), "0.0"),
        (points(-0.0123), "−1.2"),
        (round_count(12866), "13,000"),
        (round_count(7), "7"),
        (p_value(0.0001), "< 0.001"),
        (p_value(0.031), "0.031"),
        (p_value(0.72), "0.72"),
        (sentence("why not?"), "Why not?"),
        (sentence(""), "."),
    ],
)
def test_numbers_are_written_as_people_do(written: str, wanted: str) -> None:
    assert written == wanted

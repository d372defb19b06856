"""A client's limits and what it uses of them; how they meet headers and keys is in test_authenticator.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe_ray.serve.auth.client import AccessDenied, Client, ClientLimits, format_duration


def test_a_change_of_limits_keeps_the_count() -> None:
    client = Client("ci", ClientLimits(600, 2))
    first = client.admit(1, 0.0)
    client.limits = ClientLimits(600, 1)
    with pytest.raises(AccessDenied, match="1 requests at once are the most for this key"):
        client.admit(1, 0.0)
    first.release()
    with client.admit(1, 0.0) as admission:
        assert client.under_way == 1
        assert admission.headers["x-ratelimit-limit-requests"] == "600"
    assert client.under_way == 0


def test_the_remainder_is_an_estimate_for_all_replicas() -> None:
    client = Client("ci", ClientLimits(60, 100))
    assert client.admit(3, 0.0).headers["x-ratelimit-remaining-requests"] == "57"


def test_a_full_rate_comes_back_with_time() -> None:
    client = Client("ci", ClientLimits(60, 100))
    for _ in range(60):
        client.admit(1, 0.0)
    with pytest.raises(AccessDenied, match="try again in 1 s") as denied:
        client.admit(1, 0.0)
    assert denied.value.headers["x-ratelimit-reset-requests"] == "1m0s"
    client.admit(1, 1.0)


@given(st.floats(0, 1e6))
def test_durations_are_as_openai_writes_them(seconds: float) -> None:
    text = format_duration(seconds)
    minutes, _, rest = text.removesuffix("s").rpartition("m") if not text.endswith("ms") else ("", "", "")
    read = float(text.removesuffix("ms")) / 1000 if text.endswith("ms") else 60 * float(minutes or 0) + float(rest)
    assert seconds - 1e-6 <= read <= seconds + 0.101


def test_durations() -> None:
    written = [format_duration(each) for each in (0, 0.0121, 1, 1.45, 60, 359.95)]
    assert written == ["0ms", "13ms", "1s", "1.5s", "1m0s", "6m0s"]

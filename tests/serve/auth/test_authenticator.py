"""Who is let in, how much, and what the others are told."""

import asyncio
import contextlib
import hmac
import logging
import math
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from coe_ray.core.api_keys import add_key, hash_key, remove_key
from coe_ray.core.errors import DataError
from coe_ray.profile.profile import AccessConfig
from coe_ray.serve.auth import authenticator as module
from coe_ray.serve.auth import key_store
from coe_ray.serve.auth.authenticator import ANONYMOUS, LONGEST_KEY, Authenticator, read_bearer
from coe_ray.serve.auth.client import AccessDenied
from coe_ray.serve.auth.key_store import READ_EVERY_S, STALE_S


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def make_authenticator(
    file: Path | None, clock: Clock, rate: int = 60, at_once: int = 100, replicas: int = 1
) -> Authenticator:
    config = AccessConfig(requests_per_minute=rate, concurrency=at_once)
    return Authenticator(config, file, lambda: replicas, clock)


def with_keys(*keys: str) -> Headers:
    return Headers(raw=[(b"authorization", f"Bearer {key}".encode()) for key in keys])


def denial(authenticator: Authenticator, headers: Headers) -> AccessDenied:
    with pytest.raises(AccessDenied) as denied:
        authenticator.admit(headers)
    return denied.value


async def reload_keys(authenticator: Authenticator, clock: Clock, headers: Headers) -> None:
    """Let the gate see that its file has changed: one request makes it look, a later one takes what was found.

    A look from before the change may still be under way, so twice.
    """
    for _ in range(4):
        clock.now += READ_EVERY_S
        with contextlib.suppress(AccessDenied):
            authenticator.admit(headers).release()
        reading = authenticator._store and authenticator._store._reading
        if reading:
            await asyncio.wait([reading])


def test_a_known_key_is_let_in_by_its_name(file: Path, clock: Clock) -> None:
    key = add_key(file, "ci")
    add_key(file, "other")

    assert make_authenticator(file, clock).admit(with_keys(key)).name == "ci"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_schemes_case_does_not_matter(file: Path, clock: Clock, scheme: str) -> None:
    key = add_key(file, "ci")

    assert make_authenticator(file, clock).admit(Headers({"authorization": f"{scheme}  {key} "})).name == "ci"


def test_no_key_or_an_unknown_one_is_401_as_openais_clients_expect_it(file: Path, clock: Clock) -> None:
    key = add_key(file, "ci")
    authenticator = make_authenticator(file, clock)
    for headers in (
        Headers(),
        with_keys("coe-wrong"),
        with_keys(key + "x"),
        with_keys(key[:-1]),
        with_keys(key, key),
        Headers({"authorization": key}),
        Headers({"authorization": f"Basic {key}"}),
        with_keys(hash_key(key).hex()),
    ):
        denied = denial(authenticator, headers)
        assert (denied.status, denied.code) == (401, "invalid_api_key")
        assert denied.headers == {"WWW-Authenticate": "Bearer"}
        assert "coe-" not in denied.message


def test_every_key_is_compared_also_after_the_right_one(
    file: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [add_key(file, f"client-{number}") for number in range(5)]
    compared: list[bytes] = []

    def counting(own: bytes, given: bytes) -> bool:
        compared.append(own)
        return hmac.compare_digest(own, given)

    authenticator = make_authenticator(file, clock)
    monkeypatch.setattr(module, "hmac", type("Hmac", (), {"compare_digest": staticmethod(counting)}))
    for key in (keys[0], keys[-1], "coe-unknown"):
        compared.clear()
        try:
            authenticator.admit(with_keys(key))
        except AccessDenied:
            assert key == "coe-unknown"
        assert compared == [hash_key(each) for each in keys]


def test_without_keys_everybody_is_one_client(clock: Clock) -> None:
    anyone = make_authenticator(None, clock, rate=2)

    assert {anyone.admit(Headers()).name, anyone.admit(with_keys("whatever")).name} == {ANONYMOUS}
    assert denial(anyone, with_keys("another")).code == "rate_limit_exceeded"


def test_a_rate_is_a_burst_and_then_one_at_a_time(clock: Clock) -> None:
    authenticator = make_authenticator(None, clock, rate=6)
    for left in range(5, -1, -1):
        assert authenticator.admit(Headers()).headers["x-ratelimit-remaining-requests"] == str(left)

    denied = denial(authenticator, Headers())
    assert (denied.status, denied.code) == (429, "rate_limit_exceeded")
    assert denied.headers == {
        "Retry-After": "10",
        "x-ratelimit-limit-requests": "6",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "1m0s",
    }

    clock.now += 9.9
    denial(authenticator, Headers())
    clock.now += 0.2
    authenticator.admit(Headers())
    denial(authenticator, Headers())


def test_a_refused_request_costs_nothing(clock: Clock) -> None:
    authenticator = make_authenticator(None, clock, rate=1)
    authenticator.admit(Headers())
    for _ in range(50):
        denial(authenticator, Headers())

    clock.now += 60
    authenticator.admit(Headers())


def test_requests_at_once_are_authenticator_until_one_ends(clock: Clock) -> None:
    authenticator = make_authenticator(None, clock, at_once=2)
    first = authenticator.admit(Headers())
    with authenticator.admit(Headers()):
        denied = denial(authenticator, Headers())
        assert (denied.status, denied.code) == (429, "concurrency_limit_exceeded")
        assert denied.headers["Retry-After"] == "1"
    with authenticator.admit(Headers()):
        denial(authenticator, Headers())
        first.release()
        first.release()  # once more is nothing
        authenticator.admit(Headers())
        denial(authenticator, Headers())


def test_one_clients_limits_are_not_the_others(file: Path, clock: Clock) -> None:
    few, many = add_key(file, "few", requests_per_minute=1, concurrency=1), add_key(file, "many")
    authenticator = make_authenticator(file, clock, rate=1000)
    with authenticator.admit(with_keys(few)):
        assert denial(authenticator, with_keys(few)).code == "concurrency_limit_exceeded"
        for _ in range(100):
            authenticator.admit(with_keys(many))
    assert denial(authenticator, with_keys(few)).code == "rate_limit_exceeded"


@pytest.mark.parametrize(("replicas", "at_once", "in_a_burst"), [(1, 4, 8), (2, 2, 4), (3, 2, 2), (100, 1, 1)])
def test_a_replica_enforces_its_share(clock: Clock, replicas: int, at_once: int, in_a_burst: int) -> None:
    def admitted(authenticator: Authenticator, *, keep: bool) -> int:
        for count in range(1000):
            try:
                admission = authenticator.admit(Headers())
            except AccessDenied:
                return count
            if not keep:
                admission.release()
        raise AssertionError("no limit")

    assert admitted(make_authenticator(None, clock, rate=6000, at_once=4, replicas=replicas), keep=True) == at_once
    assert admitted(make_authenticator(None, clock, rate=8, replicas=replicas), keep=False) == in_a_burst


def test_a_replica_that_does_not_know_the_others_yet_counts_itself(clock: Clock) -> None:
    assert make_authenticator(None, clock, replicas=0).admit(Headers()).name == ANONYMOUS


async def test_a_changed_file_is_taken_up(file: Path, clock: Clock) -> None:
    first = add_key(file, "first")
    authenticator = make_authenticator(file, clock)
    second = add_key(file, "second", requests_per_minute=1)
    denial(authenticator, with_keys(second))

    await reload_keys(authenticator, clock, with_keys(first))
    assert authenticator.admit(with_keys(second)).name == "second"
    assert denial(authenticator, with_keys(second)).code == "rate_limit_exceeded"

    remove_key(file, "first")
    await reload_keys(authenticator, clock, with_keys(second))
    assert denial(authenticator, with_keys(first)).status == 401


async def test_after_a_quiet_time_the_very_first_request_meets_the_keys_as_they_are(file: Path, clock: Clock) -> None:
    first = add_key(file, "first")
    authenticator = make_authenticator(file, clock)
    second = add_key(file, "second")
    remove_key(file, "first")
    clock.now += STALE_S
    await authenticator.refresh()
    assert denial(authenticator, with_keys(first)).status == 401
    assert authenticator.admit(with_keys(second)).name == "second"


async def test_what_is_under_way_stays_counted_when_the_file_changes(file: Path, clock: Clock) -> None:
    key = add_key(file, "ci", concurrency=1)
    authenticator = make_authenticator(file, clock)
    under_way = authenticator.admit(with_keys(key))
    add_key(file, "other")
    await reload_keys(authenticator, clock, with_keys("coe-wrong"))

    denial(authenticator, with_keys(key))
    under_way.release()
    authenticator.admit(with_keys(key))


def spoiled(file: Path, content: str | None) -> bytes:
    """What was in it before."""
    written = file.read_bytes()
    if content is None:
        file.unlink()
    else:
        file.write_text(content)
    return written


def mended(file: Path, content: bytes) -> None:
    file.write_bytes(content)


@pytest.mark.parametrize("broken", ["", "[", '[{"name": "x"}]', None])
async def test_a_file_that_breaks_leaves_the_old_keys_and_says_so_once(
    file: Path, clock: Clock, caplog: pytest.LogCaptureFixture, broken: str | None
) -> None:
    key = add_key(file, "ci")
    authenticator = make_authenticator(file, clock)
    written = spoiled(file, broken)
    with caplog.at_level(logging.ERROR, "ray.serve"):
        for _ in range(3):
            await reload_keys(authenticator, clock, with_keys(key))
            assert authenticator.admit(with_keys(key)).name == "ci"
    assert len([each for each in caplog.records if str(file) in each.getMessage()]) == 1

    mended(file, written)
    another = add_key(file, "another")
    await reload_keys(authenticator, clock, with_keys(key))
    assert authenticator.admit(with_keys(another)).name == "another"


async def test_a_storage_that_hangs_does_not_stop_anybody(
    file: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = add_key(file, "ci")
    authenticator = make_authenticator(file, clock)
    assert authenticator._store is not None
    hanging: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    authenticator._store._reading = hanging
    for _ in range(10):
        clock.now += READ_EVERY_S
        await authenticator.refresh()
        assert authenticator.admit(with_keys(key)).name == "ci"
    assert authenticator._store._reading is hanging


async def test_a_storage_that_begins_to_hang_is_waited_for_once(
    file: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, go_on = add_key(file, "ci"), threading.Event()
    authenticator = make_authenticator(file, clock)
    assert authenticator._store is not None
    monkeypatch.setattr(authenticator._store, "read", lambda: go_on.wait(30))
    monkeypatch.setattr(key_store, "PATIENCE_S", 0.05)
    clock.now += STALE_S
    await authenticator.refresh()
    for _ in range(3):
        clock.now += READ_EVERY_S
        assert authenticator.admit(with_keys(key)).name == "ci"
        await asyncio.wait_for(authenticator.refresh(), 20)
    go_on.set()


def test_a_gate_without_a_file_of_keys_does_not_open(file: Path, clock: Clock) -> None:
    with pytest.raises(DataError, match=r"make one: coe-ray keys"):
        make_authenticator(file, clock)


async def test_other_limits_hold_at_once_and_a_bad_file_changes_nothing(
    file: Path, clock: Clock, tmp_path: Path
) -> None:
    key = add_key(file, "ci")
    authenticator = make_authenticator(file, clock, at_once=1)
    under_way = authenticator.admit(with_keys(key))
    denial(authenticator, with_keys(key))

    with pytest.raises(DataError):
        await authenticator.configure(AccessConfig(concurrency=9), tmp_path / "nothing.json")
    denial(authenticator, with_keys(key))

    await authenticator.configure(AccessConfig(concurrency=2), file)
    authenticator.admit(with_keys(key))
    denial(authenticator, with_keys(key))
    under_way.release()
    authenticator.admit(with_keys(key))


async def test_refusals_are_logged_together_and_without_keys(
    file: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    add_key(file, "ci")
    authenticator = make_authenticator(file, clock)
    with caplog.at_level(logging.WARNING, "ray.serve"):
        for _ in range(100):
            denial(authenticator, with_keys("coe-wrong"))
        clock.now += 61
        denial(authenticator, with_keys("coe-wrong"))
    assert [each.getMessage().rpartition(" ")[2] for each in caplog.records] == ["1", "100"]
    assert "coe-" not in caplog.text


HEADER = st.text(st.characters(max_codepoint=255), max_size=400)


@given(HEADER)
def test_any_header_is_a_key_or_none(value: str) -> None:
    key = read_bearer(value)
    assert key is None or (0 < len(key) <= LONGEST_KEY and key in value and value.strip().lower().startswith("bearer"))


@given(st.lists(HEADER, max_size=3))
def test_no_header_but_the_right_one_is_let_in(tmp_path_factory: pytest.TempPathFactory, values: Sequence[str]) -> None:
    file = tmp_path_factory.mktemp("any") / "keys.json"
    add_key(file, "ci")
    headers = Headers(raw=[(b"authorization", value.encode("latin-1")) for value in values])
    denied = denial(make_authenticator(file, Clock()), headers)
    assert denied.status == 401
    assert not any(len(value) > 8 and value in denied.message for value in values)


@given(st.lists(st.floats(0, 30), min_size=1, max_size=200), st.integers(1, 20))
def test_never_more_than_twice_the_rate_in_any_minute(pauses: Sequence[float], rate: int) -> None:
    """As for any bucket that holds a minute's worth: a full one, and what flows in meanwhile."""
    clock = Clock()
    authenticator = make_authenticator(None, clock, rate=rate, at_once=10**6)
    begun = []
    for pause in pauses:
        clock.now += pause
        try:
            authenticator.admit(Headers())
        except AccessDenied as denied:
            assert 1 <= int(denied.headers["Retry-After"]) <= math.ceil(60 / rate) + 1
        else:
            begun.append(clock.now)
    for end in begun:
        assert sum(end - 60 < each <= end for each in begun) <= 2 * rate

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
from coe_ray.core.errors import ConfigError, DataError
from coe_ray.profile.profile import AccessConfig
from coe_ray.serve.auth import authenticator as access
from coe_ray.serve.auth import key_store as key_file
from coe_ray.serve.auth.authenticator import ANONYMOUS, LONGEST_KEY, AccessDenied, Authenticator, bearer, duration
from coe_ray.serve.auth.key_store import LOOK_EVERY_S, SURE_S
from coe_ray.serve.auth.loopback import is_loopback, require_keys_or_loopback


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


def gate(file: Path | None, clock: Clock, rate: int = 60, at_once: int = 100, replicas: int = 1) -> Authenticator:
    config = AccessConfig(requests_per_minute=rate, concurrency=at_once)
    return Authenticator(config, file, lambda: replicas, clock)


def sent(*keys: str) -> Headers:
    return Headers(raw=[(b"authorization", f"Bearer {key}".encode()) for key in keys])


def refusal(gate: Authenticator, headers: Headers) -> AccessDenied:
    with pytest.raises(AccessDenied) as refused:
        gate.admit(headers)
    return refused.value


async def noticed(gate: Authenticator, clock: Clock, headers: Headers) -> None:
    """Let the gate see that its file has changed: one request makes it look, a later one takes what was found.

    A look from before the change may still be under way, so twice.
    """
    for _ in range(4):
        clock.now += LOOK_EVERY_S
        with contextlib.suppress(AccessDenied):
            gate.admit(headers).release()
        looking = gate._file and gate._file._looking
        if looking:
            await asyncio.wait([looking])


def test_a_known_key_is_let_in_by_its_name(file: Path, clock: Clock) -> None:
    key = add_key(file, "ci")
    add_key(file, "other")

    assert gate(file, clock).admit(sent(key)).client == "ci"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_schemes_case_does_not_matter(file: Path, clock: Clock, scheme: str) -> None:
    key = add_key(file, "ci")

    assert gate(file, clock).admit(Headers({"authorization": f"{scheme}  {key} "})).client == "ci"


def test_no_key_or_an_unknown_one_is_401_as_openais_clients_expect_it(file: Path, clock: Clock) -> None:
    key = add_key(file, "ci")
    closed = gate(file, clock)
    for headers in (
        Headers(),
        sent("coe-wrong"),
        sent(key + "x"),
        sent(key[:-1]),
        sent(key, key),
        Headers({"authorization": key}),
        Headers({"authorization": f"Basic {key}"}),
        sent(hash_key(key).hex()),
    ):
        refused = refusal(closed, headers)
        assert (refused.status, refused.code) == (401, "invalid_api_key")
        assert refused.headers == {"WWW-Authenticate": "Bearer"}
        assert "coe-" not in refused.message


def test_every_key_is_compared_also_after_the_right_one(
    file: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [add_key(file, f"client-{number}") for number in range(5)]
    compared: list[bytes] = []

    def counting(own: bytes, given: bytes) -> bool:
        compared.append(own)
        return hmac.compare_digest(own, given)

    closed = gate(file, clock)
    monkeypatch.setattr(access, "hmac", type("Hmac", (), {"compare_digest": staticmethod(counting)}))
    for key in (keys[0], keys[-1], "coe-unknown"):
        compared.clear()
        try:
            closed.admit(sent(key))
        except AccessDenied:
            assert key == "coe-unknown"
        assert compared == [hash_key(each) for each in keys]


def test_without_keys_everybody_is_one_client(clock: Clock) -> None:
    open_gate = gate(None, clock, rate=2)

    assert {open_gate.admit(Headers()).client, open_gate.admit(sent("whatever")).client} == {ANONYMOUS}
    assert refusal(open_gate, sent("another")).code == "rate_limit_exceeded"


def test_a_rate_is_a_burst_and_then_one_at_a_time(clock: Clock) -> None:
    limited = gate(None, clock, rate=6)
    for left in range(5, -1, -1):
        assert limited.admit(Headers()).headers["x-ratelimit-remaining-requests"] == str(left)

    refused = refusal(limited, Headers())
    assert (refused.status, refused.code) == (429, "rate_limit_exceeded")
    assert refused.headers == {
        "Retry-After": "10",
        "x-ratelimit-limit-requests": "6",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "1m0s",
    }

    clock.now += 9.9
    refusal(limited, Headers())
    clock.now += 0.2
    limited.admit(Headers())
    refusal(limited, Headers())


def test_a_refused_request_costs_nothing(clock: Clock) -> None:
    limited = gate(None, clock, rate=1)
    limited.admit(Headers())
    for _ in range(50):
        refusal(limited, Headers())

    clock.now += 60
    limited.admit(Headers())


def test_requests_at_once_are_limited_until_one_ends(clock: Clock) -> None:
    limited = gate(None, clock, at_once=2)
    first = limited.admit(Headers())
    with limited.admit(Headers()):
        refused = refusal(limited, Headers())
        assert (refused.status, refused.code) == (429, "concurrency_limit_exceeded")
        assert refused.headers["Retry-After"] == "1"
    with limited.admit(Headers()):
        refusal(limited, Headers())
        first.release()
        first.release()  # once more is nothing
        limited.admit(Headers())
        refusal(limited, Headers())


def test_one_clients_limits_are_not_the_others(file: Path, clock: Clock) -> None:
    few, many = add_key(file, "few", requests_per_minute=1, concurrency=1), add_key(file, "many")
    limited = gate(file, clock, rate=1000)
    with limited.admit(sent(few)):
        assert refusal(limited, sent(few)).code == "concurrency_limit_exceeded"
        for _ in range(100):
            limited.admit(sent(many))
    assert refusal(limited, sent(few)).code == "rate_limit_exceeded"


@pytest.mark.parametrize(("replicas", "at_once", "in_a_burst"), [(1, 4, 8), (2, 2, 4), (3, 2, 2), (100, 1, 1)])
def test_a_replica_enforces_its_share(clock: Clock, replicas: int, at_once: int, in_a_burst: int) -> None:
    def admitted(limited: Authenticator, *, keep: bool) -> int:
        for count in range(1000):
            try:
                admission = limited.admit(Headers())
            except AccessDenied:
                return count
            if not keep:
                admission.release()
        raise AssertionError("no limit")

    assert admitted(gate(None, clock, rate=6000, at_once=4, replicas=replicas), keep=True) == at_once
    assert admitted(gate(None, clock, rate=8, replicas=replicas), keep=False) == in_a_burst


def test_a_replica_that_does_not_know_the_others_yet_counts_itself(clock: Clock) -> None:
    assert gate(None, clock, replicas=0).admit(Headers()).client == ANONYMOUS


async def test_a_changed_file_is_taken_up(file: Path, clock: Clock) -> None:
    first = add_key(file, "first")
    closed = gate(file, clock)
    second = add_key(file, "second", requests_per_minute=1)
    refusal(closed, sent(second))

    await noticed(closed, clock, sent(first))
    assert closed.admit(sent(second)).client == "second"
    assert refusal(closed, sent(second)).code == "rate_limit_exceeded"

    remove_key(file, "first")
    await noticed(closed, clock, sent(second))
    assert refusal(closed, sent(first)).status == 401


async def test_after_a_quiet_time_the_very_first_request_meets_the_keys_as_they_are(file: Path, clock: Clock) -> None:
    first = add_key(file, "first")
    closed = gate(file, clock)
    second = add_key(file, "second")
    remove_key(file, "first")
    clock.now += SURE_S
    await closed.settled()
    assert refusal(closed, sent(first)).status == 401
    assert closed.admit(sent(second)).client == "second"


async def test_what_is_under_way_stays_counted_when_the_file_changes(file: Path, clock: Clock) -> None:
    key = add_key(file, "ci", concurrency=1)
    closed = gate(file, clock)
    under_way = closed.admit(sent(key))
    add_key(file, "other")
    await noticed(closed, clock, sent("coe-wrong"))

    refusal(closed, sent(key))
    under_way.release()
    closed.admit(sent(key))


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
    closed = gate(file, clock)
    written = spoiled(file, broken)
    with caplog.at_level(logging.ERROR, "ray.serve"):
        for _ in range(3):
            await noticed(closed, clock, sent(key))
            assert closed.admit(sent(key)).client == "ci"
    assert len([each for each in caplog.records if str(file) in each.getMessage()]) == 1

    mended(file, written)
    another = add_key(file, "another")
    await noticed(closed, clock, sent(key))
    assert closed.admit(sent(another)).client == "another"


async def test_a_storage_that_hangs_does_not_stop_anybody(
    file: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = add_key(file, "ci")
    closed = gate(file, clock)
    assert closed._file is not None
    hanging: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    closed._file._looking = hanging
    for _ in range(10):
        clock.now += LOOK_EVERY_S
        await closed.settled()
        assert closed.admit(sent(key)).client == "ci"
    assert closed._file._looking is hanging


async def test_a_storage_that_begins_to_hang_is_waited_for_once(
    file: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, go_on = add_key(file, "ci"), threading.Event()
    closed = gate(file, clock)
    assert closed._file is not None
    monkeypatch.setattr(closed._file, "look", lambda: go_on.wait(30))
    monkeypatch.setattr(key_file, "PATIENCE_S", 0.05)
    clock.now += SURE_S
    await closed.settled()
    for _ in range(3):
        clock.now += LOOK_EVERY_S
        assert closed.admit(sent(key)).client == "ci"
        await asyncio.wait_for(closed.settled(), 20)
    go_on.set()


def test_a_gate_without_a_file_of_keys_does_not_open(file: Path, clock: Clock) -> None:
    with pytest.raises(DataError, match=r"make one: python jobs/keys\.py"):
        gate(file, clock)


async def test_other_limits_hold_at_once_and_a_bad_file_changes_nothing(
    file: Path, clock: Clock, tmp_path: Path
) -> None:
    key = add_key(file, "ci")
    closed = gate(file, clock, at_once=1)
    under_way = closed.admit(sent(key))
    refusal(closed, sent(key))

    with pytest.raises(DataError):
        await closed.configure(AccessConfig(concurrency=9), tmp_path / "nothing.json")
    refusal(closed, sent(key))

    await closed.configure(AccessConfig(concurrency=2), file)
    closed.admit(sent(key))
    refusal(closed, sent(key))
    under_way.release()
    closed.admit(sent(key))


async def test_refusals_are_logged_together_and_without_keys(
    file: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    add_key(file, "ci")
    closed = gate(file, clock)
    with caplog.at_level(logging.WARNING, "ray.serve"):
        for _ in range(100):
            refusal(closed, sent("coe-wrong"))
        clock.now += 61
        refusal(closed, sent("coe-wrong"))
    assert [each.getMessage().rpartition(" ")[2] for each in caplog.records] == ["1", "100"]
    assert "coe-" not in caplog.text


HEADER = st.text(st.characters(max_codepoint=255), max_size=400)


@given(HEADER)
def test_any_header_is_a_key_or_none(value: str) -> None:
    key = bearer(value)
    assert key is None or (0 < len(key) <= LONGEST_KEY and key in value and value.strip().lower().startswith("bearer"))


@given(st.lists(HEADER, max_size=3))
def test_no_header_but_the_right_one_is_let_in(tmp_path_factory: pytest.TempPathFactory, values: Sequence[str]) -> None:
    file = tmp_path_factory.mktemp("any") / "keys.json"
    add_key(file, "ci")
    headers = Headers(raw=[(b"authorization", value.encode("latin-1")) for value in values])
    refused = refusal(gate(file, Clock()), headers)
    assert refused.status == 401
    assert not any(len(value) > 8 and value in refused.message for value in values)


@given(st.floats(0, 1e6))
def test_durations_are_as_openai_writes_them(seconds: float) -> None:
    text = duration(seconds)
    minutes, _, rest = text.removesuffix("s").rpartition("m") if not text.endswith("ms") else ("", "", "")
    read = float(text.removesuffix("ms")) / 1000 if text.endswith("ms") else 60 * float(minutes or 0) + float(rest)
    assert seconds - 1e-6 <= read <= seconds + 0.101


def test_durations() -> None:
    written = [duration(each) for each in (0, 0.0121, 1, 1.45, 60, 359.95)]
    assert written == ["0ms", "13ms", "1s", "1.5s", "1m0s", "6m0s"]


@given(st.lists(st.floats(0, 30), min_size=1, max_size=200), st.integers(1, 20))
def test_never_more_than_twice_the_rate_in_any_minute(pauses: Sequence[float], rate: int) -> None:
    """As for any bucket that holds a minute's worth: a full one, and what flows in meanwhile."""
    clock = Clock()
    limited = gate(None, clock, rate=rate, at_once=10**6)
    begun = []
    for pause in pauses:
        clock.now += pause
        try:
            limited.admit(Headers())
        except AccessDenied as refused:
            assert 1 <= int(refused.headers["Retry-After"]) <= math.ceil(60 / rate) + 1
        else:
            begun.append(clock.now)
    for end in begun:
        assert sum(end - 60 < each <= end for each in begun) <= 2 * rate


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost", "LOCALHOST"])
def test_loopback_may_go_without_keys(host: str) -> None:
    require_keys_or_loopback(AccessConfig(keys=False), host)


@pytest.mark.parametrize("host", [None, "", "0.0.0.0", "::", "10.0.0.4", "example.org", "localhost.example.org", "*"])
def test_anything_else_may_not(host: str | None) -> None:
    assert not is_loopback(host)
    with pytest.raises(ConfigError, match=r"access\.keys is off"):
        require_keys_or_loopback(AccessConfig(keys=False), host)
    require_keys_or_loopback(AccessConfig(), host)

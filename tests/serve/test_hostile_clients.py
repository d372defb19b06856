"""Clients that mean harm, on the whole stack: HAProxy before the ingress, and Serve's own proxy in its place.

Each gets a 4xx or a closed connection, never a 5xx or a look inside; meanwhile the others are answered, and the memory
of the ingress does not grow with what is sent.
"""

import asyncio
import contextlib
import json
import resource
import selectors
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from coe_ray.core.api_keys import add_key
from coe_ray.serve.api.openai import DEADLINE
from tests.serve.api.fuzz_cases import mutated
from tests.serve.api.fuzz_requests import FuzzReport, all_sent
from tests.serve.upstream import Upstream
from tests.serve.world import build_world, write_profile
from tests.support.cluster import Cluster

APPLICATION = "attacked"
PATIENCE_S = 60.0
"""Until a client that stalls must be rid of. Longer than every time limit of the endpoint."""
SILENCE_S = 3
"""HAProxy's limit for a silent client in `haproxy_cluster`, below `DEADLINE_S`."""
DEADLINE_S = 6
BUSY_MB = 120
"""What the ingress may take for a moment: some bodies of 1 MiB, and what is made of them."""


@dataclass(frozen=True)
class Endpoint:
    """An endpoint, and what a client can do to it."""

    cluster: Cluster
    has_haproxy: bool
    profile: Path

    def connect(self, receives: int | None = None) -> socket.socket:
        host, port = self.cluster.url.removeprefix("http://").split(":")
        connection = socket.socket()
        if receives:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
        connection.settimeout(PATIENCE_S)
        connection.connect((host, int(port)))
        return connection

    def send(self, raw: bytes) -> list[int]:
        """The statuses that came back until the connection ended; the sending half is closed after the request."""
        with self.connect() as connection:
            send_all(connection, raw)
            return statuses(everything(connection))

    def ask(self, content: str = "number 7") -> str:
        body = {"model": "captain", "messages": [{"role": "user", "content": content}]}
        answer = httpx.post(f"{self.cluster.url}/v1/chat/completions", json=body, timeout=PATIENCE_S)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["choices"][0]["message"]["content"])

    def assert_answers(self) -> None:
        assert self.ask() == "This is the reply to number 7 and to no other."

    def ingress_bytes(self) -> int:
        replicas = self.cluster.processes(f"ray::ServeReplica:{APPLICATION}:ingress")
        assert replicas
        pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in replicas]
        return sum(pages) * resource.getpagesize()


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream().started() as upstream:
        yield upstream


@pytest.fixture(scope="module", params=["haproxy_cluster", "serve_cluster"])
def endpoint(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, upstream: Upstream
) -> Iterator[Endpoint]:
    with pytest.MonkeyPatch.context() as offline:
        offline.setenv("HF_HUB_OFFLINE", "1")
        profile = build_world(tmp_path_factory.mktemp("world"), upstream.base_url)
    cluster: Cluster = request.getfixturevalue(request.param)
    with cluster.serving(profile, name=APPLICATION):
        endpoint = Endpoint(cluster, request.param == "haproxy_cluster", profile)
        endpoint.assert_answers()
        yield endpoint


def post(body: bytes, *lines: bytes, length: int | None = -1, version: bytes = b"1.1") -> bytes:
    """`length` is the declared length of the body: -1 the true one, `None` no header."""
    content_length = [] if length is None else [b"Content-Length: %d" % (len(body) if length == -1 else length)]
    head = [
        b"POST /v1/chat/completions HTTP/" + version,
        b"Host: x",
        b"Content-Type: application/json",
        *content_length,
        *lines,
    ]
    return b"\r\n".join([*head, b"", body])


def chat_body(content: str = "number 7", **settings: object) -> bytes:
    return json.dumps({"model": "captain", "messages": [{"role": "user", "content": content}], **settings}).encode()


def send_all(connection: socket.socket, raw: bytes) -> None:
    try:
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # it was closed before the end, as it may be


def everything(connection: socket.socket) -> bytes:
    """Until the other side closes, by itself or hard. A side that does not close at all fails the test."""
    received = bytearray()
    try:
        while piece := connection.recv(1 << 16):
            received += piece
    except ConnectionError:
        pass
    return bytes(received)


def statuses(received: bytes) -> list[int]:
    assert b"Traceback" not in received
    return [int(line.split()[1]) for line in received.splitlines() if line.startswith(b"HTTP/1.")]


ASKED = chat_body()
HIDDEN = b"0\r\n\r\nGET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked"
ODD_BYTES = b"\xff\xfe\xc3\xa9"

MALFORMED = {
    "a header of 1 MB": post(ASKED, b"X-A: " + b"a" * 1_000_000),
    "10,000 header lines": post(ASKED, *(b"X-%d: a" % number for number in range(10_000))),
    "a URL of 100 KB": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "bytes in the URL": b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    "NUL in a header": post(ASKED, b"X-A: a\0b"),
    "a method of one's own": b"BREW /v1/models HTTP/1.1\r\nHost: x\r\n\r\n",
    "CONNECT": b"CONNECT a:80 HTTP/1.1\r\nHost: x\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
    "noise": bytes(range(256)) * 20,
    "a length that is no number": post(ASKED, b"Content-Length: +5", length=None),
    "a negative length": post(ASKED, length=-5),
    "a length beyond all numbers": post(ASKED, length=10**30),
    "two lengths": post(ASKED, b"Content-Length: 3"),
    "a body of 2 MB": post(b"a" * 2_000_000),
    "a body shorter than it says": post(ASKED, length=5_000),
    "a body longer than it says": post(ASKED, length=5),
    "no chunk size": post(b"zz\r\nabc\r\n0\r\n\r\n", CHUNKED, length=None),
    "an endless chunk size": post(b"f" * 20 + b"\r\nabc", CHUNKED, length=None),
    "length and chunks": post(HIDDEN, CHUNKED),
    "chunks in HTTP/1.0": post(HIDDEN, CHUNKED, length=None, version=b"1.0"),
    "chunks, and then something else": post(HIDDEN, CHUNKED + b", identity", length=None),
    "chunks twice": post(HIDDEN, CHUNKED, CHUNKED, length=None),
    "almost chunks": post(HIDDEN, b"Transfer-Encoding: xchunked", length=None),
    "a blank before the colon": post(HIDDEN, b"Transfer-Encoding : chunked", length=None),
    "invalid UTF-8": post(b'{"model":"captain","messages":[{"role":"user","content":"\xff\xfe"}]}'),
    "UTF-16": post(ASKED.decode().encode("utf-16")),
    "a byte order mark": post(b"\xef\xbb\xbf" + ASKED),
    "a lone surrogate": post(b'{"model":"captain","messages":[{"role":"user","content":"\\ud800"}]}'),
    "deep nesting": post(b"[" * 500_000),
    "deep nesting that ends": post(b'{"messages":[{"role":"user","content":' + b"[" * 900 + b"]" * 900 + b"}]}"),
    "NaN": post(b'{"temperature":NaN,"messages":[]}'),
    "infinity": post(b'{"temperature":1e999,"messages":[{"role":"user","content":"a"}]}'),
    "a number of 900 KB": post(b'{"seed":' + b"9" * 900_000 + b',"messages":[{"role":"user","content":"a"}]}'),
    "a key of 900 KB": post(b'{"' + b"a" * 900_000 + b'":1}'),
    "60,000 keys": post(json.dumps(dict.fromkeys(map(str, range(60_000)))).encode()),
    "the same key twice": post(b'{"model":"captain","model":"nobody","messages":[{"role":"user","content":"a"}]}'),
    "compressed": post(b"\x1f\x8b\x08\x00", b"Content-Encoding: gzip"),
}


@pytest.mark.parametrize("raw", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_request_gets_a_4xx_or_a_closed_connection(endpoint: Endpoint, raw: bytes) -> None:
    got = endpoint.send(raw)

    assert all(400 <= status < 500 for status in got), got
    assert len(got) <= 1, "the rest of one request was taken for another"
    endpoint.assert_answers()


def test_fuzzed_requests_break_no_proxy_and_no_replica(endpoint: Endpoint) -> None:
    """A part of the requests of api/test_fuzz.py, which sends all of them to the application alone."""

    async def send(report: FuzzReport) -> None:
        async for reply in all_sent(endpoint.cluster.url, mutated(300, seed), 12):
            report.add(reply)

    seed, report = 20261127, FuzzReport()
    before = sorted(endpoint.cluster.processes(f"ray::ServeReplica:{APPLICATION}"))
    asyncio.run(send(report))
    assert report.wrong == []
    assert {200, 400, 404} <= set(report.statuses)
    assert sorted(endpoint.cluster.processes(f"ray::ServeReplica:{APPLICATION}")) == before
    endpoint.assert_answers()


ODD = {
    "x-request-id": ODD_BYTES,
    "x-request-timeout-seconds": ODD_BYTES,
    "x-request-disconnect-disabled": ODD_BYTES,
    "serve_multiplexed_model_id": ODD_BYTES,
    "x-session-id": ODD_BYTES,
    "traceparent": ODD_BYTES,
    "authorization": ODD_BYTES,
    "X-Request-Timeout-Seconds": b"0.000001",
    "X-Request-Disconnect-Disabled": b"1",
    "X-Request-Id": b"a" * 9_000,
}


@pytest.mark.parametrize(("name", "value"), ODD.items(), ids=[f"{name}: {ODD[name][:8]!r}" for name in ODD])
def test_no_header_reaches_into_serve(endpoint: Endpoint, name: str, value: bytes) -> None:
    with endpoint.connect() as connection:
        connection.sendall(post(ASKED, name.encode() + b": " + value, b"Connection: close"))
        assert statuses(everything(connection)) == [200]


@pytest.mark.parametrize("character", ["\0", "\u0301\u0327", "\ufdfa", "\u202e", "(", " ", "\n", "1", "A. "])
def test_no_question_stops_the_others(endpoint: Endpoint, character: str) -> None:
    """Half a megabyte of what Unicode or a regular expression may stumble over, to be embedded and classified."""
    body = {
        "model": "coe",
        "messages": [{"role": "user", "content": f"a{character * (500_000 // len(character.encode()))}"}],
    }
    with endpoint.connect() as connection:
        connection.sendall(post(json.dumps(body, ensure_ascii=False).encode(), b"Connection: close"))
        endpoint.assert_answers()
        [status] = statuses(everything(connection))
    assert status < 500


def test_clients_that_send_a_byte_a_second_are_closed(endpoint: Endpoint) -> None:
    half = post(ASKED, length=5_000)
    begun = [half] * 100
    if endpoint.has_haproxy:  # uvicorn alone waits for the end of a header for ever
        begun += [half[:20]] * 200 + [b""] * 200
    slow = [endpoint.connect() for _ in begun]
    try:
        for connection, beginning in zip(slow, begun, strict=True):
            connection.sendall(beginning)
        ended = dripped(slow, endpoint)
    finally:
        for connection in slow:
            connection.close()
    assert set(ended) <= {400, 408}


def dripped(slow: list[socket.socket], endpoint: Endpoint) -> list[int]:
    """A byte a second from each until the endpoint has closed all of them. Meanwhile another client asks."""
    ended: list[int] = []
    ends_at = time.monotonic() + PATIENCE_S
    with selectors.DefaultSelector() as pending:  # select.select() ends at file descriptor 1024
        for connection in slow:
            pending.register(connection, selectors.EVENT_READ, connection)
        while pending.get_map():
            assert time.monotonic() < ends_at, f"{len(pending.get_map())} are still open"
            for key, _ in pending.select(0):
                ended += statuses(everything(key.data))
                pending.unregister(key.data)
            for key in pending.get_map().values():
                with contextlib.suppress(ConnectionError):  # closed just now: the next round reads its status
                    key.data.sendall(b"a")
            endpoint.assert_answers()
            time.sleep(1)
    return ended


def test_a_silent_body_is_closed(endpoint: Endpoint) -> None:
    with endpoint.connect() as connection:
        connection.sendall(post(ASKED, length=5_000))
        assert statuses(everything(connection)) in ([], [400], [408])


def test_a_body_without_end_is_cut_off_and_not_kept(endpoint: Endpoint) -> None:
    before = endpoint.ingress_bytes()
    sent = 0
    piece = b"10000\r\n" + b" " * (1 << 16) + b"\r\n"
    with endpoint.connect() as connection:
        connection.sendall(post(b"", CHUNKED, length=None))
        try:
            while sent < 1 << 30:
                connection.sendall(piece)
                sent += len(piece)
        except ConnectionError:
            pass
    assert sent < 256 << 20
    assert endpoint.ingress_bytes() - before < BUSY_MB << 20
    endpoint.assert_answers()


def test_a_stream_that_nobody_reads_is_not_kept(endpoint: Endpoint) -> None:
    before = endpoint.ingress_bytes()
    unread = [endpoint.connect(receives=4096) for _ in range(8)]
    try:
        # A word of the answer becomes an event of some 200 bytes: 50 MB each. Serve's own proxy has nobody who slows it
        # down: it takes them all, and as long as that lasts everybody waits.
        words = 250_000 if endpoint.has_haproxy else 20_000
        for connection in unread:
            connection.sendall(post(chat_body("a " * words, stream=True)))
        for _ in range(2 * SILENCE_S):
            endpoint.assert_answers()
            time.sleep(1)
        if endpoint.has_haproxy:  # to Serve's own proxy a replica hands a whole answer, however fast it is read
            assert endpoint.ingress_bytes() - before < 2 * BUSY_MB << 20
    finally:
        for connection in unread:
            connection.close()
    endpoint.assert_answers()


def test_idle_connections_are_in_nobodys_way(endpoint: Endpoint) -> None:
    idle = [endpoint.connect() for _ in range(1_000)]
    try:
        for connection in idle[::2]:
            connection.sendall(b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n")
        for _ in range(5):
            endpoint.assert_answers()
    finally:
        for connection in idle:
            connection.close()


def test_who_waits_for_an_answer_is_no_hostile_client(endpoint: Endpoint) -> None:
    """HAProxy's limit for silent clients does not count while the client waits: the deadline's own error comes."""
    body = {"model": "remote", "messages": [{"role": "user", "content": "hang"}]}
    headers = {DEADLINE: str(DEADLINE_S)}
    answer = httpx.post(f"{endpoint.cluster.url}/v1/chat/completions", json=body, headers=headers, timeout=PATIENCE_S)
    assert answer.status_code == 504
    assert answer.json()["error"]["code"] == "CallTimeout"


LOCKED = b"/locked"
"""Where the same profile is served once more, to those who have a key."""


@pytest.fixture(scope="module")
def key(endpoint: Endpoint, upstream: Upstream) -> Iterator[str]:
    """The only one."""
    key = add_key(endpoint.profile.with_name("keys.json"), "guest")
    locked = write_profile(endpoint.profile.with_name("locked.yaml"), upstream.base_url, access={"keys": "keys.json"})
    with endpoint.cluster.serving(locked, name="locked", route=LOCKED.decode()):
        yield key


def send_with_keys(endpoint: Endpoint, *keys: bytes, body: bytes = ASKED, scheme: bytes = b"Bearer") -> list[int]:
    """The statuses that a request gets that has an Authorization header for each key."""
    headers = [b"Authorization: %s %s" % (scheme, key) for key in keys]
    with endpoint.connect() as connection:
        with contextlib.suppress(ConnectionError):  # refused before it was read
            connection.sendall(post(body, *headers, b"Connection: close").replace(b"/v1", LOCKED + b"/v1", 1))
        return statuses(everything(connection))


@pytest.mark.parametrize("length", [0, 1, 256, 257, 8_000])
def test_a_wrong_key_of_any_length_does_not_open(endpoint: Endpoint, key: str, length: int) -> None:
    for given in (b"k" * length, b"\xff" * length, key.encode() + b"k" * length + b"x"):
        assert send_with_keys(endpoint, given) == [401]


def test_without_a_key_or_with_two_nobody_is_let_in(endpoint: Endpoint, key: str) -> None:
    right, wrong = key.encode(), b"coe-wrong"
    for keys in ((), (right, right), (right, wrong), (wrong, right)):
        assert send_with_keys(endpoint, *keys) == [401]
    assert send_with_keys(endpoint, right, scheme=b"Basic") == [401]


def test_who_is_refused_is_not_listened_to(endpoint: Endpoint, key: str) -> None:
    """What stands in the body is neither awaited nor taken for another request."""
    assert send_with_keys(endpoint, b"coe-wrong", body=b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n") == [401]
    assert send_with_keys(endpoint, b"coe-wrong", body=b" " * 900_000) in ([401], [])


def test_the_right_key_opens_and_stands_in_no_log(endpoint: Endpoint, key: str) -> None:
    assert send_with_keys(endpoint, key.encode()) == [200]
    logs = [each for each in endpoint.cluster.folder.rglob("*") if each.suffix in (".log", ".out", ".err")]
    assert logs
    assert not [each for each in logs if key in each.read_text(errors="replace")]


def test_nothing_of_it_left_a_traceback(endpoint: Endpoint) -> None:
    for application in (APPLICATION, "locked"):
        assert "Traceback" not in endpoint.cluster.log_of("ingress", application)

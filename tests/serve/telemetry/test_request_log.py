"""The log of requests: lines of JSON, written soon, none lost on a clean exit, and none written on the event loop."""

import gzip
import io
import json
import logging
import threading
import time
from collections.abc import Iterator
from logging.handlers import MemoryHandler, RotatingFileHandler
from pathlib import Path

import pytest

from coe_ray.core.types import Attempt, Classification, Route, Usage
from coe_ray.serve.telemetry.request_log import SERVE_LOG, ReplicaLogHandler, RequestLog
from coe_ray.serve.telemetry.request_record import RequestRecord

ROUTE = Route(
    "gauge",
    Classification("监控指标", "exact", "raw words of a model", 0.75, by="neighbours"),
    (),
    "best",
    "board",
    (Attempt("captain", "ServerFault", "text of a provider", 0.1),),
)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[RotatingFileHandler]:
    """The file of Serve's log, with Serve's buffer before it."""
    handlers, level, propagate = SERVE_LOG.handlers[:], SERVE_LOG.level, SERVE_LOG.propagate
    target = RotatingFileHandler(tmp_path / "replica.log", maxBytes=100_000, backupCount=2)
    SERVE_LOG.handlers[:], SERVE_LOG.propagate = [MemoryHandler(1000, target=target)], False
    SERVE_LOG.setLevel(logging.INFO)
    yield target
    SERVE_LOG.handlers[:], SERVE_LOG.propagate = handlers, propagate
    SERVE_LOG.setLevel(level)
    target.close()


def lines(file: RotatingFileHandler) -> list[str]:
    return Path(file.baseFilename).read_text("utf-8").splitlines()


def answered() -> RequestRecord:
    record = RequestRecord("id-1", "POST", "/v1/chat/completions", key="team-a", version="v1", status=200, seconds=0.25)
    record.set_model("coe", ("captain", "gauge"))
    record.set_route(ROUTE)
    record.usage = Usage(7, 3)
    record.stages = {"expert": 0.2}
    return record


def test_a_line_is_json_with_the_records_fields_and_its_origin(file: RotatingFileHandler) -> None:
    log = RequestLog({"replica": "abc"}, ReplicaLogHandler())
    log.write(answered())
    log.close()
    [text] = lines(file)
    line = json.loads(text)
    assert {
        "request_id": "id-1",
        "method": "POST",
        "path": "/v1/chat/completions",
        "key": "team-a",
        "model": "coe",
        "task": "监控指标",
        "decided_by": "neighbours",
        "confidence": 0.75,
        "expert": "gauge",
        "version": "v1",
        "status": 200,
        "error": None,
        "tried": ["captain: ServerFault"],
        "prompt_tokens": 7,
        "completion_tokens": 3,
        "seconds": 0.25,
        "stages": {"expert": 0.2},
        "replica": "abc",
        "levelname": "INFO",
    }.items() <= line.items()
    assert line["message"] == "POST /v1/chat/completions coe -> gauge (监控指标) 200 in 0.2500 s"
    assert abs(line["timestamp_ns"] - time.time_ns()) < 60 * 10**9
    assert time.strptime(line["asctime"].partition(",")[0], "%Y-%m-%d %H:%M:%S")
    assert "raw words" not in text
    assert "text of a provider" not in text


def test_a_line_is_written_without_another_request_or_a_close(file: RotatingFileHandler) -> None:
    """So are Serve's own lines before it, which wait in a buffer."""
    log = RequestLog({}, ReplicaLogHandler())
    SERVE_LOG.info("a line of Serve's own")
    log.write(answered())
    until = time.monotonic() + 30
    while len(lines(file)) < 2:
        assert time.monotonic() < until, "not written"
        time.sleep(0.01)
    own, line = lines(file)
    assert own == "a line of Serve's own"
    assert json.loads(line)["request_id"] == "id-1"
    log.close()


def test_nothing_is_lost_on_a_clean_exit(file: RotatingFileHandler) -> None:
    log = RequestLog({}, ReplicaLogHandler())
    for number in range(100):
        log.write(RequestRecord(str(number), "GET"))
    log.close()
    assert [json.loads(line)["request_id"] for line in lines(file)] == [str(number) for number in range(100)]


def test_the_caller_does_not_wait_for_the_disk(file: RotatingFileHandler) -> None:
    class HangingDisk(logging.StreamHandler[io.StringIO]):
        def emit(self, record: logging.LogRecord) -> None:
            assert threading.current_thread() is not threading.main_thread()
            assert works_again.wait(30)
            super().emit(record)

    works_again, out = threading.Event(), io.StringIO()
    log = RequestLog({}, HangingDisk(out))
    for _ in range(1000):
        log.write(answered())
    assert out.getvalue() == ""
    works_again.set()
    log.close()
    assert len(out.getvalue().splitlines()) == 1000


def test_the_size_limit_of_serves_file_holds(file: RotatingFileHandler) -> None:
    log = RequestLog({}, ReplicaLogHandler())
    for _ in range(400):
        log.write(answered())
    log.close()
    files = sorted(Path(file.baseFilename).parent.iterdir())
    assert [each.name for each in files] == ["replica.log", "replica.log.1.gz", "replica.log.2.gz"]
    assert files[0].stat().st_size <= file.maxBytes
    packed = [gzip.decompress(each.read_bytes()) for each in files[1:]]
    assert file.maxBytes - 1000 < max(map(len, packed)) <= file.maxBytes
    assert all(json.loads(line)["status"] == 200 for text in packed for line in text.splitlines())


def test_a_file_is_ended_before_rays_own_limit(file: RotatingFileHandler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coe_ray.serve.telemetry.request_log.ROTATE_BYTES", 2000)
    file.maxBytes = 1 << 29
    log = RequestLog({}, ReplicaLogHandler())
    for _ in range(8):
        log.write(answered())
    log.close()
    assert Path(file.baseFilename).stat().st_size <= 2000
    assert Path(f"{file.baseFilename}.1.gz").is_file()


def test_the_level_of_serves_log_holds(file: RotatingFileHandler) -> None:
    SERVE_LOG.setLevel(logging.WARNING)
    log = RequestLog({}, ReplicaLogHandler())
    log.write(answered())
    log.close()
    assert lines(file) == []

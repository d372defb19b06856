"""Log of requests: one JSON line for each, in the log file of this replica.

Lines are formatted and written by a thread. On the event loop Serve's own handler took a tenth of a request's time, and
it keeps up to 1,000 lines in memory: on a quiet day for hours, lost in a kill.
"""

import gzip
import logging
import shutil
import time
from collections.abc import Mapping
from logging.handlers import QueueHandler, QueueListener, RotatingFileHandler
from pathlib import Path
from queue import Queue
from typing import Any

import orjson

from coe_ray.serve.telemetry.request_record import RequestRecord

SERVE_LOG = logging.getLogger("ray.serve")

MOST_WAITING = 50_000
"""Lines that wait for a disk that hangs; further ones are dropped, with an error on standard error."""

ROTATE_BYTES = 64 << 20
"""A file of this size is compressed, to about a tenth, and a new one begun; Ray's own limit is half a gigabyte."""


class RequestLog:
    """Writer of request records. `write` only queues; what is queued is written before `close` returns."""

    def __init__(self, origin: Mapping[str, str], handler: logging.Handler) -> None:
        """`origin`: fields that are the same in every line."""
        handler.setFormatter(RequestFormatter(origin))
        queue: Queue[Any] = Queue(MOST_WAITING)
        self._handler = _UnformattedQueueHandler(queue)
        self._listener = QueueListener(queue, handler)
        self._listener.start()

    def write(self, record: RequestRecord) -> None:
        """Log a finished request."""
        if SERVE_LOG.isEnabledFor(logging.INFO):
            line = {"msg": record, "levelname": "INFO", "levelno": logging.INFO, "fields": record.fields}
            self._handler.handle(logging.makeLogRecord(line | {"timestamp_ns": time.time_ns()}))

    def close(self) -> None:
        """Write all lines and end the thread."""
        self._listener.stop()


class _UnformattedQueueHandler(QueueHandler):
    """QueueHandler that leaves formatting to the listener's thread: record and reader are in the same process."""

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        return record


class RequestFormatter(logging.Formatter):
    """Formatter of request records: a JSON object with the fields of Serve's own lines, the origin and the record's."""

    def __init__(self, origin: Mapping[str, str]) -> None:
        super().__init__()
        self._origin = dict(origin)

    def format(self, record: logging.LogRecord) -> str:
        extra = record.__dict__
        head = {"asctime": self.formatTime(record), "levelname": record.levelname, "message": record.getMessage()}
        line = {**head, **self._origin, **extra["fields"](), "timestamp_ns": extra["timestamp_ns"]}
        return orjson.dumps(line).decode()


class ReplicaLogHandler(logging.Handler):
    """Handler that appends to the file of Serve's own log, keeps its size limits, and compresses the files before it.

    Serve's lines that wait in memory are written first, so that they come to rest, too.
    """

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = f"{self.format(record)}\n"
            for buffer in SERVE_LOG.handlers:  # looked up each time: Serve replaces them when it is configured anew
                buffer.flush()
                target = getattr(buffer, "target", buffer)  # of a MemoryHandler
                if isinstance(target, logging.StreamHandler):
                    _append(target, line)
        except Exception:  # as every handler of the standard library
            self.handleError(record)


def _append(target: "logging.StreamHandler[Any]", line: str) -> None:
    target.acquire()
    try:
        # Not by `target.handle`, which would format the line twice, and by Serve's formatter.
        if isinstance(target, RotatingFileHandler):
            target.namer, target.rotator = _name_compressed, _compress
            if _is_full(target, line):
                target.doRollover()
        target.stream.write(line)
        target.flush()
    finally:
        target.release()


def _is_full(file: RotatingFileHandler, line: str) -> bool:
    limit = min(file.maxBytes or ROTATE_BYTES, ROTATE_BYTES)
    return limit < (file.stream.tell() if file.stream else 0) + len(line)


def _name_compressed(name: str) -> str:
    return f"{name}.gz"


def _compress(source: str, target: str) -> None:
    with Path(source).open("rb") as lines, gzip.open(target, "wb", compresslevel=1) as file:
        shutil.copyfileobj(lines, file)
    Path(source).unlink()

"""The endpoint in a process of its own, without Ray, for tests that look at the process: memory, logs, end.

`started` runs this file as a program: `python -m tests.support.endpoint_program PROFILE` serves until its standard
input ends, and prints its address.
"""

import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.cluster import ROOT, clean_environment


@dataclass(frozen=True)
class EndpointProcess:
    """The process, its address, and the file of its log."""

    process: subprocess.Popen[str]
    url: str
    log: Path

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    @property
    def megabytes(self) -> float:
        """Resident memory."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))

    @classmethod
    @contextmanager
    def started(cls, profile: Path, log: Path) -> Iterator["EndpointProcess"]:
        command = [sys.executable, "-m", "tests.support.endpoint_program", str(profile)]
        with log.open("w") as stderr:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                cwd=ROOT,
                env=clean_environment(),
            )
        with process:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert url, log.read_text()
            yield cls(process, url, log)
            process.communicate(timeout=30)


def main(profile: Path) -> None:
    from coe_ray.serve.auth.header_filter import HeaderFilter
    from coe_ray.serve.telemetry.request_log import RequestLog
    from tests.support.endpoint import make_endpoint, serve_app

    logging.basicConfig(stream=sys.stderr, level=logging.INFO, force=True)
    log = RequestLog({}, logging.StreamHandler(sys.stderr))
    with serve_app(HeaderFilter(make_endpoint(profile, observers=[log.write]).app)) as url:
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        sys.stdin.read()
    log.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

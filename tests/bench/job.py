"""The bench command on the Ray that the environment names: in this process, or as its users start it."""

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import orjson
import ray

from coe_ray.bench.run import BenchRequest
from coe_ray.cli.main import main
from coe_ray.core.run_folder import RunFolder
from coe_ray.journal.audit import audit_calls
from tests.support.cluster import PATIENCE_S, ROOT, wait_until

WORKER = "ray::MapWorker(MapBatches(EvalWorker))"
"""Title of a worker's process."""


@dataclass(frozen=True, slots=True)
class Bench:
    """One command. `start` again is the same command again."""

    environment: Mapping[str, str]
    profile: Path
    data: Path
    out: Path
    more: tuple[str, ...] = ()

    @property
    def arguments(self) -> list[str]:
        return ["--profile", str(self.profile), "--data", str(self.data), "--out", str(self.out), *self.more]

    @property
    def folder(self) -> RunFolder:
        return RunFolder(self.out)

    @property
    def order(self) -> BenchRequest:
        return BenchRequest(str(self.profile), str(self.data), self.out)

    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads((self.out / "summary.json").read_bytes())
        return found

    def start(self) -> "subprocess.Popen[str]":
        command = [sys.executable, "jobs/bench.py", *self.arguments]
        return subprocess.Popen(
            command, cwd=ROOT, env=dict(self.environment), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def run(self) -> tuple[int, str]:
        """Exit code and output of a whole run in this process, which stays connected to its Ray."""
        output, on_sigterm = io.StringIO(), signal.getsignal(signal.SIGTERM)
        with (
            mock.patch.dict(os.environ, self.environment),
            warnings.catch_warnings(action="ignore"),
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(output),
        ):
            try:
                if not ray.is_initialized():
                    ray.init(address=self.environment["RAY_ADDRESS"], log_to_driver=False)
                code = main(["bench", *self.arguments])
            finally:
                signal.signal(signal.SIGTERM, on_sigterm)
        return code, output.getvalue()

    def run_command(self) -> tuple[int, str]:
        """Exit code and output of a whole run in a process of its own."""
        with self.start() as process:
            try:
                output, _ = process.communicate(timeout=PATIENCE_S)
            finally:
                process.kill()
        return process.returncode, without_noise(output)

    def killed(self, when: Callable[[], bool]) -> str:
        """The output of a run whose process is killed without warning as soon as `when` is true."""
        with self.start() as process:
            try:
                wait_until(lambda: when() or process.poll() is not None)
                assert process.poll() is None, f"it ended before it could be killed: {process.communicate()[0]}"
            finally:
                process.kill()
            output, _ = process.communicate()
        return output

    def finished_calls(self) -> int:
        """Calls that the journal has the outcome of."""
        return sum(audit.completed for audit in audit_calls(self.folder.journal).values())


def without_noise(output: str) -> str:
    """All but the one line that Ray's core prints whenever Ray Data makes an actor, and that cannot be turned off."""
    return re.sub(r"^\[.* core_worker\.cc:\d+: Actor with class name: .*\n", "", output, flags=re.MULTILINE)


def lasting(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a summary that does not depend on when it was made, by which process, and in how many goes."""
    passing = {"seconds", "created", "command", "commit", "calls"}
    return {name: value for name, value in summary.items() if name not in passing}

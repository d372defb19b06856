"""Graceful shutdown: on SIGTERM the steps are taken, last one first, and the process ends with its own exit code."""

import signal
import subprocess
import sys

from coe_ray.bench.graceful_shutdown import STOPPED, GracefulShutdown

PROGRAM = """
import os, signal, time
from coe_ray.bench.graceful_shutdown import GracefulShutdown

shutdown = GracefulShutdown()
shutdown.on_sigterm(lambda line: print(line, flush=True))
with shutdown.step(lambda: print("first", flush=True)), shutdown.step(lambda: {last}):
    with shutdown.step(lambda: print("over", flush=True)):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)
"""


def run(last: str) -> tuple[int, str]:
    program = [sys.executable, "-c", PROGRAM.format(last=last)]
    ended = subprocess.run(program, capture_output=True, text=True, check=False, timeout=50)
    return ended.returncode, ended.stdout


def test_steps_are_taken_last_one_first_and_those_of_ended_blocks_are_not() -> None:
    code, output = run('print("last", flush=True)')
    assert output == "last\nfirst\nstopped; every finished call is kept, and the same command goes on from here\n"
    assert code == STOPPED == 128 + signal.SIGTERM


def test_a_step_that_fails_does_not_keep_the_process_from_ending() -> None:
    code, output = run("1 / 0")
    assert (code, output) == (STOPPED, "")


def test_without_steps_there_is_nothing_to_take() -> None:
    GracefulShutdown().take_steps()

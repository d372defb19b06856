"""The filter of standard error: lines of Ray's C++ core go, everything else arrives, also right before the end."""

import subprocess
import sys

SCRIPT = r"""
import os, sys, time
from coe_ray.cli.stderr_filter import hide_core_lines
hide_core_lines()
os.write(2, b"[2026-11-27 08:21:11,630 W 414 414] network_util.cc:330: Failed to determine local IP\n")
os.write(2, b"[2026-11-27 08:21:18,021 E 414 414] core_worker.cc:2465: Actor with class name: 'MapWorker'\n")
os.write(2, b"[2026-11-27 08:21:18,021 C 414 414] core_worker.cc:1: Check failed\n")
os.write(2, b"library: a warning\n")
print("python: an error", file=sys.stderr)
time.sleep(0.5)
print("python: the last line \u4e2d", file=sys.stderr)
os._exit(3)
"""


def test_only_core_lines_go() -> None:
    process = subprocess.run([sys.executable, "-X", "utf8", "-c", SCRIPT], capture_output=True, check=False)
    assert process.returncode == 3
    assert sorted(process.stderr.decode().splitlines()) == [
        "[2026-11-27 08:21:18,021 C 414 414] core_worker.cc:1: Check failed",
        "library: a warning",
        "python: an error",
        "python: the last line 中",
    ]

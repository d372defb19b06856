"""Filter of this process's standard error: lines of Ray's C++ core go, all others stay."""

import os
import re
import sys
import threading
from functools import cache

CORE_LINE = re.compile(rb"\[\d{4}-\d\d-\d\d [\d:,]+ [DIWE] \d+ \d+\] \S+\.cc:\d+: ")
"""Debug to error; a fatal line stays. Ray has no setting for those that it writes before it opens its log files."""


@cache
def hide_core_lines() -> None:
    """Filter file descriptor 2 from now on, once; Ray's log files have its lines all the same.

    Python's own `sys.stderr` goes past the filter: what it prints right before the process ends is not lost.
    """
    terminal = os.dup(2)
    lines, filtered = os.pipe()
    os.dup2(filtered, 2)
    os.close(filtered)
    sys.stderr = open(terminal, "w", 1, sys.stderr.encoding, "backslashreplace", closefd=False)  # noqa: SIM115  # for good
    threading.Thread(target=_forward, args=(lines, terminal), daemon=True).start()


def _forward(lines: int, terminal: int) -> None:
    with open(lines, "rb") as source:
        for line in source:
            if not CORE_LINE.match(line):
                os.write(terminal, line)

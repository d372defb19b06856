"""What people start: thin scripts that parse arguments, call and print.

What has to stand in the environment before a library is imported stands here.
"""

import os
import sys

if not sys.stderr.isatty():
    os.environ.setdefault("TQDM_DISABLE", "1")  # progress bars are for terminals, not for logs
os.environ.setdefault("RAY_AUTH_MODE", "token")  # without it a Ray that this machine starts cannot be connected to

"""What people start: thin scripts that parse arguments, call and print."""

import os
import sys

if not sys.stderr.isatty():
    # Here, before any library reads it: progress bars are for terminals, not for logs.
    os.environ.setdefault("TQDM_DISABLE", "1")

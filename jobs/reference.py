"""Pages of reference, out of the code itself: every key of a profile, every path of the endpoint.

    python -m jobs.reference profile > docs/profile.md
    python -m jobs.reference http > docs/http.md

The suite holds the pages against the code.

Exit codes: 0 printed.
"""

import argparse
import sys

from coe_ray.core.command_line import make_parser, run_command
from jobs.pages.http_page import http_page
from jobs.pages.profile_page import profile_page

PAGES = {"profile": profile_page, "http": http_page}


def main() -> int:
    made = make_parser(__doc__)
    made.add_argument("page", choices=sorted(PAGES), help="which")
    return run_command("reference", _printed, made.parse_args())


def _printed(asked: argparse.Namespace) -> int:
    print(PAGES[asked.page](), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())

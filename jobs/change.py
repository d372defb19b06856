"""`coe-ray change`, for `python jobs/change.py` and `python -m jobs.change` in a checkout."""

import sys

from coe_ray.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["change", *sys.argv[1:]]))

"""`coe-ray threshold`, for `python jobs/threshold.py` and `python -m jobs.threshold` in a checkout."""

import sys

from coe_ray.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["threshold", *sys.argv[1:]]))

"""`coe-ray index`, for `python jobs/index.py` and `python -m jobs.index` in a checkout."""

import sys

from coe_ray.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["index", *sys.argv[1:]]))

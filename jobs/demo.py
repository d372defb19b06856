"""`coe-ray demo`, for `python jobs/demo.py` and `python -m jobs.demo` in a checkout."""

import sys

from coe_ray.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["demo", *sys.argv[1:]]))

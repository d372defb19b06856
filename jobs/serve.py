"""`coe-ray serve`, for `python jobs/serve.py` and `python -m jobs.serve` in a checkout."""

import sys

from coe_ray.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["serve", *sys.argv[1:]]))

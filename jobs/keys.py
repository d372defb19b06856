"""`coe-ray keys`, for `python jobs/keys.py` and `python -m jobs.keys` in a checkout."""

import sys

from coe_ray.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["keys", *sys.argv[1:]]))

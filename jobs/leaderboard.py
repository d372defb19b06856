"""`coe-ray leaderboard`, for `python jobs/leaderboard.py` and `python -m jobs.leaderboard` in a checkout."""

import sys

from coe_ray.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["leaderboard", *sys.argv[1:]]))

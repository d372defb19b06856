"""`coe-ray bench` as a Ray job's entrypoint: `ray job submit --working-dir . -- python jobs/bench.py …`."""

import sys

from coe_ray.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["bench", *sys.argv[1:]]))

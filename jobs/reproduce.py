"""`coe-ray reproduce` as a Ray job's entrypoint: `ray job submit --working-dir . -- python jobs/reproduce.py …`."""

import sys

from coe_ray.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["reproduce", *sys.argv[1:]]))

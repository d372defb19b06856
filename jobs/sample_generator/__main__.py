"""Write the sample's generated files in place: `python -m jobs.sample_generator` after a change of the generator."""

from importlib import resources
from pathlib import Path

from jobs.sample_generator.sheets import SEED, write


def main() -> None:
    """Write the files beside those written by hand."""
    for path in write(Path(str(resources.files("coe_ray.data"))) / "sample", SEED):
        print(path)


if __name__ == "__main__":
    main()

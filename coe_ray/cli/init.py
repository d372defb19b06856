"""Make a folder to start from: a commented profile, and question files in DevOps-Eval's form.

    coe-ray init my-team

The profile is one of two tasks whose models run on this machine; it says how to name your own models and questions.
Nothing is overwritten.

Exit codes: 0 written, 2 the folder has something in it.
"""

import argparse
from importlib import resources
from pathlib import Path

from coe_ray.core.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="a new or empty folder")


def run(args: argparse.Namespace) -> int:
    folder: Path = args.folder.expanduser()
    for path in write_template(folder):
        print(path)
    print(f"""
Edit these files: profile.yaml names tasks and models, questions/ holds a CSV file for each task. Then serve the profile
at http://127.0.0.1:8000, until Ctrl-C:

  coe-ray serve --profile {folder}/profile.yaml

and in another terminal, on the Ray that this has started, find out which expert is best at which task:

  coe-ray bench --profile {folder}/profile.yaml --data {folder}/questions --split dev --out {folder}/runs/dev
  coe-ray leaderboard --run {folder}/runs/dev --out {folder}/leaderboard.json

With that leaderboard named in profile.yaml and `coe-ray serve` started again, model `coe` routes every question.""")
    return 0


def write_template(folder: Path) -> list[Path]:
    """Write the profile and the question files; returns their paths. Raises `ConfigError` for a folder with content."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder}: exists and is not empty; give a new folder, nothing is overwritten")
    paths = []
    template = Path(str(resources.files("coe_ray.cli").joinpath("template")))
    for source in sorted(template.rglob("*")):
        if source.is_file():
            path = folder / source.relative_to(template)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(source.read_bytes())
            paths.append(path)
    return paths

"""Change what is served, without a restart and without a failed request: tasks, experts, leaderboard, prompts, limits.

    python jobs/change.py                        what is served now, and what led to it
    python jobs/change.py --patch change.yaml    serve the deployed profile with this JSON merge patch (RFC 7386)
    python jobs/change.py --back                 one version back

A patch holds the keys of the profile that are to be others; `null` takes one away. It replaces the patch before it.
Only models of kind vllm and the encoder cannot be changed so. A patch that cannot be served changes nothing.
"""

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Any

import ray
import yaml

from coe_ray.core.command_line import make_parser, run_command
from coe_ray.core.errors import ConfigError
from coe_ray.serve.snapshot.admin import ServedState, apply_served_change, read_served_state


def main() -> int:
    """0; 1 where the change was refused; 2 where nothing could be asked."""
    return run_command("change", _changed, _asked())


def _changed(asked: argparse.Namespace) -> int:
    if not ray.is_initialized():
        ray.init(address=asked.address, log_to_driver=False, logging_level="WARNING")
    return asyncio.run(_obeyed(asked))


def _asked() -> argparse.Namespace:
    made = make_parser(__doc__)
    what = made.add_mutually_exclusive_group()
    what.add_argument("--patch", type=Path, metavar="FILE", help="YAML or JSON; an empty mapping is the profile itself")
    what.add_argument("--back", action="store_true", help="what was served before")
    made.add_argument("--address", default="auto", help="of the Ray cluster (default: the one that runs here)")
    return made.parse_args()


async def _obeyed(asked: argparse.Namespace) -> int:
    now = await read_served_state()
    if asked.patch is None and not asked.back:
        _print(now)
        return 0
    patch = now.change_back() if asked.back else _read(asked.patch)
    then = await apply_served_change(now, patch)
    if then.refused is not None:
        print(f"change: refused, version {then.version} is served as before:\n{then.refused}", file=sys.stderr)
        return 1
    print(f"version {then.version} is served, before it {now.version}")
    return 0


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: not readable as YAML or JSON: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: a change is a mapping of keys of the profile; {{}} is none")
    return content


def _print(now: ServedState) -> None:
    print(f"profile {now.profile}, version {now.version}")
    if now.refused is not None:
        print(f"the last change was refused: {now.refused}")
    for number, each in enumerate(now.history):
        keys = ", ".join(each.content) or "the profile as it was deployed"
        print(f"{'*' if number == len(now.history) - 1 else ' '} {each.version}  {keys}")


if __name__ == "__main__":
    sys.exit(main())

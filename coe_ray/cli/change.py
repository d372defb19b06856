"""Change what is served, without a restart and without a failed request: tasks, experts, leaderboard, prompts, limits.

    coe-ray change                        what is served now, and its history
    coe-ray change --patch change.yaml    serve the deployed profile with this JSON merge patch (RFC 7386)
    coe-ray change --back                 one version back

A patch holds the keys of the profile to change; `null` removes one. It replaces the patch before it.
Models of kind vllm and the encoder cannot be changed this way. A patch that cannot be served changes nothing.

Exit codes: 0 changed or shown, 1 the change was refused, 2 no endpoint could be reached.
"""

import argparse
import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coe_ray.core.errors import ConfigError

if TYPE_CHECKING:
    from coe_ray.serve.snapshot.admin import ServedState


def add_arguments(parser: argparse.ArgumentParser) -> None:
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--patch", type=Path, metavar="FILE", help="YAML or JSON; an empty mapping undoes changes")
    action.add_argument("--back", action="store_true", help="go back to the version served before")
    parser.add_argument("--address", default="auto", help="of the Ray cluster (default: the one on this machine)")


def run(args: argparse.Namespace) -> int:
    from coe_ray.cli.ray_driver import connect

    connect(args.address)
    return asyncio.run(_change(args))


async def _change(args: argparse.Namespace) -> int:
    from coe_ray.serve.snapshot.admin import apply_served_change, read_served_state

    before = await read_served_state()
    if args.patch is None and not args.back:
        _print_state(before)
        return 0
    patch = before.change_back() if args.back else _read_patch(args.patch)
    after = await apply_served_change(before, patch)
    if after.refused is not None:
        print(f"change: refused, version {after.version} is served as before:\n{after.refused}", file=sys.stderr)
        return 1
    print(f"version {after.version} is served, before it {before.version}")
    return 0


def _read_patch(path: Path) -> dict[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: not readable as YAML or JSON: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: a change is a mapping of keys of the profile; {{}} is none")
    return content


def _print_state(state: "ServedState") -> None:
    print(f"profile {state.profile}, version {state.version}")
    if state.refused is not None:
        print(f"the last change was refused: {state.refused}")
    for number, change in enumerate(state.history):
        keys = ", ".join(change.content) or "the profile as it was deployed"
        print(f"{'*' if number == len(state.history) - 1 else ' '} {change.version}  {keys}")

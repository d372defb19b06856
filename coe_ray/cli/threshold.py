"""Find `classifier.skip_llm_above`: the confidence above which the neighbours' label stands without the LLM.

    coe-ray threshold --profile local-cpu --accuracy 0.9

Each labelled example of the profile is classified by all the others. Printed are the confidences that occur, with the
share of the examples decided at each and how many of them rightly, and the lowest that is accurate enough.

Exit codes: 0 found, 2 none is accurate enough, or the index could not be read.
"""

import argparse
import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from coe_ray.bench.threshold import Threshold

ROWS = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", default="local-cpu", help="a shipped profile or a YAML file")
    parser.add_argument("--accuracy", type=float, default=0.9, help="wanted where the LLM is skipped (default: 0.9)")


def run(args: argparse.Namespace) -> int:
    from coe_ray.bench.indexing import open_profile_index
    from coe_ray.bench.threshold import choose_threshold, collect_votes, list_thresholds
    from coe_ray.profile.profile import load_profile

    profile = load_profile(args.profile)
    index, examples = open_profile_index(profile)
    steps = list_thresholds(asyncio.run(collect_votes(profile, index, examples)))
    _print_steps(steps)
    # Rounded down, so that a question at the threshold stays above it.
    confidence = int(choose_threshold(steps, args.accuracy).confidence * 10_000) / 10_000
    print(f"classifier:\n  skip_llm_above: {confidence}")
    return 0


def _print_steps(steps: "list[Threshold]") -> None:
    """Print at most `ROWS` of the steps, evenly chosen; the last one decides every question."""
    print("confidence  decided       of these right")
    rows = sorted({round(row * (len(steps) - 1) / (ROWS - 1)) for row in range(ROWS)})
    for step in (steps[row] for row in rows):
        low, high = step.interval
        print(
            f"{step.confidence:10.4f}  {step.decided / step.total:6.1%} {step.decided:5d}  "
            f"{step.accuracy:6.1%} ({low:.1%} to {high:.1%})"
        )

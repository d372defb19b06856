"""Find `classifier.skip_llm_above`: from which confidence on the neighbours' label stands without asking the LLM.

    python jobs/threshold.py --profile local-cpu --accuracy 0.9

Each labelled example of the profile is held against all the others. Printed is every confidence that occurs, with the
share of the examples that it would decide and how many of those rightly, and the lowest that is accurate enough.

Exit codes: 0 found, 2 there is none, or it could not be looked for.
"""

import argparse
import asyncio
import sys

from coe_ray.bench.indexing import opened_profile_index
from coe_ray.bench.threshold import Threshold, lowest, thresholds, votes
from coe_ray.core.command_line import make_parser, run_command
from coe_ray.profile.profile import load_profile

ROWS = 20


def main() -> int:
    made = make_parser(__doc__)
    made.add_argument("--profile", default="local-cpu", help="a shipped profile or a YAML file")
    made.add_argument("--accuracy", type=float, default=0.9, help="wanted where the LLM is skipped (default: 0.9)")
    return run_command("threshold", _found, made.parse_args())


def _found(asked: argparse.Namespace) -> int:
    profile = load_profile(asked.profile)
    index, examples = opened_profile_index(profile)
    steps = thresholds(asyncio.run(votes(profile, index, examples)))
    _print(steps)
    found = lowest(steps, asked.accuracy)
    print(f"classifier:\n  skip_llm_above: {_rounded_down(found.confidence)}")
    return 0


def _print(steps: list[Threshold]) -> None:
    """At most `ROWS` of them, evenly chosen; the last decides every question."""
    print("confidence  decided       right of those")
    places = sorted({round(place * (len(steps) - 1) / (ROWS - 1)) for place in range(ROWS)})
    for step in (steps[place] for place in places):
        low, high = step.interval
        print(
            f"{step.confidence:10.4f}  {step.decided / step.total:6.1%} {step.decided:5d}  "
            f"{step.accuracy:6.1%} ({low:.1%} to {high:.1%})"
        )


def _rounded_down(confidence: float) -> float:
    """So that what reached it still does."""
    return int(confidence * 10_000) / 10_000


if __name__ == "__main__":
    sys.exit(main())

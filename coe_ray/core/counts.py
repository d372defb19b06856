"""Token counts and log-probabilities that a provider or an older journal reports: which are believed."""

from typing import TypeGuard

from coe_ray.core.types import Usage

MAX_COUNT = 2**31
"""No count reaches this: sums over a whole run stay within 64 bits, which is what Parquet and JSON hold."""


def is_count(value: object) -> TypeGuard[int]:
    """Whether `value` is a whole number from 0 to below `MAX_COUNT`; `True` is none."""
    return type(value) is int and 0 <= value < MAX_COUNT


def parse_usage(usage: object) -> Usage:
    """The tokens of a `usage` object; zero where it holds no count."""
    counts = usage if isinstance(usage, dict) else {}
    prompt, completion = (counts.get(name) for name in ("prompt_tokens", "completion_tokens"))
    return Usage(prompt if is_count(prompt) else 0, completion if is_count(completion) else 0)


def parse_token_logprobs(pairs: object) -> tuple[tuple[str, float], ...]:
    """The valid pairs of token and log-probability, likeliest first."""
    valid = [(pair[0], float(pair[1])) for pair in pairs if _is_token(pair)] if isinstance(pairs, list | tuple) else []
    return tuple(sorted(valid, key=lambda pair: -pair[1]))


def _is_token(pair: object) -> bool:
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        return False
    token, logprob = pair
    return isinstance(token, str) and type(logprob) in (int, float) and logprob <= 0

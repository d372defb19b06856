"""Counts that others wrote down, a provider or an older journal: which are believed."""

from typing import TypeGuard

from coe_ray.core.types import Usage

MAX_COUNT = 2**31
"""No count reaches this: sums over a whole run stay within 64 bits, which is what Parquet and JSON hold."""


def is_count(value: object) -> TypeGuard[int]:
    """Whether it is a whole number from 0 to below `MAX_COUNT`; `True` is none."""
    return type(value) is int and 0 <= value < MAX_COUNT


def parse_usage(told: object) -> Usage:
    """The tokens in a `usage` object; zero where it says nothing that can be believed."""
    return Usage(_tokens(told, "prompt_tokens"), _tokens(told, "completion_tokens"))


def parse_token_logprobs(told: object) -> tuple[tuple[str, float], ...]:
    """Tokens with their log-probabilities, likeliest first, out of pairs; without those that cannot be."""
    pairs = told if isinstance(told, list | tuple) else ()
    read = [(str(pair[0]), float(pair[1])) for pair in pairs if _is_token(pair)]
    return tuple(sorted(read, key=lambda pair: -pair[1]))


def _is_token(pair: object) -> bool:
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        return False
    token, chance = pair
    return isinstance(token, str) and type(chance) in (int, float) and chance <= 0


def _tokens(told: object, name: str) -> int:
    tokens = told.get(name) if isinstance(told, dict) else None
    return tokens if is_count(tokens) else 0

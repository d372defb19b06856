"""What the prefix router remembers, without a cluster; tests/behaviour/test_placement.py has it in Serve."""

from typing import Any

from ray.serve._private.common import RequestMetadata
from ray.serve.request_router import PendingRequest

from coe_ray.serve.hosting.prefix_router import BLOCK, BLOCKS, Beginnings, prompt_of

HEAD, ONE, OTHER = "h" * BLOCK, "1" * BLOCK, "2" * BLOCK
LEFT: Any = "left"
RIGHT: Any = "right"
BOTH = {LEFT, RIGHT}


def test_the_longest_known_beginning_decides() -> None:
    known = Beginnings()
    assert known.holders(HEAD + ONE, BOTH) == set()
    known.remember(HEAD + ONE, LEFT)
    known.remember(HEAD + OTHER, RIGHT)
    assert known.holders(HEAD, BOTH) == BOTH
    assert known.holders(HEAD + "new", BOTH) == BOTH
    assert known.holders(HEAD + ONE + "end", BOTH) == {LEFT}
    assert known.holders(HEAD + OTHER + "end", BOTH) == {RIGHT}
    assert known.holders(ONE + HEAD, BOTH) == set()  # the same blocks, but not at its beginning


def test_the_dead_hold_nothing() -> None:
    known = Beginnings()
    known.remember(HEAD + ONE, LEFT)
    known.remember(HEAD, RIGHT)
    assert known.holders(HEAD + ONE, {RIGHT}) == {RIGHT}
    assert known.holders(HEAD + ONE, set()) == set()


def test_memory_is_bounded() -> None:
    known = Beginnings()
    for number in range(300):
        known.remember("".join(f"{number}:{block}".ljust(BLOCK) for block in range(100)), LEFT)
    assert len(known._holders) == BLOCKS


def test_the_prompt_is_what_all_messages_say() -> None:
    body = {"messages": [{"role": "system", "content": "head "}, {"role": "user", "content": "end"}]}
    assert prompt_of(_request(body)) == "head end"
    assert prompt_of(_request()) == ""  # a health check


def _request(*arguments: object) -> PendingRequest:
    metadata = RequestMetadata(request_id="r", internal_request_id="i")
    return PendingRequest(args=[*arguments], kwargs={}, metadata=metadata, future=None)

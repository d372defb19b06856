"""The index of calls against a plain dict, and how little memory it takes."""

import os
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe_ray.journal import call_index
from coe_ray.journal.call_index import CallIndex, Entry

KEYS = st.integers(0, 20).map(lambda number: bytes([number]) * 16)
PUTS = st.lists(st.tuples(KEYS, st.booleans(), st.integers(0, 5)), max_size=60)


@pytest.fixture(autouse=True, scope="module")
def small() -> Iterator[None]:
    """Merges begin at four entries, so that a short list goes through several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(call_index, "_RECENT", 4)
        yield


@given(puts=PUTS)
def test_of_two_entries_an_answer_stays_and_else_the_later_one(puts: list[tuple[bytes, bool, int]]) -> None:
    index, expected = CallIndex(), dict[bytes, Entry]()
    for offset, (key, answered, at) in enumerate(puts):
        entry = Entry(answered, float(at), offset, 7, 9)
        index.put(key, entry)
        if key not in expected or (expected[key].answered, expected[key].at) <= (answered, at):
            expected[key] = entry
    for number in range(25):
        assert index.get(bytes([number]) * 16) == expected.get(bytes([number]) * 16)


def test_keys_at_both_ends() -> None:
    index = CallIndex()
    ends = [b"\0" * 16, b"\xff" * 16, b"\x7f" + b"\xff" * 15, b"\x80" + b"\0" * 15]
    for offset, key in enumerate(ends * 2):
        index.put(key, Entry(True, 1.0, offset, 0, 0))
    assert [index.get(key) for key in ends] == [Entry(True, 1.0, offset, 0, 0) for offset in range(4, 8)]
    assert index.get(b"\x01" * 16) is None


def test_an_entry_takes_at_most_64_bytes() -> None:
    entries = 200_000
    tracemalloc.start()
    try:
        index = CallIndex()
        for number in range(entries):
            index.put(os.urandom(16), Entry(True, float(number), number, 0, 1000))
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken <= 64 * entries

"""The history of hot changes: recorded once, stepped back, bounded, and not lost when several replicas write."""

import threading
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe_ray.serve.snapshot.history import KEPT, KEPT_STATES, Change, ChangeHistory
from tests.support.endpoint import MemoryStore


def history(store: MemoryStore) -> ChangeHistory:
    return ChangeHistory(store, "profile", "v0")


def change(number: int) -> Change:
    return Change({"number": number}, f"v{number}")


def numbers(store: MemoryStore) -> list[int]:
    return [each.content.get("number", 0) for each in history(store).read()]


def test_the_first_is_no_change_at_all() -> None:
    assert history(MemoryStore()).read() == [Change({}, "v0")]


def test_every_replica_records_a_change_and_it_stands_there_once() -> None:
    store = MemoryStore()
    for _ in range(3):
        history(store).append(change(1))
        history(store).append(Change({"number": 1}, "another version, of a rewritten leaderboard"))
    assert history(store).read() == [Change({}, "v0"), change(1)]


def test_the_last_but_one_again_is_a_step_back() -> None:
    store = MemoryStore()
    for number in (1, 2, 1):
        history(store).append(change(number))
    assert numbers(store) == [0, 1]
    history(store).append(Change({}, "v0"))
    assert numbers(store) == [0]


def test_profiles_have_histories_of_their_own() -> None:
    store = MemoryStore()
    history(store).append(change(1))
    assert ChangeHistory(store, "other", "w0").read() == [Change({}, "w0")]


@pytest.mark.parametrize("count", [KEPT - 1, KEPT, 3 * KEPT])
def test_history_and_storage_are_bounded(count: int) -> None:
    store = MemoryStore()
    for number in range(1, count + 1):
        history(store).append(change(number))
    assert numbers(store) == list(range(count + 1))[-KEPT:]
    assert len(store.values) <= KEPT_STATES


class RacingStore(MemoryStore):
    """Another replica appends, each time just before this one would."""

    def __init__(self, others: Sequence[Change]) -> None:
        super().__init__()
        self._others = list(others)

    def add(self, key: str, value: bytes) -> bool:
        if self._others:
            history(self).append(self._others.pop(0))
        return super().add(key, value)


def test_a_change_that_another_replica_records_meanwhile_is_not_lost() -> None:
    store = RacingStore([change(1), change(2)])
    history(store).append(change(3))
    assert sorted(numbers(store)) == [0, 1, 2, 3]


def test_a_state_that_is_deleted_while_it_is_read_is_read_anew() -> None:
    class DeletingStore(MemoryStore):
        def get(self, key: str) -> bytes | None:
            if len(self.values) == 1:  # a writer was faster, and cleaned up
                self.values[key.replace("1", "2")] = self.values.pop(key)
            return super().get(key)

    store = DeletingStore()
    history(store).append(change(1))
    assert history(store).read() == [Change({}, "v0"), change(1)]


def test_threads_that_write_at_once_lose_nothing() -> None:
    store, lock = MemoryStore(), threading.Lock()
    add = store.add

    def atomic_add(key: str, value: bytes) -> bool:
        with lock:
            return add(key, value)

    store.add = atomic_add  # type: ignore[method-assign]
    threads = [threading.Thread(target=history(store).append, args=[change(number)]) for number in range(1, 21)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers(store)) == list(range(21))


@given(st.lists(st.integers(1, 4), max_size=30))
def test_the_last_is_always_what_was_appended_last(appended: list[int]) -> None:
    store = MemoryStore()
    for number in appended:
        history(store).append(change(number))
        read = numbers(store)
        assert read[-1] == number
        assert all(one != next_one for one, next_one in pairwise(read))

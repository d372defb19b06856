"""Fake upstream of the kill tests: takes its time, and counts every call by model and question."""

import random
import zlib
from collections import Counter
from dataclasses import replace

from tests.bench.marked import LETTERS, Mark, mark_in
from tests.support.upstream import ChatRequest, FakeUpstream, Reply, answer

FASTEST_S, SLOWEST_S = 0.1, 0.3


class CountingUpstream(FakeUpstream):
    """`counts` counts by model and question. Each answer is longer by `padding` bytes that cannot be compressed."""

    def __init__(self) -> None:
        super().__init__()
        self.padding = 0
        self.counts: Counter[tuple[str, int]] = Counter()
        self.delays = random.Random(0)

    def respond(self, request: ChatRequest) -> Reply:
        mark = mark_in(request.prompt)
        self.counts[request.model, mark.number] += 1
        reply = answer(f"{noise(mark.number, self.padding)} {reply_text(request.model, mark)}", completion_tokens=4)
        return replace(reply, delay_s=self.delays.uniform(FASTEST_S, SLOWEST_S))

    def start_over(self, seed: int) -> None:
        self.counts.clear()
        self.delays = random.Random(seed)
        self.forget_closed()


def reply_text(model: str, mark: Mark) -> str:
    """Always the same to the same question; right in about half of the cases."""
    drawn = zlib.crc32(f"{model} {mark.number}".encode())
    letter = mark.right if drawn % 2 else LETTERS[drawn // 2 % len(LETTERS)]
    return f"the answer is ({letter})"


def noise(seed: int, size: int) -> str:
    return random.Random(seed).randbytes(size // 2).hex()

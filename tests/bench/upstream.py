"""Fake upstream of the bench's tests: what a question says is its answer, and questions are counted.

`gamma=B;` is answered with B, `gamma=refused;` by a content filter. A `flaky` question fails once, and a
`fragile` one as long as `down` is set.
"""

import re
from collections import Counter
from dataclasses import replace

from tests.support.upstream import ChatRequest, FakeUpstream, Reply, answer, fault

MARK = re.compile(r"Case (\d+)\b.*?gamma=(\w+)( flaky| fragile)?;", re.DOTALL)


class Upstream(FakeUpstream):
    """`asked` counts requests by the question's number."""

    def __init__(self) -> None:
        super().__init__()
        self.down = False
        self.delay_s = 0.0
        self.asked: Counter[int] = Counter()

    def respond(self, request: ChatRequest) -> Reply:
        mark = MARK.search(request.prompt)
        assert mark, request.prompt
        number, letter, temper = int(mark[1]), mark[2], (mark[3] or "").strip()
        self.asked[number] += 1
        fails = (temper == "fragile" and self.down) or (temper == "flaky" and self.asked[number] == 1)
        return replace(_reply(letter, fails=fails), delay_s=self.delay_s)


def _reply(letter: str, *, fails: bool) -> Reply:
    if fails:
        return fault(503, "out of order")
    if letter == "refused":
        return fault(400, "stopped by the content filter", "content_filter")
    return answer(f"the answer is ({letter})", completion_tokens=4)

"""Fake upstream of the endpoint's tests: the last message says what it does.

say …       those words back
settings    the request's own body back, as JSON
break       some text, and then the connection is gone
hang        nothing, until the caller leaves
… refused by STATUS   an error with that status
trickle     a piece of text every tenth of a second, until the caller leaves
"""

import re

import orjson

from tests.support.upstream import ChatRequest, FakeUpstream, Reply, completion, fault, piece, streamed

PIECES = ("It was ", "the scheduler ", "and then")


class Upstream(FakeUpstream):
    """Obeys the last message."""

    notices_abandonment = True

    def respond(self, request: ChatRequest) -> Reply:
        pieces = [piece(role="assistant", content=text) for text in PIECES]
        match request.prompt:
            case "hang":
                return Reply(delay_s=60)
            case "settings":
                return completion(request, orjson.dumps(request.body).decode())
            case "break":
                return streamed(*pieces, cut=True)
            case "trickle":
                return streamed(*pieces, *[piece(content="tick ")] * 600, gap_s=0.1)
        if refused := re.search(r"refused by (\d+)$", request.prompt):
            return fault(int(refused[1]), "top_k is not for me")
        return completion(request, request.prompt)

"""Faults of an API, for `FaultServer`."""

from tests.support.fault_server import FaultServer, Reply, fault, piece, streamed

FAULTS = {
    "hangs": Reply(delay_s=60.0),
    "resets": Reply(reset=True),
    # White space may stand before JSON and between events: it is alive, and says nothing.
    "trickles": Reply(pieces=(b" ",) * 600, gap_s=0.1),
    "500": fault(500, "the engine is on fire"),
    "429": fault(429, "too many requests", headers={"Retry-After": "2"}),
    "garbage": Reply(body=b"\x00<html>502 Bad Gateway\xff"),
    "cuts": streamed(piece(content="half an answ"), cut=True),
}


def answer_everything(server: FaultServer) -> None:
    """From now on the server answers every request."""
    server.mixed({"none": Reply()}, share=0.0)

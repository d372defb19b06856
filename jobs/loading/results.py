"""Results of a load: every request by itself, so that any figure can be computed later."""

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Target:
    """The endpoint under load. `base_url` ends before `/chat/completions`; `key` and `headers` are never shown."""

    base_url: str
    model: str = "coe"
    key: str | None = field(default=None, repr=False)
    stream: bool = False
    timeout_s: float = 60.0
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @property
    def request_headers(self) -> dict[str, str]:
        """Headers of every request to it, `headers` among them."""
        key = {} if self.key is None else {"Authorization": f"Bearer {self.key}"}
        return {"Content-Type": "application/json", **key, **dict(self.headers)}


@dataclass(frozen=True, slots=True)
class RequestResult:
    """Result of one request.

    `start` is when it was due, in seconds from the beginning of the measurement; `seconds` last from there to the
    whole answer, or to the error, and `late` is the part of them before it was sent. `status` is None where no answer
    came. `error` is None only for a good answer; otherwise the code in the error object, or what went wrong.
    """

    start: float
    seconds: float
    status: int | None
    error: str | None
    first_s: float | None = None
    late: float = 0.0
    expert: str | None = None
    task: str | None = None
    version: str | None = None

    @property
    def ok(self) -> bool:
        return self.error is None


@dataclass(frozen=True, slots=True)
class LoadResult:
    """All requests that were due within the measurement, in the order in which they ended.

    `seconds` last from its beginning until the last one's end. `cpu_shares`: what each generating process took of
    one core meanwhile.
    """

    requests: tuple[RequestResult, ...]
    seconds: float
    cpu_shares: tuple[float, ...]


def merge_results(loads: Iterable[LoadResult]) -> LoadResult:
    """The results of several processes that ran at the same time, as one."""
    loads = list(loads)
    return LoadResult(
        tuple(request for load in loads for request in load.requests),
        max(load.seconds for load in loads),
        tuple(share for load in loads for share in load.cpu_shares),
    )

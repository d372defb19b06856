"""The error tree. Each class knows whether another try can help, and whether any other call to the model can.

CoeError
├── ConfigError            a profile or setting is wrong
├── DataError              a benchmark, index, journal or run folder cannot be used
├── WeightsError           weights are missing or not the published ones
└── CallError              one call to one model failed
    ├── BadCredentials     401, or a 403 about the key          (stops the model)
    ├── NoSuchModel        404                                  (stops the model)
    ├── QuotaUsedUp        402, or 429 that says the quota is gone (stops the model)
    ├── BadCall            any other 4xx: the request itself is wrong
    ├── ContextTooLong     400 that names the context length
    ├── ContentFiltered    the provider's filter stopped it (counted as refused, not failed)
    ├── CannotAnswer       an expert that is no LLM abstains (counted as unparsed, not failed)
    ├── NotInJournal       a replay has no such call
    ├── RateLimited        429                                  (retried)
    │   └── LongCooldown   a Retry-After beyond our patience    (stops the model)
    ├── ServerFault        408, 409, 5xx                        (retried)
    ├── CallTimeout        no connection, first byte or end in time (retried)
    ├── ConnectionFault    refused, reset, name not found       (retried)
    └── MalformedReply     not JSON, no choices, stream cut off (retried)
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:  # its pydantic takes a command's --help a tenth of a second
    from coe_ray.core.types import Attempt


class CoeError(Exception):
    """Everything that coe_ray raises on purpose; each message says what, where and what to do."""


class ConfigError(CoeError):
    """A profile or setting is wrong; the message names file, key and remedy."""


class DataError(CoeError):
    """A benchmark, index, journal or run folder cannot be used; the message names file, row and remedy."""


class WeightsError(CoeError):
    """Weights cannot be had, or are not the ones that were published."""


class CallError(CoeError):
    """One call to `model` failed, after `attempts` tries (0: it was never sent).

    `retry_after` is the provider's Retry-After, in seconds; `body` its last reply, without secrets and cut short.
    `tried` are all the experts that failed, where this is the last one's error.
    """

    retryable: ClassVar[bool] = False
    """Another try can help."""

    stops: ClassVar[bool] = False
    """Every other call to this model would fail the same way until a person repairs it, or its time is over."""

    def __init_subclass__(cls, *, retryable: bool = False, stops: bool = False) -> None:
        cls.retryable, cls.stops = retryable, stops

    def __init__(
        self,
        model: str,
        message: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        attempts: int = 1,
        body: str = "",
        tried: "tuple[Attempt, ...]" = (),
    ) -> None:
        super().__init__(model, message)
        self.model = model
        self.message = message
        self.status = status
        self.retry_after = retry_after
        self.attempts = attempts
        self.body = body
        self.tried = tried

    def __str__(self) -> str:
        tries = f" after {self.attempts} attempts" if self.attempts > 1 else ""
        return f"model {self.model!r}: {self.message}{tries}"

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only fields are lost by the default pickling, and these errors cross Ray's process borders.
        return _rebuild, (type(self), self.model, self.message, {**self.fields(), "tried": self.tried})

    def fields(self) -> dict[str, Any]:
        """What a journal keeps beside model and message, by name."""
        return {name: getattr(self, name) for name in _JOURNALED}


class BadCredentials(CallError, stops=True):
    """The provider does not accept the key."""


class NoSuchModel(CallError, stops=True):
    """The provider does not have this model."""


class QuotaUsedUp(CallError, stops=True):
    """The account's quota or credit is used up."""


class BadCall(CallError):
    """The provider says that the request itself is wrong."""


class ContextTooLong(CallError):
    """The prompt does not fit into the model's context."""


class ContentFiltered(CallError):
    """The provider's content filter stopped the question or the answer."""


class CannotAnswer(CallError):
    """The expert cannot answer this question, and does not guess. The next one is called."""


class NotInJournal(CallError):
    """A replay makes no calls, and the journal does not have this one."""


class RateLimited(CallError, retryable=True):
    """Too many requests at once; a later try helps."""


class LongCooldown(RateLimited, stops=True):
    """The provider asks to be left alone for longer than any call is tried; `retry_after` says for how long."""


class ServerFault(CallError, retryable=True):
    """The provider failed; another try may help."""


class CallTimeout(CallError, retryable=True):
    """No answer in time."""


class ConnectionFault(CallError, retryable=True):
    """The connection could not be made or broke off."""


class MalformedReply(CallError, retryable=True):
    """The provider's reply cannot be read."""


def call_error(kind: str, model: str, message: str, fields: Mapping[str, Any]) -> CallError:
    """A journaled error of class `kind`; a plain `CallError` where there is no such class any more."""
    return _rebuild(_BY_NAME.get(kind, CallError), model, message, fields)


def _rebuild(kind: type[CallError], model: str, message: str, fields: Mapping[str, Any]) -> CallError:
    return kind(model, message, **fields)


_JOURNALED = ("status", "retry_after", "attempts", "body")

_BY_NAME = {kind.__name__: kind for kind in (*CallError.__subclasses__(), *RateLimited.__subclasses__())}

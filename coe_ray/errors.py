"""The error tree. Each class knows whether asking again can help; each message says what, where and what to do.

CoeError
├── ConfigError            a profile or setting is wrong
├── DataError              a benchmark, index or run folder cannot be used
├── WeightsError           weights are missing or not the published ones
└── CallError              one call to one model failed
    ├── BadCredentials     401, 403
    ├── NoSuchModel        404
    ├── BadCall            any other 4xx: the request itself is wrong
    ├── ContextTooLong     400 that names the context length
    ├── ContentFiltered    the provider's filter stopped it (counted as refused, not failed)
    ├── QuotaUsedUp        402, or 429 that says the quota is gone
    ├── RateLimited        429                                  (retried)
    ├── ServerFault        408, 409, 5xx                        (retried)
    ├── CallTimeout        no connection, first byte or end in time (retried)
    ├── ConnectionFault    refused, reset, name not found       (retried)
    └── MalformedReply     not JSON, no choices, stream cut off (retried)
"""

from typing import ClassVar


class CoeError(Exception):
    """Everything that coe_ray raises on purpose."""


class ConfigError(CoeError):
    """A profile or setting is wrong; the message names file, key and remedy."""


class DataError(CoeError):
    """A benchmark, index or run folder cannot be used; the message names file, row and remedy."""


class WeightsError(CoeError):
    """Weights cannot be had, or are not the ones that were published."""


class CallError(CoeError):
    """One call to `model` failed, after `attempts` tries. `retry_after` is the provider's wish, in seconds."""

    retryable: ClassVar[bool] = False

    def __init__(
        self,
        model: str,
        message: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        attempts: int = 1,
    ) -> None:
        super().__init__(model, message)
        self.model = model
        self.message = message
        self.status = status
        self.retry_after = retry_after
        self.attempts = attempts

    def __str__(self) -> str:
        tries = f" after {self.attempts} attempts" if self.attempts > 1 else ""
        return f"model {self.model!r}: {self.message}{tries}"

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only fields are lost by the default pickling, and these errors cross Ray's process borders.
        return _rebuild, (type(self), self.model, self.message, self.status, self.retry_after, self.attempts)


class BadCredentials(CallError):
    """The provider does not accept the key."""


class NoSuchModel(CallError):
    """The provider does not have this model."""


class BadCall(CallError):
    """The provider says that the request itself is wrong."""


class ContextTooLong(CallError):
    """The prompt does not fit into the model's context."""


class ContentFiltered(CallError):
    """The provider's content filter stopped the question or the answer."""


class QuotaUsedUp(CallError):
    """The account's quota or credit is used up."""


class RateLimited(CallError):
    """Too many requests at once; asking later helps."""

    retryable = True


class ServerFault(CallError):
    """The provider failed; asking again may help."""

    retryable = True


class CallTimeout(CallError):
    """No answer in time."""

    retryable = True


class ConnectionFault(CallError):
    """The connection could not be made or broke off."""

    retryable = True


class MalformedReply(CallError):
    """The provider's reply cannot be read."""

    retryable = True


def _rebuild(
    kind: type[CallError],
    model: str,
    message: str,
    status: int | None,
    retry_after: float | None,
    attempts: int,
) -> CallError:
    return kind(model, message, status=status, retry_after=retry_after, attempts=attempts)

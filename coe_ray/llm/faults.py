"""Fault classifier: from what went wrong with a call to its class in the error tree. Pure: no waiting, no network.

    HTTP status ≥ 300 or an `error` object  → from_status, from_error_object
    an exception of aiohttp                 → from_exception
    a reply that cannot be read             → malformed_reply

A provider's text gets into a message only through `_make_error`, into a body only through `attach_body`: the key is
scrubbed first, then the text is cut.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp
import orjson

from coe_ray.core import errors
from coe_ray.core.errors import CallError
from coe_ray.llm.provider_key import ProviderKey
from coe_ray.llm.retry import Timeouts

MAX_QUOTE = 300
"""Characters of a provider's text in an error's message, at most."""

MAX_BODY = 2000
"""Characters of a reply in an error's `body`, at most."""

ErrorClass = type[CallError]

_FILTERED = r"content_filter|content_policy_violation|content management policy|data_inspection_failed"
_TOO_LONG = (
    r"context_length_exceeded|maximum context length|maximum model length|context (?:length|window|size)"
    r"|exceed_context_size|prompt is too long"
)
_FLAGGED = r"moderation|flagged|guardrail|prompt[ _-]?injection"
_NO_FUNDS = (
    r"(?:insufficient|exhausted|out of|no) (?:account )?(?:balance|credits?|funds)"
    r"|余额不足|credit balance|billing_hard_limit"
)

_BY_TEXT: tuple[tuple[tuple[int, ...], re.Pattern[str], ErrorClass], ...] = (
    ((400, 403), re.compile(_FILTERED, re.IGNORECASE), errors.ContentFiltered),
    ((403,), re.compile(_FLAGGED, re.IGNORECASE), errors.ContentFiltered),
    ((400, 413, 422), re.compile(_TOO_LONG, re.IGNORECASE), errors.ContextTooLong),
    ((402, 429), re.compile(_NO_FUNDS, re.IGNORECASE), errors.QuotaUsedUp),
)

_NO_QUOTA = re.compile(
    r"insufficient_quota|exceeded your (?:current |monthly )?quota"
    r"|quota (?:has been |is )?(?:exceeded|exhausted|used up)",
    re.IGNORECASE,
)
# A quota that is soon refilled is a rate limit, not an empty account.
_REFILLS = re.compile(r"per[ _-]?(?:second|minute)|retry in \d|RetryInfo", re.IGNORECASE)

_DENIED = re.compile(
    r"\bkeys?\b|api_key|credential|permi(?:ssion|tted)|\btokens?\b|access|account|region|countr(?:y|ies)"
    r"|authenticat|authori[sz]",
    re.IGNORECASE,
)

_DELAY = re.compile(
    r"(?:retry in |retryDelay\W{1,4})((?:\d{1,9}(?:\.\d{1,9})? ?(?:h|ms|m|s))+)", re.IGNORECASE | re.ASCII
)
_SECONDS: Mapping[str, float] = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


_BY_STATUS: Mapping[int, ErrorClass] = {
    401: errors.BadCredentials,
    402: errors.QuotaUsedUp,
    404: errors.NoSuchModel,
    408: errors.ServerFault,
    409: errors.ServerFault,
    429: errors.RateLimited,
}

_STATUS_BY_NAME: tuple[tuple[re.Pattern[str], int], ...] = (
    (re.compile(r"quota|rate.?limit|too_many_requests", re.IGNORECASE), 429),
    (re.compile(r"authentication|api_key|permission", re.IGNORECASE), 401),
    (re.compile(r"not_?found", re.IGNORECASE), 404),
    (re.compile(r"invalid_request|bad_?request|context|content_", re.IGNORECASE), 400),
)

_REMEDY: Mapping[ErrorClass, str] = {
    errors.BadCredentials: "check the API key and what it is allowed to use",
    errors.NoSuchModel: "check the provider's model name and base_url",
    errors.QuotaUsedUp: "top up the account or use another model",
    errors.ContextTooLong: "shorten the prompt or lower max_tokens",
    errors.ConnectionFault: "check base_url and the network",
}


@dataclass(frozen=True, slots=True)
class ProviderError:
    """A provider's error: the message for people, the names (code, type) for programs.

    `details` are what some providers add: Google's `details`, OpenRouter's `metadata`.
    """

    message: str
    names: str = ""
    status: int | None = None
    details: str = ""

    @property
    def text(self) -> str:
        return f"{self.names} {self.message} {self.details}"

    @property
    def wait(self) -> float | None:
        """Seconds to wait, where the text says so: "Please retry in 33.4s", `"retryDelay":"33s"`."""
        if not (delay := _DELAY.search(self.text)):
            return None
        parts = re.findall(r"([\d.]+) ?([a-z]+)", delay[1].lower())
        return sum(float(number) * _SECONDS[unit] for number, unit in parts)


@dataclass(frozen=True, slots=True)
class FaultClassifier:
    """Makes the errors of one model, with its name and time limits, and without its key.

    A Retry-After beyond `patience_s` seconds is a `LongCooldown`: no call is tried for so long.
    """

    model: str
    key: ProviderKey
    timeouts: Timeouts
    patience_s: float = math.inf

    def from_status(self, status: int, headers: Mapping[str, str], body: bytes) -> CallError:
        """The error behind an HTTP reply whose status is not 2xx."""
        error, wait = parse_error_body(body), parse_retry_after(headers, datetime.now(UTC))
        wait = error.wait if wait is None else wait
        return self._make_error(error_class_of(status, error, wait), f"HTTP {status}", error.message, status, wait)

    def from_error_object(self, payload: object) -> CallError:
        """The error behind an `error` object in a reply or a stream that began with status 200."""
        error = parse_error_payload({"error": payload})
        status = error.status or guess_status(error.names)
        kind = error_class_of(status, error, error.wait)
        return self._make_error(kind, "error instead of an answer", error.message, status, error.wait)

    def from_exception(self, error: aiohttp.ClientError | OSError) -> CallError:
        """The error behind an exception of aiohttp, which must not be its cause: that would print the request."""
        if isinstance(error, TimeoutError):
            return self._make_error(errors.CallTimeout, f"timed out: {self._limit(error)}")
        if isinstance(error, aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError):
            # Without the address, which may hold a password.
            return self._make_error(errors.BadCall, "base_url is not an HTTP address")
        if isinstance(error, aiohttp.ClientResponseError):  # its str() repeats the URL
            return self.malformed_reply("the reply is not HTTP", error.message)
        if isinstance(error, aiohttp.ClientPayloadError):
            return self.malformed_reply("the reply broke off", str(error))
        return self._make_error(errors.ConnectionFault, f"no connection ({type(error).__name__})", str(error))

    def malformed_reply(self, what: str, text: str = "") -> CallError:
        """The error behind a reply that cannot be read: what is wrong, and the text that shows it."""
        return self._make_error(errors.MalformedReply, what, text)

    def attach_body(self, error: CallError, received: bytes | bytearray) -> CallError:
        """`error` with what was received as its `body`: scrubbed of the key, then cut."""
        error.body = self.key.scrub(received.decode(errors="replace"))[:MAX_BODY]
        return error

    def _limit(self, error: TimeoutError) -> str:
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return f"not connected within {self.timeouts.connect_s:g} s (connect)"
        if isinstance(error, aiohttp.SocketTimeoutError):
            return f"not a byte within {self.timeouts.first_byte_s:g} s (first byte)"
        return f"no whole reply within {self.timeouts.total_s:g} s (total)"

    def _make_error(
        self, kind: ErrorClass, what: str, text: str = "", status: int | None = None, wait: float | None = None
    ) -> CallError:
        # Scrubbed before it is cut, or half a key could be left at the cut.
        quoted = f": {shorten(scrubbed)}" if (scrubbed := self.key.scrub(text).strip()) else ""
        remedy = f" ({_REMEDY[kind]})" if kind in _REMEDY else ""
        if wait is not None and wait >= self.patience_s and kind.retryable:
            kind, remedy = errors.LongCooldown, f" (the provider asks for {math.ceil(wait / 60)} minutes)"
        return kind(self.model, f"{what}{quoted}{remedy}", status=status, retry_after=wait)


def error_class_of(status: int, error: ProviderError, wait: float | None = None) -> ErrorClass:
    """The class for a status, unless the provider's text, or that it asks to `wait`, is more precise."""
    for statuses, pattern, kind in _BY_TEXT:
        if status in statuses and pattern.search(error.text):
            return kind
    if status in (403, 429) and _NO_QUOTA.search(error.text):
        refills = wait is not None or _REFILLS.search(error.text)
        return errors.RateLimited if refills else errors.QuotaUsedUp
    if status == 403:
        return errors.BadCredentials if _is_denied(error) else errors.BadCall
    return _BY_STATUS.get(status, errors.ServerFault if status >= 500 else errors.BadCall)


def guess_status(names: str) -> int:
    """The status for an error without one, from its names; 500 where they do not tell."""
    return next((status for pattern, status in _STATUS_BY_NAME if pattern.search(names)), 500)


def parse_error_body(body: bytes) -> ProviderError:
    """The error in a reply's body: OpenAI's `error` object, its relatives, or plain text."""
    try:
        return parse_error_payload(orjson.loads(body))
    except orjson.JSONDecodeError:
        return ProviderError(body.decode(errors="replace"))


def parse_error_payload(payload: object) -> ProviderError:
    """The same for parsed JSON: `{"error": {…} or "…"}`, `{"message": …}`, `{"detail": …}`, `[{…}]`."""
    first = payload[0] if isinstance(payload, list) and payload else payload
    error = first.get("error") or first if isinstance(first, dict) else first
    if not isinstance(error, dict):
        return ProviderError(_text(error))
    message = error.get("message") or error.get("detail") or error
    names, details = _texts(error, "code", "type", "status"), _texts(error, "metadata", "details")
    return ProviderError(_text(message), names, _status_in(error.get("code")), details)


def parse_retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds to wait by `retry-after-ms` or `Retry-After` (RFC 9110 10.2.3: seconds or a date)."""
    if (milliseconds := _seconds(headers.get("retry-after-ms", ""))) is not None:
        return milliseconds / 1000
    value = headers.get("Retry-After", "")
    return seconds if (seconds := _seconds(value)) is not None else _seconds_until(value, now)


def shorten(text: str) -> str:
    """`text` on one line, cut to `MAX_QUOTE` characters."""
    line = " ".join(text.split())
    return line if len(line) <= MAX_QUOTE else line[: MAX_QUOTE - 1] + "…"


def _seconds(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None


def _seconds_until(date: str, now: datetime) -> float | None:
    try:
        then = parsedate_to_datetime(date)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    return max((then - now).total_seconds(), 0.0)


def _is_denied(error: ProviderError) -> bool:
    """Whether a 403 is about the key, and not about the request. One without further text is about the key."""
    text = f"{error.names} {error.message}"  # the details may quote the prompt
    return bool(_DENIED.search(text)) or re.sub(r"[\W\d_]+", "", text).lower() in ("", "forbidden")


def _status_in(code: object) -> int | None:
    digits = str(code) if isinstance(code, int | str) else ""
    return int(digits) if re.fullmatch(r"[45]\d\d", digits, re.ASCII) else None


def _texts(error: Mapping[str, object], *names: str) -> str:
    return " ".join(_text(error[name]) for name in names if error.get(name))


def _text(value: object) -> str:
    try:
        return value if isinstance(value, str) else orjson.dumps(value).decode()
    except orjson.JSONEncodeError:  # it reads deeper nesting than it writes
        return "(too deeply nested to be shown)"

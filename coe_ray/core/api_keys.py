"""The endpoint's API keys at rest: a JSON file of names, hashes and limits. The keys themselves are not stored.

A key is 256 random bits, so one SHA-256 is enough: a salt or a slow hash protects passwords, which people choose.
"""

import hashlib
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from coe_ray.core.errors import DataError
from coe_ray.core.files import hold_lock, write_atomic

PREFIX = "coe-"
"""Prefix by which people and secret scanners recognise a key."""

MAX_KEYS = 256
"""Each request is compared with all of them, which takes 20 µs at this number."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")]


class ApiKey(BaseModel):
    """Entry of one key. Limits that it leaves out are the profile's `access`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: Name
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", repr=False)
    created: str
    requests_per_minute: int | None = Field(default=None, ge=1)
    concurrency: int | None = Field(default=None, ge=1)

    @property
    def digest(self) -> bytes:
        """The 32 bytes of the hash."""
        return bytes.fromhex(self.sha256)


_ENTRIES = TypeAdapter(list[ApiKey])


def hash_key(key: str) -> bytes:
    """The SHA-256 of a key, 32 bytes. `key` may be anything that a header can hold."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def read_keys(path: Path) -> tuple[ApiKey, ...]:
    """The entries of a key file. Raises `DataError` where it is missing or invalid; no message holds its content."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError(
            f"{path}: no such file, so nobody has a key; make one: coe-ray keys --file {path} add NAME"
        ) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); see to its owner and mode") from None
    return _parse(path, content)


def _parse(path: Path, content: bytes) -> tuple[ApiKey, ...]:
    try:
        entries = _ENTRIES.validate_python(orjson.loads(content))
    except orjson.JSONDecodeError:
        raise DataError(f"{path}: not JSON; write it with `coe-ray keys` only") from None
    except ValidationError as error:
        raise DataError(f"{path}: {_describe(error)}; write it with `coe-ray keys` only") from None
    if len(entries) > MAX_KEYS:
        raise DataError(f"{path}: {len(entries)} keys; there may be {MAX_KEYS}: remove those that nobody uses")
    for field in ("name", "sha256"):
        if len({getattr(entry, field) for entry in entries}) < len(entries):
            raise DataError(f"{path}: two entries have the same {field}; remove one")
    return tuple(entries)


def _describe(error: ValidationError) -> str:
    first: Any = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'content'}: {first['msg']}"


def add_key(path: Path, name: str, *, requests_per_minute: int | None = None, concurrency: int | None = None) -> str:
    """Make a key and store its hash; returns the key, which cannot be read again. Raises `DataError`."""
    key = PREFIX + secrets.token_urlsafe(32)
    try:
        entry = ApiKey(
            name=name,
            sha256=hash_key(key).hex(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            requests_per_minute=requests_per_minute,
            concurrency=concurrency,
        )
    except ValidationError as error:
        raise DataError(
            f"{_describe(error)}; a name has up to 64 letters, digits and . _ @ -, a limit is 1 or more"
        ) from None
    path.parent.mkdir(parents=True, exist_ok=True)
    with hold_lock(path.with_name(f"{path.name}.lock"), wait=True):
        entries = read_keys(path) if path.exists() else ()
        if any(entry.name == name for entry in entries):
            raise DataError(f"{path}: there is a key named {name!r}; remove it first, or take another name")
        if len(entries) >= MAX_KEYS:
            raise DataError(f"{path}: {MAX_KEYS} keys are the most there may be; remove those that nobody uses")
        _write(path, (*entries, entry))
    return key


def remove_key(path: Path, name: str) -> None:
    """Remove a key by name. Raises `DataError` where there is none."""
    with hold_lock(path.with_name(f"{path.name}.lock"), wait=True):
        entries = read_keys(path)
        kept = tuple(entry for entry in entries if entry.name != name)
        if len(kept) == len(entries):
            known = ", ".join(entry.name for entry in entries) or "none"
            raise DataError(f"{path}: no key is named {name!r}; there are: {known}")
        _write(path, kept)


def _write(path: Path, entries: tuple[ApiKey, ...]) -> None:
    """Readable by the owner alone, from the first byte on."""
    content = [entry.model_dump(exclude_none=True) for entry in entries]
    write_atomic(path, orjson.dumps(content, option=orjson.OPT_INDENT_2), mode=0o600)

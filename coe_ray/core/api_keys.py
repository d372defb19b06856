"""The endpoint's API keys at rest: a JSON file of names, hashes and limits. The keys themselves are nowhere.

A key is 256 random bits, so one SHA-256 is enough: nobody can try them out, with or without a salt or a slow hash.
Those are for passwords, which people choose.
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
"""What a key begins with, so that people and secret scanners know one where they see it."""

MOST_KEYS = 256
"""Each request is compared with all of them, which takes 20 µs then."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")]


class ApiKey(BaseModel):
    """One entry. Limits that it does not name are the profile's `access`."""

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
    """32 bytes. `key` may be anything that a header can hold."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def read_keys(path: Path) -> tuple[ApiKey, ...]:
    """Raises `DataError` where the file is missing or is no file of keys; its content is in no message."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError(
            f"{path}: no such file, so nobody has a key; make one: python jobs/keys.py --file {path} add NAME"
        ) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); see to its owner and mode") from None
    return _checked(path, content)


def _checked(path: Path, content: bytes) -> tuple[ApiKey, ...]:
    try:
        entries = _ENTRIES.validate_python(orjson.loads(content))
    except orjson.JSONDecodeError:
        raise DataError(f"{path}: not JSON; write it with jobs/keys.py only") from None
    except ValidationError as error:
        raise DataError(f"{path}: {_place(error)}; write it with jobs/keys.py only") from None
    if len(entries) > MOST_KEYS:
        raise DataError(f"{path}: {len(entries)} keys; there may be {MOST_KEYS}: remove those that nobody uses")
    for field in ("name", "sha256"):
        if len({getattr(entry, field) for entry in entries}) < len(entries):
            raise DataError(f"{path}: two entries have the same {field}; remove one")
    return tuple(entries)


def _place(error: ValidationError) -> str:
    first: Any = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'content'}: {first['msg']}"


def add_key(path: Path, name: str, *, requests_per_minute: int | None = None, concurrency: int | None = None) -> str:
    """Make a key and write its hash down; returns the key, which cannot be had again. Raises `DataError`."""
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
            f"{_place(error)}; a name has up to 64 letters, digits and . _ @ -, a limit is 1 or more"
        ) from None
    path.parent.mkdir(parents=True, exist_ok=True)
    with hold_lock(_lock(path), wait=True):
        entries = read_keys(path) if path.exists() else ()
        if any(entry.name == name for entry in entries):
            raise DataError(f"{path}: there is a key named {name!r}; remove it first, or take another name")
        if len(entries) >= MOST_KEYS:
            raise DataError(f"{path}: {MOST_KEYS} keys are the most there may be; remove those that nobody uses")
        _write(path, (*entries, entry))
    return key


def remove_key(path: Path, name: str) -> None:
    """Raises `DataError` where there is no such key."""
    with hold_lock(_lock(path), wait=True):
        entries = read_keys(path)
        kept = tuple(entry for entry in entries if entry.name != name)
        if len(kept) == len(entries):
            known = ", ".join(entry.name for entry in entries) or "none"
            raise DataError(f"{path}: no key is named {name!r}; there are: {known}")
        _write(path, kept)


def _lock(path: Path) -> Path:
    return path.with_name(path.name + ".lock")


def _write(path: Path, entries: tuple[ApiKey, ...]) -> None:
    """For its owner alone, from its first byte on: names and limits are nobody else's business."""
    content = [entry.model_dump(exclude_none=True) for entry in entries]
    write_atomic(path, orjson.dumps(content, option=orjson.OPT_INDENT_2), mode=0o600)

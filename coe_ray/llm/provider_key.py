"""API key of a provider: sent in headers, scrubbed from every text."""

import html
import json
import re
from urllib.parse import quote, quote_plus

MIN_CUT_KEY = 4
"""Characters from which on the beginning of a key at the end of a text is taken for a key that was cut off."""

MIN_SCRUBBED = 8
"""Characters of the shortest key that is scrubbed from an answer: a local server's "EMPTY" may be the answer."""

_ESCAPED = re.compile(r"(?<!\\)\\+u00([0-9a-f]{2})", re.IGNORECASE)


class ProviderKey:
    """API key that only `headers` reveals, whatever prints the variables around it."""

    def __init__(self, key: str | None) -> None:
        self._key = (key or "").strip()
        self._spellings = _spellings(self._key)
        self._encoded = [spelling.encode() for spelling in self._spellings]

    def __repr__(self) -> str:
        return "ProviderKey(***)" if self._key else "ProviderKey(none)"

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._key}"} if self._key else {}

    def scrub(self, text: str) -> str:
        """`text` without the key, also where it was escaped for JSON, HTML or a URL, or cut off by the text's end."""
        text = self._without_key(_ESCAPED.sub(lambda code: chr(int(code[1], 16)), text))
        cut = max((_overlap(text, spelling) for spelling in self._spellings), default=0)
        return f"{text[:-cut]}***" if cut >= MIN_CUT_KEY else text

    def scrub_reply(self, reply: bytes) -> bytes:
        """A JSON reply without the whole key; parts of it are left, as they may be the answer."""
        if len(self._key) < MIN_SCRUBBED:
            return reply
        for spelling in self._encoded:
            if spelling in reply:
                reply = reply.replace(spelling, b"***")
        return reply

    def _without_key(self, text: str) -> str:
        for spelling in self._spellings:
            text = text.replace(spelling, "***")
        return text


def _spellings(key: str) -> list[str]:
    """The key as it is and as it may be escaped, the longest first."""
    in_json = json.dumps(key)[1:-1]
    in_url = {quote(key), quote(key, safe=""), quote_plus(key)}
    spellings = {
        key,
        in_json,
        in_json.replace("/", "\\/"),
        html.escape(key),
        *in_url,
        *(re.sub("%..", lambda code: code[0].lower(), url) for url in in_url),
    }
    return sorted(spellings - {""}, key=len, reverse=True)


def _overlap(text: str, spelling: str) -> int:
    """How many characters at the end of `text` are the beginning of `spelling`."""
    return next((size for size in range(len(spelling) - 1, 0, -1) if text.endswith(spelling[:size])), 0)

"""The key of a provider: in headers only, and scrubbed from texts and replies, escaped or cut off."""

import html
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe_ray.llm.provider_key import MIN_CUT_KEY, MIN_SCRUBBED, ProviderKey

KEY = 'sk-a/b+c&d"e f'
ESCAPES: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "JSON": lambda key: json.dumps(key)[1:-1],
    "JSON with slashes": lambda key: json.dumps(key)[1:-1].replace("/", "\\/"),
    "JSON with code points": lambda key: "".join(f"\\u{ord(character):04x}" for character in key),
    "HTML": html.escape,
    "URL": quote,
    "URL with slashes": lambda key: quote(key, safe=""),
    "form": quote_plus,
    "URL in lower case": lambda key: quote(key, safe="").replace("%2F", "%2f").replace("%2B", "%2b"),
}
KEYS = st.text(
    st.characters(codec="ascii", exclude_categories=["Cc"], exclude_characters="*"), min_size=MIN_SCRUBBED, max_size=30
).filter(lambda key: key == key.strip())


def test_only_the_headers_reveal_it() -> None:
    key = ProviderKey(KEY)
    assert key.headers() == {"Authorization": f"Bearer {KEY}"}
    assert repr(key) == str(key) == f"{key}" == "ProviderKey(***)"


@pytest.mark.parametrize("none", [None, "", " \n"])
def test_without_a_key_nothing_is_sent_or_scrubbed(none: str | None) -> None:
    key = ProviderKey(none)
    assert (key.headers(), repr(key)) == ({}, "ProviderKey(none)")
    assert (key.scrub("any text"), key.scrub_reply(b"any text")) == ("any text", b"any text")


def test_blanks_around_a_key_are_not_sent() -> None:
    assert ProviderKey(f" {KEY}\n").headers() == {"Authorization": f"Bearer {KEY}"}


@pytest.mark.parametrize("escape", ESCAPES.values())
def test_it_is_scrubbed_however_it_is_escaped(escape: Callable[[str], str]) -> None:
    assert ProviderKey(KEY).scrub(f"Key {escape(KEY)} is wrong") == "Key *** is wrong"


@given(KEYS, st.sampled_from([escape for name, escape in ESCAPES.items() if "code" not in name]), st.text(max_size=20))
def test_no_key_is_left_in_any_text(key: str, escape: Callable[[str], str], around: str) -> None:
    assert key not in ProviderKey(key).scrub(f"{around}{escape(key)}{around}")


@pytest.mark.parametrize("shown", range(1, len(KEY)))
def test_a_key_cut_off_by_the_texts_end_is_scrubbed_from_a_few_characters_on(shown: int) -> None:
    text = ProviderKey(KEY).scrub(f"Wrong key: {KEY[:shown]}")
    assert text == ("Wrong key: ***" if shown >= MIN_CUT_KEY else f"Wrong key: {KEY[:shown]}")


def test_a_part_of_the_key_within_the_text_stays() -> None:
    assert ProviderKey(KEY).scrub(f"{KEY[:6]} is a prefix") == f"{KEY[:6]} is a prefix"


@pytest.mark.parametrize("escape", [ESCAPES["as it is"], ESCAPES["JSON"], ESCAPES["HTML"], ESCAPES["URL"]])
def test_a_reply_loses_the_whole_key_only(escape: Callable[[str], str]) -> None:
    key = ProviderKey(KEY)
    assert key.scrub_reply(f"It is {escape(KEY)}".encode()) == b"It is ***"
    assert key.scrub_reply(f"It is {escape(KEY)[:-1]}".encode()) == f"It is {escape(KEY)[:-1]}".encode()


def test_a_short_key_may_be_the_answer_but_shows_in_no_error() -> None:
    key = ProviderKey("EMPTY")
    assert len("EMPTY") < MIN_SCRUBBED
    assert key.scrub_reply(b"The queue is EMPTY") == b"The queue is EMPTY"
    assert key.scrub("Wrong key: EMPTY.") == "Wrong key: ***."

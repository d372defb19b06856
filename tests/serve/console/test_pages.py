"""The console's files: all of them and no others, and nothing in them that a page could be tricked with."""

import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware

from coe_ray.bench.datasets.load import load_benchmark
from coe_ray.core.api_keys import add_key
from coe_ray.profile.profile import AccessConfig
from coe_ray.serve.api.http import ERROR_HANDLERS
from coe_ray.serve.auth.authenticator import Authenticator
from coe_ray.serve.auth.middleware import AuthMiddleware
from coe_ray.serve.console import pages
from tests.serve.auth.test_middleware import Recorded

STATIC = Path(pages.__file__).parent / "static"
SCRIPTS = sorted(STATIC.glob("*.js"))


@pytest.fixture
def client(tmp_path: Path) -> httpx.AsyncClient:
    add_key(tmp_path / "keys.json", "console")
    access = Authenticator(AccessConfig(), tmp_path / "keys.json", lambda: 1)
    guarded = [Middleware(Recorded), Middleware(AuthMiddleware, access)]
    app = Starlette(routes=pages.page_routes(), middleware=guarded, exception_handlers=ERROR_HANDLERS)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://testserver")


async def test_every_file_is_there_without_a_key_and_nothing_else(client: httpx.AsyncClient) -> None:
    files = {str(each.relative_to(STATIC)) for each in STATIC.rglob("*") if each.is_file()}
    assert files == {"index.html", *pages.FILES}
    for path in sorted(pages.PATHS):
        answer = await client.get(path)
        assert answer.status_code == 200
        assert (
            answer.content == (STATIC / (path.removeprefix("/").removeprefix("console/") or "index.html")).read_bytes()
        )
    for path in ("/console", "/console/", "/console/index.html", "/console/../pages.py", "/console/%2e%2e/pages.py"):
        assert (await client.get(path)).status_code == 401


async def test_headers_and_caching(client: httpx.AsyncClient) -> None:
    answer = await client.get("/")
    assert answer.headers["content-security-policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert (await client.get("/console/app.js")).headers["content-type"] == "text/javascript; charset=utf-8"
    again = await client.get("/", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


class Markup(HTMLParser):
    """Everything in the page that could run, or lead elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.attributes: list[tuple[str, str, str]] = []
        self.inline: list[str] = []
        self._in = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self._in = tag

    def handle_data(self, data: str) -> None:
        if self._in in ("script", "style") and data.strip():
            self.inline.append(data)


def test_the_page_has_no_inline_code_and_loads_only_its_own_files() -> None:
    markup = Markup()
    markup.feed((STATIC / "index.html").read_text(encoding="utf-8"))
    assert markup.inline == []
    assert [each for each in markup.attributes if each[1] == "style" or each[1].startswith("on")] == []
    loaded = [value for tag, name, value in markup.attributes if name in ("src", "href") and tag != "a"]
    assert [each for each in loaded if not each.startswith(("console/", "data:image/svg+xml,"))] == []
    assert all(f"/{each}" in pages.PATHS for each in loaded if not each.startswith("data:"))


def test_the_vendored_library_is_the_published_one_and_makes_no_html() -> None:
    library = (STATIC / "vendor" / "markdown-it.js").read_bytes()
    licence = (STATIC / "vendor" / "markdown-it.LICENSE.txt").read_text(encoding="utf-8")
    assert f"SHA-256 {hashlib.sha256(library).hexdigest()}" in licence
    assert library.startswith(b"/*! markdown-it 15.0.3 ")
    assert "markdown-it 15.0.3" in licence
    assert not re.search(rb"innerHTML|outerHTML|insertAdjacentHTML|document\.|\beval\(|new Function|fetch\(", library)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda each: each.name)
def test_scripts_make_no_html_from_text_and_load_from_their_own_origin(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|srcdoc", text)
    assert re.findall(r"https?://[^\"\s]+", text) in ([], ["http://www.w3.org/2000/svg"])
    for imported in re.findall(r'from "(.*?)"', text):
        assert imported.removeprefix("./") in pages.FILES


def test_both_languages_have_every_phrase() -> None:
    text = (STATIC / "words.js").read_text(encoding="utf-8")
    english, chinese = (_words(text, name) for name in ("en", "zh"))
    assert list(english) == list(chinese)
    for name, phrase in english.items():
        assert re.findall(r"\{[\w-]+\}", phrase) == [] or set(_gaps(phrase)) == set(_gaps(chinese[name])), name


def _words(text: str, language: str) -> dict[str, str]:
    block = re.search(rf"^  {language}: {{\n(.*?)^  }},", text, re.DOTALL | re.MULTILINE)
    assert block
    return dict(re.findall(r'^    "?([\w.-]+)"?:\s+"(.*?)",$', block[1], re.MULTILINE))


def _gaps(text: str) -> list[str]:
    return re.findall(r"\{([\w-]+)\}", text)


def test_examples_are_questions_of_the_sample() -> None:
    known = {question.text: question for question in load_benchmark("sample", split="test").questions}
    examples = json.loads((STATIC / "examples.json").read_text(encoding="utf-8"))
    assert {language: len(each) for language, each in examples.items()} == {"en": 6, "zh": 6}
    for language, each in examples.items():
        for example in each:
            question = known[example["question"]]
            assert (question.task, list(question.options)) == (example["task"], example["options"])
            assert question.language == {"en": "english", "zh": "chinese"}[language]

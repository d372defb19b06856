"""README and docs/ hold what they say: links, jobs, options, profiles; and the tutorials' commands are run.

A block of shell is run as a reader would run it, page by page from top to bottom, in one shell. What serves until it is
stopped runs beside it, as in a terminal of its own. A block below `<!-- not run: WHY -->` is left out; readers do not
see the comment.
"""

import argparse
import ast
import importlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from coe_ray.cli import main as cli
from coe_ray.core.command_line import describe_command
from coe_ray.profile.profile import Profile, load_profile, patch_profile

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = (
    {name: f"coe_ray.cli.{name}" for name in cli.COMMANDS} | cli.CHECKOUT_COMMANDS | {"upstream": "jobs.upstream"}
)
"""The module of each command."""
WHY_NOT = {
    "it installs",
    "it takes minutes, and CI runs it",
    "it takes a quarter of an hour, and a machine that does nothing else",
    "it takes minutes, and a machine that does nothing else",
    "it asks for a real key",
    "it serves until it is stopped; api-keys.md runs it",
}


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language, where it begins, and why it is not run, if so."""

    page: Path
    line: int
    language: str
    text: str
    why_not: str | None

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path, language: str) -> list[Block]:
    return [block for block in _blocks(page) if block.language == language]


def _blocks(page: Path) -> Iterator[Block]:
    lines = iter(enumerate(page.read_text("utf-8").splitlines(), 1))
    before = ""
    for number, line in lines:
        if fence := re.fullmatch(r"```(\w*)", line):
            inside = []
            for _, each in lines:
                if each == "```":
                    break
                inside.append(each)
            marked = re.fullmatch(r"<!-- not run: (.*) -->", before)
            yield Block(page, number, fence[1], "\n".join(inside) + "\n", marked[1] if marked else None)
        before = line


def prose(page: Path) -> str:
    """Without the fenced blocks."""
    return re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


def code(page: Path) -> list[str]:
    """Every line of a fenced block, continued ones in one, and every piece of code in prose."""
    fenced = "".join(block.text.replace("\\\n", " ") for block in _blocks(page))
    return [*fenced.splitlines(), *re.findall(r"`([^`]+)`", prose(page))]


def every(language: str) -> list[Block]:
    return [block for page in PAGES for block in blocks(page, language)]


# What can be checked by reading


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    lost = []
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", prose(page)):
        name, _, anchor = link.partition("#")
        target = (page.parent / name) if name else page
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            lost.append(link)
    assert lost == []


def _anchors(page: Path) -> set[str]:
    """Of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return set(map(_anchor, headings))


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_every_page_and_notebook_is_reached_from_the_readme() -> None:
    reached, left = set[Path](), [ROOT / "README.md"]
    while left:
        page = left.pop()
        reached.add(page)
        links = re.findall(r"\]\((?!https?:)([^)#\s]+\.(?:md|ipynb))[^)]*\)", page.read_text("utf-8"))
        found = {(page.parent / link).resolve() for link in links} - reached
        left += [each for each in found if each.suffix == ".md" and each.exists()]
        reached |= {each for each in found if each.suffix == ".ipynb"}
    wanted = {*PAGES, *(ROOT / "notebooks").glob("*.ipynb")}
    assert {str(each.relative_to(ROOT)) for each in wanted - reached} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_and_option_named_exists(page: Path) -> None:
    wrong = []
    for line in code(page):
        text = line.split(" # ")[0]
        scripts = re.findall(r"(?<!tests/)\bjobs/([a-z_]+)\.py\b", text)
        wrong += [f"jobs/{name}.py" for name in scripts if not (ROOT / "jobs" / f"{name}.py").is_file()]
        commands = re.findall(r"\b(?:coe-ray |jobs/|-m jobs\.)([a-z][a-z_-]+)(?:\.py)?\b([^|>;&]*)", text)
        for name, rest in [(name.replace("_", "-"), rest) for name, rest in commands]:
            known = _options_of(name)
            wrong += [f"{name} {option}" for option in _options(rest) if option not in known]
    assert wrong == []


def _options(text: str) -> list[str]:
    return re.findall(r"(?<![\w-])--[a-z][a-z-]*", text)


def _options_of(command: str) -> set[str]:
    """Of all its subcommands together. Raises `KeyError` where there is no such command."""
    parser = argparse.ArgumentParser()
    describe_command(parser, "")
    importlib.import_module(COMMANDS[command]).add_arguments(parser)
    return set(_option_strings(parser))


def _option_strings(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        yield from action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            for subparser in action.choices.values():
                yield from _option_strings(subparser)


def test_every_command_has_a_how_to_and_its_options_are_its_own() -> None:
    page = (ROOT / "docs" / "howto.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| \[.*?\]\(#(.*?)\) \| `([\w-]+)` \|", page, re.MULTILINE))
    assert set(rows.values()) == set(COMMANDS)
    sections = re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", page, re.DOTALL | re.MULTILINE)
    assert [_anchor(heading) for heading, _ in sections] == list(rows)
    for heading, text in sections:
        assert "```bash" in text, heading
        assert "Result:" in text, heading
        assert "If it goes wrong:" in text, heading
        named = _options(" ".join(re.findall(r"`(--[^`]+)`", text)))
        known = _options_of(rows[_anchor(heading)])
        assert [option for option in named if option not in known] == [], heading


def test_clients_are_named_with_the_versions_that_are_tested() -> None:
    """In docs/http.md, by the two locks."""
    rows = re.findall(
        r"^\| `([\w-]+)`( for Node)?[^|]* \| ([\d.]+) \|", Path(ROOT, "docs/http.md").read_text(), re.MULTILINE
    )
    assert len(rows) == 4
    node = json.loads(Path(ROOT, "tests/serve/clients/package-lock.json").read_text())["packages"]
    python = Path(ROOT, "requirements.lock").read_text()
    for name, for_node, version in rows:
        if for_node:
            assert node[f"node_modules/{name}"]["version"] == version
        else:
            assert f"\n{name}=={version} " in python


def test_every_make_target_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = {
        target
        for page in PAGES
        for text in code(page)
        for target in re.findall(r"(?:^|[($] ?|-- )make ([a-z-]+)", text)
    }
    assert named <= targets


@pytest.mark.parametrize("block", every("yaml"), ids=str)
def test_every_profile_shown_loads(block: Block, tmp_path: Path) -> None:
    """A block with `tasks` and `models`, or with `extends`, is a whole profile. One whose keys are all a profile's is
    a part of one: a change to profile `api`, whose models and experts that are named elsewhere are made up.
    """
    content: dict[str, Any] = yaml.safe_load(block.text)
    if {"tasks", "models"} <= set(content) or "extends" in content:
        path = tmp_path / "shown.yaml"
        path.write_text(block.text, "utf-8")
        assert load_profile(path).experts
    elif set(content) <= set(Profile.model_fields):
        stub = {"kind": "scripted", "rules": [{"pattern": ".", "reply": "unknown"}]}
        base = load_profile("api")
        known = {*base.models, *content.get("models", {})}
        made_up = dict.fromkeys(_models_named(content) - known, stub)
        assert patch_profile(patch_profile(base, {"models": made_up}), content).experts


def _models_named(content: object) -> set[str]:
    if isinstance(content, dict):
        own = {content["model"]} if isinstance(content.get("model"), str) and "kind" not in content else set()
        return own.union(*map(_models_named, content.values()))
    return set()


@pytest.mark.parametrize("block", every("python"), ids=str)
def test_every_piece_of_python_compiles_and_imports_what_there_is(block: Block) -> None:
    tree = ast.parse(block.text, str(block))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            module = importlib.import_module(node.module)
            assert [each.name for each in node.names if not hasattr(module, each.name)] == []


def test_what_is_not_run_is_marked_with_a_known_reason() -> None:
    reasons = {block.why_not for page in PAGES for block in _blocks(page) if block.why_not is not None}
    marks = sum(page.read_text("utf-8").count("<!-- not run:") for page in PAGES)
    assert reasons <= WHY_NOT
    assert marks == sum(block.why_not is not None for page in PAGES for block in _blocks(page)), "above a block"


# What has to be run

PORTS = (6379, 8000, 8265, 8404, 9101)
"""What `make serve` takes; all but the first three are HAProxy's own."""

PRELUDE = """
set -eo pipefail -o monitor   # monitor: what runs beside has Ctrl-C for itself
beside() {
  if [ "$1" = "$served" ]; then return; fi
  stop
  served=$1
  eval "$1" > "$HOME/beside.log" 2>&1 &
  first=$!
  for _ in $(seq 1200); do
    if grep -q "^serving profile" "$HOME/beside.log"; then return; fi
    if ! kill -0 "$first" 2>/dev/null; then break; fi
    sleep 0.2
  done
  cat "$HOME/beside.log"
  exit 1
}
stop() {
  if [ -z "$first" ]; then return; fi
  kill -INT -- "-$first" || true
  wait "$first" || true
  first=
}
trap 'stop; kill $(jobs -p) 2>/dev/null || true' EXIT
"""

RAISE_LOOPBACK = """
import fcntl, os, socket, struct, sys
up_and_running = struct.pack("16sh14x", b"lo", 0x41)
fcntl.ioctl(socket.socket(), 0x8914, up_and_running)  # SIOCSIFFLAGS
os.execvp(sys.argv[1], sys.argv[1:])
"""
"""In a new network not even loopback is up."""

SERVER = re.compile(r"(make serve|python -m jobs\.serve)\b.*\n")


def script(pages: Sequence[str]) -> str:
    """One shell for all the pages' blocks, in order."""
    parts = [PRELUDE]
    for page in pages:
        for block in _blocks(ROOT / "docs" / f"{page}.md"):
            if block.why_not is None and block.language in ("bash", "python"):
                parts += [f"echo ':: {block}'\n", _as_run(block)]
    return "".join(parts)


def _as_run(block: Block) -> str:
    if block.language == "python":
        return f"python - <<'END_OF_BLOCK'\n{block.text}END_OF_BLOCK\n"
    if SERVER.fullmatch(block.text):
        return f"beside '{block.text.strip()}'\n"
    return block.text.replace(". .venv/bin/activate\n", "")  # it is active, wherever it lies


@dataclass(frozen=True, slots=True)
class Ran:
    """What the commands printed, and the home that they ran in."""

    printed: str
    home: Path


def run(pages: Sequence[str], home: Path) -> Ran:
    file, log = home / "script.sh", home / "output.log"  # to be looked at while it runs
    file.write_text(script(pages), "utf-8")
    short = Path(tempfile.mkdtemp(prefix="coe", dir="/tmp"))  # the paths of Ray's sockets may have 107 bytes
    environment = _environment(home, short)
    try:
        with log.open("wb") as output:
            done = subprocess.run(
                [*_alone(), "bash", str(file)],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
                timeout=840,
            )
    finally:
        shutil.rmtree(short, ignore_errors=True)
    printed = log.read_text("utf-8", errors="replace")
    assert done.returncode == 0, printed[-6000:]
    return Ran(printed, home)


def _environment(home: Path, short: Path) -> dict[str, str]:
    """A reader's: nothing of Ray, of a cache, or of the tests."""
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("RAY_", "COE_", "HF_", "XDG_", "VLLM_", "MAKE"))}
    haproxy = {
        "CONFIG_FILE_LOC": "haproxy.cfg",
        "SOCKET_PATH": "admin.sock",
        "SERVER_STATE_FILE": "server-state",
        "METRICS_SOCKET_PATH": "metrics.sock",
    }
    return {
        **kept,
        "HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "MAKEFLAGS": f" -- STAMP= BIN={Path(sys.executable).parent}",  # installed it is
        "HF_HUB_OFFLINE": "1",
        "RAY_TMPDIR": str(short),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(short),
        **{f"RAY_SERVE_HAPROXY_{name}": str(short / file) for name, file in haproxy.items()},
    }


def _alone() -> list[str]:
    """What a command is put behind to have ports and processes of its own, all gone when it ends.

    Where the kernel does not give them, the machine's own ports must be free.
    """
    isolated = ["unshare", "--user", "--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    alone = [*isolated, sys.executable, "-c", RAISE_LOOPBACK]
    if shutil.which("unshare") and subprocess.run([*alone, "true"], capture_output=True, check=False).returncode == 0:
        return alone
    if taken := [port for port in PORTS if _is_taken(port)]:
        pytest.skip(f"no network of its own for this test, and ports {taken} are in use")
    return []


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def checkout_as_it_was() -> Iterator[None]:
    before = _files()
    yield
    assert _files() - before == set()


def _files() -> set[str]:
    return {path.name for path in ROOT.iterdir()} | {path.name for path in (ROOT / "docs").iterdir()}


def assert_said(ran: Ran, *patterns: str) -> None:
    assert [each for each in patterns if not re.search(each, ran.printed)] == [], ran.printed[-6000:]


def missing(home: Path, *names: str) -> list[str]:
    return [name for name in names if not (home / name).is_file()]


@pytest.mark.timeout(900)
@pytest.mark.usefixtures("engine_machine", "checkout_as_it_was")
def test_the_laptop_tutorial_runs(tmp_path: Path) -> None:
    """With the real model on vLLM: from nothing to a served leaderboard."""
    ran = run(["laptop"], tmp_path)
    assert_said(
        ran,
        r'"task": "Time Series',
        r"8 labelled questions in",
        r"Kubectl: \S+ \(\d of 4\)",
        r"version \w+ is served, before it \w+",
        r'"task": "Kubectl"',
        r"\ncoe +\d",
    )
    runs = ".cache/coe_ray/runs"
    assert missing(tmp_path, f"{runs}/oncall-dev/report.html", f"{runs}/oncall-test/summary.json") == []


@pytest.mark.timeout(900)
@pytest.mark.usefixtures("own_machine", "checkout_as_it_was")
def test_the_api_tutorial_and_the_how_tos_run(tmp_path: Path) -> None:
    """With a stand-in for the provider."""
    ran = run(["api-keys", "howto"], tmp_path)
    assert_said(
        ran,
        r"the answer is \(A\)",
        r"\['coe', 'mistral', 'timeseries'\]",
        r"200 200 200 200 429",
        r"401 200",
        r"nothing was called",
        r"skip_llm_above: 0\.\d+",
        r"version \w+ is served",
        r"figures and findings",
    )
    assert missing(tmp_path, "coe/run/report.html", "coe/study/tables.md", "coe/test.leaderboard.json") == []

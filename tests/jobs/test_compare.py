"""The comparison's own arithmetic, table and set-up; the measurement itself is for a quiet machine."""

import hashlib
import json
import os
import shutil
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from coe_ray.bench.datasets.load import load_benchmark
from coe_ray.core.errors import DataError
from coe_ray.profile.profile import load_profile
from coe_ray.routing.leaderboard import Leaderboard
from jobs.compare import _measure_round
from jobs.loading.comparison import ENCODER, ROWS, ComparisonResult, Round, markdown
from jobs.loading.endpoint import make_key, write_profile
from jobs.loading.loops import closed_loop
from jobs.loading.peers import (
    PORTKEY,
    PORTKEY_INTEGRITY,
    PORTKEY_PACKAGE,
    PORTKEY_SERVER,
    installed_portkey,
    portkey_version,
    start_portkey,
    start_upstream,
)
from jobs.loading.results import Target

ABOUT = {
    "cores": 2, "litellm": "1.2.3", "portkey": "4.5.6", "rounds": 3, "seconds": 8.0, "workers": 2,
    "commit": "abc1234", "date": "2026-11-23", "command": "python -m jobs.compare",
}  # fmt: skip


def figures(rate: float, p50: float, errors: int = 0) -> dict[str, Any]:
    latency = {"p50": p50, "p99": 2 * p50} if rate else None
    return {
        "requests_per_s": rate,
        "latency_ms": latency,
        "errors": {"total": errors},
        "generator": {"saturated": False},
    }


def a_round(factor: float = 1.0, litellm: float = 65.0) -> Round:
    """Every target is just met where the factor is 1."""
    rates = {"ours": 390.0 * factor, "litellm": litellm, "portkey": 300.0, "bare": 600.0, "direct": 4000.0}
    p50s = {"ours": 13.5 / factor, "litellm": 27.0, "portkey": 3.0, "bare": 10.0, "direct": 0.5}
    return {
        **{f"expert-32/{who}": figures(rate, 40.0) for who, rate in rates.items()},
        **{f"expert-1/{who}": figures(1.0, p50) for who, p50 in p50s.items()},
        "new-32/ours": figures(100.0 * factor, 300.0),
        "repeated-32/ours": figures(260.0 * factor, 50.0),
        "new-1/ours": figures(1.0, 20.5 / factor),
        ENCODER: {"texts_per_s": 200.0},
    }


def test_targets_are_met_from_their_bound_on() -> None:
    assert [verdict.met for verdict in ComparisonResult([a_round()]).verdicts] == [True] * 8
    assert [verdict.met for verdict in ComparisonResult([a_round(0.99)]).verdicts] == [False] * 8


def test_new_questions_are_held_against_the_higher_bound() -> None:
    """100/s is half of what the encoder does, but less than a pass-through of 120/s."""
    verdict = ComparisonResult([a_round(litellm=120.0)]).verdicts[5]
    assert (verdict.wanted, verdict.met) == ("≥ 120/s", False)


def test_targets_name_their_peer() -> None:
    verdicts = [(each.what, each.reached, each.wanted) for each in ComparisonResult([a_round()]).verdicts[:5]]
    assert verdicts == [
        ("one expert, 32 clients", "6.00 ×", "≥ 6 × LiteLLM's rate"),
        ("one expert, 32 clients", "1.30 ×", "≥ 1.3 × Portkey's rate"),
        ("one expert, 32 clients", "0.65 ×", "≥ 0.65 × bare Ray Serve's rate"),
        ("one expert, 1 client", "0.50 ×", "≤ 0.5 × LiteLLM's p50"),
        ("one expert, 1 client", "1.35 ×", "≤ 1.35 × bare Ray Serve's p50"),
    ]


def test_a_peer_that_cannot_run_here_is_told_as_not_measured() -> None:
    without = {name: results for name, results in a_round().items() if not name.endswith("/portkey")}
    result = ComparisonResult([without])
    assert [verdict.met for verdict in result.verdicts] == [True, None, *[True] * 6]
    text = markdown(result, ABOUT | {"portkey": None})
    assert "| Portkey | bare Ray Serve |" in text
    assert text.count("| not measured |") == 3  # two loads, one target
    assert "Portkey's gateway was not measured: it needs node and npm" in text


def test_the_median_round_counts() -> None:
    result = ComparisonResult([a_round(0.1), a_round(2.0), a_round(1.0)])
    assert result.rate("expert-32") == 390.0
    assert result.overhead == 20.0


def test_errors_and_a_saturated_generator_are_told() -> None:
    first, second = a_round(), a_round()
    first["expert-32/litellm"] = figures(10.0, 5.0, errors=2)
    second["expert-32/litellm"] = figures(0.0, 5.0, errors=3)
    second["new-1/ours"]["generator"]["saturated"] = True
    result = ComparisonResult([first, second])
    assert result.errors == {"expert-32/litellm": 5}
    assert result.saturated == ["new-1/ours"]
    assert ComparisonResult([a_round()]).errors == {}


def test_a_peer_that_answers_nothing_breaks_nothing() -> None:
    silent = a_round(litellm=0.0)
    silent["expert-1/litellm"] = figures(0.0, 0.0)
    assert "inf" in markdown(ComparisonResult([silent]), ABOUT)


def test_the_table_is_a_table_and_says_where_it_comes_from() -> None:
    text = markdown(ComparisonResult([a_round(), a_round(0.99), a_round(0.99)]), ABOUT)
    tables = [block.splitlines() for block in text.split("\n\n")[:2]]
    assert [len(lines) for lines in tables] == [8, 10]
    assert all(len({line.count("|") for line in lines}) == 1 for lines in tables)
    assert "| coe_ray | LiteLLM 1.2.3 | Portkey 4.5.6 | bare Ray Serve | upstream itself |" in text
    assert "**missed**" in text
    assert "Commit abc1234, 2026-11-23: `python -m jobs.compare`" in text


def test_every_row_is_in_the_figures_of_a_round() -> None:
    assert {f"{row.name}/{who}" for row in ROWS for who in row.servers} | {ENCODER} == set(a_round())


def test_a_round_loads_only_what_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.compare._load", lambda row, target, args: figures(len(target.base_url), row.clients))
    monkeypatch.setattr("jobs.loading.encoder_rate.measure_encoder", lambda tag, seconds: 1.0)
    servers = {name: Target(name) for name in ("ours", "litellm", "bare", "direct")}
    measured = _measure_round(1, servers, Namespace(seconds=1.0))
    assert set(measured) == {name for name in a_round() if not name.endswith("/portkey")}
    assert measured["expert-32/litellm"]["requests_per_s"] == len("litellm")


def test_the_profile_leaves_every_task_of_the_sample_to_the_neighbours(tmp_path: Path) -> None:
    profile = load_profile(write_profile(tmp_path, "http://127.0.0.1:1/v1"))
    board = Leaderboard.load(tmp_path / "leaderboard.json")
    assert profile.classifier.skip_llm_above == 0.0
    assert {task.name for task in load_benchmark("sample").tasks} <= {task.name for task in profile.task_list}
    assert {board.ranked(task.name)[0].expert for task in profile.task_list} == set(profile.experts)
    assert profile.keys_file == tmp_path / "keys.json"


def test_the_key_is_kept_as_a_hash_only(tmp_path: Path) -> None:
    key = make_key(tmp_path)
    assert [entry["name"] for entry in json.loads((tmp_path / "keys.json").read_bytes())] == ["compare"]
    assert key not in (tmp_path / "keys.json").read_text()


@pytest.mark.parametrize("stream", [False, True])
async def test_the_upstream_gives_good_answers_of_both_kinds(stream: bool) -> None:
    with start_upstream() as url:
        load = await closed_loop(Target(url, stream=stream), iter(["Which?"] * 10**5), clients=2, seconds=0.2)
    assert load.requests
    assert all(request.ok for request in load.requests)
    assert all((request.first_s is not None) is stream for request in load.requests)


NPM = """#!/bin/sh
test "$1 $2 $4" = "install --prefix --ignore-scripts" || exit 9
for package; do :; done
mkdir -p "$3/node_modules/{name}/build" && cd "$3/node_modules"
echo "$package" > asked
echo '{{"version": "{version}"}}' > "{name}/package.json"
echo "" > "{name}/{server}"
echo '{{"packages": {{"node_modules/{name}": {{"integrity": "{integrity}"}}}}}}' > .package-lock.json
"""


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH that holds node and what an npm needs, and is to hold that npm."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "mkdir"):
        (folder / name).symlink_to(str(shutil.which(name)))
    write_command(folder / "node", "#!/bin/sh\n")
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("COE_RAY_HOME", str(tmp_path / "home"))
    return folder


def write_command(path: Path, script: str) -> None:
    path.write_text(script)
    path.chmod(0o755)


def npm(integrity: str = PORTKEY_INTEGRITY) -> str:
    return NPM.format(name=PORTKEY_PACKAGE, version=PORTKEY, server=PORTKEY_SERVER, integrity=integrity)


def test_portkey_is_installed_once_in_its_pinned_release(commands: Path, tmp_path: Path) -> None:
    write_command(commands / "npm", npm())
    left = tmp_path / "home" / "peers" / f"portkey-{PORTKEY}" / "node_modules" / "half"
    left.mkdir(parents=True)
    package = installed_portkey()
    assert package is not None
    assert portkey_version(package) == PORTKEY
    assert (left.parent / "asked").read_text().strip() == f"{PORTKEY_PACKAGE}@{PORTKEY}"
    assert not left.exists()
    (commands / "npm").unlink()
    assert installed_portkey() == package
    assert installed_portkey(package) == package


def test_a_portkey_with_another_hash_is_refused(commands: Path) -> None:
    write_command(commands / "npm", npm("sha512-" + hashlib.sha512(b"other").hexdigest()))
    for _ in range(2):
        with pytest.raises(DataError, match="another hash than the pinned one"):
            installed_portkey()


def test_an_installation_that_fails_says_why(commands: Path) -> None:
    write_command(commands / "npm", "#!/bin/sh\necho no such registry >&2; exit 1\n")
    with pytest.raises(DataError, match="give --portkey FOLDER:\nno such registry"):
        installed_portkey()


@pytest.mark.parametrize(("there", "missing"), [("node", "npm"), ("npm", "node"), (None, "node and npm")])
def test_without_node_or_npm_portkey_is_left_out_aloud(
    commands: Path, there: str | None, missing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (commands / "node").unlink()
    if there is not None:
        write_command(commands / there, "#!/bin/sh\nexit 1\n")
    assert installed_portkey() is None
    assert f"{missing} missing: Portkey's gateway is left out" in capsys.readouterr().err


def test_a_named_folder_must_hold_the_package(commands: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"there is no {PORTKEY_SERVER}"):
        installed_portkey(tmp_path)


async def test_a_started_portkey_gets_the_upstream_by_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server in Portkey's place answers only what has the headers, and leaves its arguments behind."""
    write_command(tmp_path / "node", f'#!/bin/sh\nexec {sys.executable} {tmp_path}/server.py "$@"\n')
    (tmp_path / "server.py").write_text(STAND_IN)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with start_portkey(tmp_path / "package", "http://127.0.0.1:1/v1", tmp_path) as target:
        load = await closed_loop(target, iter(["Which?"] * 10**5), clients=1, seconds=0.1)
        assert load.requests
        assert all(request.ok for request in load.requests)
        bare = await closed_loop(replace(target, headers=()), iter(["Which?"] * 10**5), clients=1, seconds=0.1)
        assert not any(request.ok for request in bare.requests)
    assert (tmp_path / "portkey.log").read_text().split() == [f"{tmp_path}/package/{PORTKEY_SERVER}", "--headless"]
    gone = await closed_loop(target, iter(["Which?"] * 10**5), clients=1, seconds=0.1)
    assert {request.error for request in gone.requests} == {"no connection"}


STAND_IN = """
import json, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

script, port, headless = sys.argv[1:]
print(script, headless, flush=True)

class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        wanted = {"x-portkey-provider": "openai", "x-portkey-custom-host": "http://127.0.0.1:1/v1"}
        good = all(self.headers[name] == value for name, value in wanted.items())
        body = json.dumps({"choices": [{"message": {"content": "B"}}]}).encode()
        self.send_response(200 if good else 400)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

HTTPServer(("127.0.0.1", int(port.removeprefix("--port="))), Handler).serve_forever()
"""


async def test_a_peer_that_ends_at_once_shows_what_it_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_command(tmp_path / "node", "#!/bin/sh\necho needs another node\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with (
        pytest.raises(DataError, match="portkey did not come up; it printed:\nneeds another node"),
        start_portkey(tmp_path, "http://127.0.0.1:1/v1", tmp_path),
    ):
        pass

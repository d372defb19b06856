"""OpenAI's Node client against the endpoint: `openai.mjs` asks, this file holds what it got."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.serve.clients.upstream import ATLAS, BOREAS, Upstream

FOLDER = Path(__file__).parent

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None, reason="NODE IS NOT INSTALLED: the endpoint is not tested with OpenAI's Node client"
)


def run_client(base_url: str) -> dict[str, Any]:
    """What the program got."""
    assert (FOLDER / "node_modules").is_dir(), "run `npm ci --prefix tests/serve/clients`, or `make test`, first"
    ran = subprocess.run(
        ["node", "openai.mjs", base_url], cwd=FOLDER, capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stderr
    got: dict[str, Any] = json.loads(ran.stdout)
    return got


def test_node_client(base_url: str, upstream: Upstream) -> None:
    got = run_client(base_url)
    answer = f"{ATLAS} says: Which node is slow?"
    assert got["plain"]["expert"] == "atlas"
    assert (got["plain"]["message"]["role"], got["plain"]["message"]["content"]) == ("assistant", answer)
    assert ("".join(got["pieces"]), got["roles"]) == (answer, ["assistant"])
    assert (got["helper"]["role"], got["helper"]["content"]) == ("assistant", answer)
    arguments = json.dumps({"node": "node"}, separators=(",", ":"))
    assert got["rounds"] == [
        ["atlas", "llm", [{"name": "list_pods", "arguments": arguments}]],
        ["atlas", "conversation", [{"name": "read_log", "arguments": arguments}]],
        ["atlas", "conversation", None],
    ]
    assert got["answer"] == got["run"] == f"{ATLAS} says: Which pod of the node leaks?"
    assert got["parsed"] == {"node": "node", "minutes": 3, "risk": "high"}
    assert not upstream.asked(BOREAS)
    assert {message["content"] for message in upstream.asked(ATLAS)[-2]["messages"] if message["role"] == "tool"} == {
        "list_pods of node",
        "read_log of node",
    }

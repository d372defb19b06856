"""What the console asks of the served application, over real HTTP."""

import json

import httpx

from tests.serve.world import LEADERBOARD, STATEFUL
from tests.support.chat_client import user

TYPES = {"index": "text/html", "script": "text/javascript"}


def test_the_page_is_at_the_root(http: httpx.Client) -> None:
    answer = http.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(TYPES["index"])
    assert "<title>CoE-Ops</title>" in answer.text
    assert http.get("/console/app.js").headers["content-type"].startswith(TYPES["script"])
    assert http.get("/console/nothing.js").status_code == 404


def test_health_says_whether_a_key_is_wanted(http: httpx.Client) -> None:
    assert http.get("/healthz").json()["asks_for_key"] is False


def test_a_decision_tells_its_stages_and_the_answer_after_it_only_the_experts(http: httpx.Client) -> None:
    """The console asks for both, one after the other: the question is classified once."""
    messages = user(f"{STATEFUL} Asked by the console.")
    decision = http.post("/v1/route", json={"messages": messages}).json()
    assert set(decision["stages"]) == {"retrieve", "classify", "route"}
    assert all(seconds >= 0 for seconds in decision["stages"].values())
    answered = http.post("/v1/chat/completions", json={"messages": messages}).json()["coe"]
    assert (answered["cached"], set(answered["stages"])) == (True, {"expert"})
    streamed = http.post("/v1/chat/completions", json={"messages": messages, "stream": True}).text
    last = json.loads(streamed.split("\n\n")[-3].removeprefix("data: "))
    assert set(last["coe"]["stages"]) == {"expert"}


def test_leaderboards_are_listed_and_read_by_their_version(http: httpx.Client) -> None:
    (listed,) = http.get("/v1/leaderboards").json()["data"]
    assert (listed["version"], listed["served"]) == (LEADERBOARD.version, True)
    assert set(listed["experts"]) == set(LEADERBOARD.experts)
    assert http.get(f"/v1/leaderboards/{listed['version']}").json() == http.get("/v1/leaderboard").json()
    for version in ("0123456789ab", "..%2fleaderboard.json", "leaderboard.json"):
        answer = http.get(f"/v1/leaderboards/{version}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")

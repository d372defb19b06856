"""Every failure that a provider can play, through a whole bench run: its class, its attempts and its ledger entry."""

import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from coe_ray.core.run_folder import read_questions
from tests.bench.job import Bench
from tests.bench.marked import mark_in, write_marked, write_profile
from tests.support.cluster import Cluster
from tests.support.fault_server import FaultServer, Reply, answer, fault
from tests.support.fixtures import API_KEY
from tests.support.upstream import ChatRequest

[(KEY_ENV, KEY)] = API_KEY.items()
ATTEMPTS = 3
"""Below what the retry policy puts up with of the same error in a row; tests/calls has that limit."""

TIMEOUT_S = 1.0
AT_ONCE = 8
TOO_LONG = "This model's maximum context length is 4096 tokens"


@dataclass(frozen=True, slots=True)
class Played:
    """What the server plays, and what the ledger shall say of it."""

    reply: Reply
    outcome: str
    error: str | None = None
    attempts: int = 1

    @property
    def body(self) -> str:
        """What a dead letter quotes."""
        return (self.reply.body or b"".join(self.reply.pieces)).decode().replace(KEY, "***")

    @property
    def status(self) -> int | None:
        return self.reply.status if self.reply.status != 200 else None


def failed(reply: Reply, error: str, attempts: int = 1) -> Played:
    return Played(reply, "failed", error, attempts)


PLAYS: Mapping[str, Played] = {
    "wrong": Played(answer("the answer is (Z), no, there is none"), "unparsed"),
    "filtered as an error": Played(fault(400, "no", "content_filter"), "refused", "ContentFiltered"),
    "filtered in the middle": Played(answer("The answer is", "content_filter"), "refused"),
    "refused by the model": Played(answer("", refusal="I cannot help."), "refused"),
    "too long": failed(fault(400, TOO_LONG, "context_length_exceeded"), "ContextTooLong"),
    "bad call": failed(fault(400, f"temperature must be at most 2, {KEY}"), "BadCall"),
    "rate limit": failed(fault(429, "Slow down", headers={"retry-after-ms": "2"}), "RateLimited", ATTEMPTS),
    "server error": failed(fault(500, f"The server had an error with {KEY}"), "ServerFault", ATTEMPTS),
    "overloaded": failed(fault(503, "Try later", headers={"Retry-After": "0"}), "ServerFault", ATTEMPTS),
    "no reply": failed(Reply(delay_s=4 * TIMEOUT_S), "CallTimeout", ATTEMPTS),
    "slow reply": failed(Reply(pieces=(b" ",) * 40, gap_s=TIMEOUT_S / 10), "CallTimeout", ATTEMPTS),
    "reset": failed(Reply(reset=True), "ConnectionFault", ATTEMPTS),
    "not JSON": failed(Reply(body=b"<html>welcome</html>"), "MalformedReply", ATTEMPTS),
    "no choices": failed(Reply(body=b'{"object": "chat.completion"}'), "MalformedReply", ATTEMPTS),
    "truncated": failed(Reply(pieces=(b'{"choices": [', b'{"mess'), cut=True), "MalformedReply", ATTEMPTS),
}
PERMANENT = {"too long", "bad call"}
FAILING = {name for name, play in PLAYS.items() if play.outcome == "failed"}
BREAKING: Mapping[str, Played] = {
    "locked": failed(fault(401, f"Incorrect API key provided: {KEY}"), "BadCredentials"),
    "missing": failed(fault(404, "The model does not exist"), "NoSuchModel"),
    "broke": failed(fault(429, "You have no credit left", "insufficient_quota"), "QuotaUsedUp"),
    "resting": failed(fault(429, "Slow down", headers={"Retry-After": "3600"}), "LongCooldown"),
}


class Player(FaultServer):
    """Plays to each question what its mark says, or to each model what its name says, until it is `mended`."""

    def start_over(self, *, mended: bool = False) -> None:
        self.reset()
        self._faults = {name: play.reply for name, play in {**PLAYS, **BREAKING}.items()}
        self.mended = mended
        self.asked: Counter[tuple[str, int]] = Counter()

    def by_chance(self, faults: Mapping[str, Reply], share: float, seed: int) -> None:
        """Play one of these to a `share` of the requests that leave it to chance."""
        self._faults, self._share, self._chance = faults, share, random.Random(seed)

    def asked_of(self, model: str) -> Counter[int]:
        """How often each question was put to the model."""
        return Counter({number: times for (name, number), times in self.asked.items() if name == model})

    def respond(self, request: ChatRequest) -> Reply:
        mark = mark_in(request.prompt)
        self.asked[request.model, mark.number] += 1
        kind = self._kind(request.model, mark.play)
        self.kinds[kind] += 1
        return replace(self._faults.get(kind) or answer(f"the answer is ({mark.right})"), delay_s=self._delay(kind))

    def _kind(self, model: str, play: str) -> str:
        if self.mended:
            return "answer"
        if play == "by chance":
            return self._by_chance()
        return model if model in BREAKING else play

    def _by_chance(self) -> str:
        return self._chance.choice(list(self._faults)) if self._chance.random() < self._share else "answer"

    def _delay(self, kind: str) -> float:
        return self._faults[kind].delay_s if kind in PLAYS else 0.05


@dataclass(frozen=True, slots=True)
class Told:
    """What a run came to, read off before the next one changes its folder."""

    code: int
    output: str
    summary: Mapping[str, Any]
    answers: Mapping[tuple[int, str], Mapping[str, Any]]
    letters: Mapping[tuple[int, str], Mapping[str, Any]]
    asked: Mapping[tuple[str, int], int]


@pytest.fixture(scope="module")
def ray(bench_cluster: Cluster) -> Cluster:
    return bench_cluster


@pytest.fixture(scope="module")
def player() -> Iterator[Player]:
    with Player().started() as player:
        yield player


def api(player: Player, model: str, **settings: Any) -> dict[str, Any]:
    shared = {"kind": "api", "base_url": player.base_url, "model": model, "key_env": KEY_ENV}
    return {**shared, "max_concurrency": AT_ONCE, "attempts": ATTEMPTS, **settings}


def told(bench: Bench, player: Player) -> Told:
    """Run the command, and everything that is left of it."""
    code, output = bench.run()
    assert "Traceback" not in output, output
    numbers = {question.id: mark_in(question.text).number for question in read_questions(bench.folder.questions)}
    rows = bench.folder.read_answers()
    answers = {(numbers[row["question_id"]], row["system"]): row for row in rows}
    assert len(answers) == len(rows)
    dead = pq.read_table(bench.folder.dead_letters).to_pylist()
    letters = {(numbers[row["question_id"]], row["system"]): row for row in dead}
    assert len(letters) == len(dead)
    assert_no_secret(bench, output)
    return Told(code, output, bench.summary(), answers, letters, dict(player.asked))


def assert_no_secret(bench: Bench, output: str) -> None:
    assert KEY not in output
    files = [path for path in bench.out.rglob("*") if path.is_file()]
    parts = {path.relative_to(bench.out).parts[0] for path in files}
    assert parts >= {"questions", "journal", "answers", "records.parquet", "dead_letters.parquet", "report.html"}
    for path in files:
        assert KEY.encode() not in path.read_bytes(), path
        if path.suffix == ".parquet":  # compressed
            assert KEY not in str(pq.read_table(path).to_pylist()), path


def outcomes(told: Told, system: str) -> Counter[str]:
    return Counter(row["outcome"] for (_, name), row in told.answers.items() if name == system)


# Each failure once


@pytest.fixture(scope="module")
def faulty(ray: Cluster, player: Player, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    root = tmp_path_factory.mktemp("faulty")
    profile = write_profile(root / "faulty.yaml", {"gamma": api(player, "gamma", timeout_s=TIMEOUT_S)})
    data = write_marked(root / "data", [*PLAYS, "answer", "answer"])
    return Bench(ray.environment, profile, data, root / "out")


@pytest.fixture(scope="module")
def first(faulty: Bench, player: Player) -> Told:
    player.start_over()
    return told(faulty, player)


@pytest.mark.parametrize(("number", "name"), list(enumerate(PLAYS, 1)), ids=list(PLAYS))
def test_each_failure_has_its_class_attempts_and_ledger_entry(first: Told, number: int, name: str) -> None:
    play, row = PLAYS[name], first.answers[number, "gamma"]
    assert (row["outcome"], row["error"], row["attempts"]) == (play.outcome, play.error, play.attempts)
    assert first.asked["gamma", number] == play.attempts
    letter = first.letters.get((number, "gamma"))
    assert (letter is not None) is (play.outcome == "failed")
    if letter:
        assert (letter["model"], letter["error"], letter["attempts"]) == ("gamma", play.error, play.attempts)
        assert (letter["status"], letter["message"]) == (play.status, row["message"])
        assert letter["body"] == play.body or (name == "slow reply" and not letter["body"].strip(" "))


def test_the_summary_counts_them_apart(first: Told) -> None:
    assert first.code == 1
    ledger = Counter(play.outcome for play in PLAYS.values()) + Counter(correct=2)
    assert outcomes(first, "gamma") == ledger
    system = first.summary["systems"]["gamma"]
    assert {name: system[name] for name in ledger} == ledger
    assert (system["complete"], first.summary["incomplete"]) == (False, True)
    assert system["accuracy"] == ledger["correct"] / (len(PLAYS) + 2 - ledger["failed"])
    classes = Counter(play.error for play in PLAYS.values() if play.outcome == "failed")
    kinds = {each["error"]: (each["model"], each["calls"]) for each in first.summary["failures"]}
    assert kinds == {error: ("gamma", count) for error, count in classes.items()}
    for error, count in classes.items():
        assert re.search(f"{count} calls? failed as {error}: ", " ".join(first.output.split())), first.output


def test_the_bill_is_what_the_server_counted(first: Told) -> None:
    bill = first.summary["calls"]["by_model"]["gamma"]
    assert bill["issued"] == bill["completed"] == len(PLAYS) + 2
    assert bill["issued"] + bill["retried"] == sum(first.asked.values())
    assert (bill["failed"], bill["abandoned"], bill["repeated"]) == (len(FAILING), 0, 0)


def test_what_can_be_mended_by_time_is_asked_again_and_the_rest_when_told_to(
    first: Told, faulty: Bench, player: Player
) -> None:
    numbers = {name: number for number, name in enumerate(PLAYS, 1)}
    player.start_over(mended=True)
    again = told(faulty, player)
    assert player.asked_of("gamma") == {numbers[name]: 1 for name in FAILING - PERMANENT}
    assert again.code == 1
    assert {number for number, _ in again.letters} == {numbers[name] for name in PERMANENT}
    assert "add --retry-failed to ask again" in " ".join(again.output.split())

    player.start_over(mended=True)
    flagged = told(replace(faulty, more=("--retry-failed",)), player)
    assert player.asked_of("gamma") == {numbers[name]: 1 for name in PERMANENT}
    assert (flagged.code, flagged.letters, flagged.summary["incomplete"]) == (0, {}, False)
    assert outcomes(flagged, "gamma") == {"correct": len(FAILING) + 2, "refused": 3, "unparsed": 1}


# A failure that only a person can mend


def test_what_only_a_person_can_mend_stops_its_own_model_alone(ray: Cluster, player: Player, tmp_path: Path) -> None:
    questions = 40
    models = {name: api(player, name) for name in (*BREAKING, "gamma")}
    data = write_marked(tmp_path / "data", ["answer"] * questions)
    bench = Bench(ray.environment, write_profile(tmp_path / "breaking.yaml", models), data, tmp_path / "out")
    player.start_over()
    first = told(bench, player)
    assert first.code == 1
    assert outcomes(first, "gamma") == {"correct": questions}
    assert player.asked_of("gamma") == dict.fromkeys(range(1, questions + 1), 1)
    for name, play in BREAKING.items():
        asked = player.asked_of(name)
        assert 1 <= asked.total() <= AT_ONCE, f"{name} had at most {AT_ONCE} calls in flight"
        assert outcomes(first, name) == {"failed": questions}
        letters = [letter for (_, system), letter in first.letters.items() if system == name]
        assert {(letter["error"], letter["status"]) for letter in letters} == {(play.error, play.status)}
        assert Counter(letter["attempts"] for letter in letters) == Counter(
            {0: questions - asked.total(), 1: asked.total()}
        )
    for line in (
        r"40 calls failed as BadCredentials: model 'locked': HTTP 401: .*\*\*\* \(check the API key",
        r"40 calls failed as NoSuchModel: model 'missing': HTTP 404: .*\(check the provider's model name",
        r"40 calls failed as QuotaUsedUp: model 'broke': HTTP 429: .*\(top up the account",
        r"asked nothing more: put that right, then run the same command",
        r"40 calls failed as LongCooldown: model 'resting': HTTP 429: Slow down \(the provider asks for 60 minutes\)",
        r"asked nothing more: run the same command when that time is over",
    ):
        assert re.search(line, " ".join(first.output.split())), first.output

    player.start_over(mended=True)
    second = told(bench, player)
    assert (second.code, second.letters) == (0, {})
    for name in BREAKING:
        assert outcomes(second, name) == {"correct": questions}
        assert player.asked_of(name) == dict.fromkeys(range(1, questions + 1), 1)
    assert player.asked_of("gamma").total() == 0


# Failures at random


def test_three_of_ten_calls_fail_at_random(ray: Cluster, player: Player, tmp_path: Path) -> None:
    questions, passing = 240, FAILING - PERMANENT - {"no reply", "slow reply"}
    models = {"gamma": api(player, "gamma", attempts=6, max_concurrency=32)}
    data = write_marked(tmp_path / "data", ["by chance"] * questions)
    bench = Bench(ray.environment, write_profile(tmp_path / "mixed.yaml", models), data, tmp_path / "out")
    player.start_over()
    player.by_chance({name: PLAYS[name].reply for name in passing}, share=0.3, seed=7)
    run = told(bench, player)
    assert set(player.kinds) == {*passing, "answer"}
    bill = run.summary["calls"]["by_model"]["gamma"]
    assert bill["issued"] == bill["completed"] == questions
    assert bill["issued"] + bill["retried"] == player.served == player.kinds.total()
    assert bill["retried"] + bill["failed"] == player.kinds.total() - player.kinds["answer"]
    # Six tries that all fail are bad luck: rare, but not impossible.
    assert outcomes(run, "gamma") == Counter(correct=player.kinds["answer"]) + Counter(failed=len(run.letters))
    assert {letter["error"] for letter in run.letters.values()} <= {PLAYS[name].error for name in passing}
    assert run.code == bool(run.letters)
    assert player.asked_of("gamma").total() == player.served


def test_no_log_of_the_cluster_holds_the_key(ray: Cluster) -> None:
    logs = [path for path in ray.folder.rglob("logs/*") if path.is_file()]
    assert logs
    assert not [path.name for path in logs if KEY.encode() in path.read_bytes()]

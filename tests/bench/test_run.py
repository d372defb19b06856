"""The bench job from end to end, on a Ray of its own: scripted worlds whose every figure is known beforehand."""

import itertools
import json
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from coe_ray.bench.graceful_shutdown import STOPPED
from coe_ray.bench.run import run_bench
from coe_ray.core.errors import CoeError, DataError
from coe_ray.core.run_folder import ANSWER_SCHEMA, read_questions
from coe_ray.routing.leaderboard import Leaderboard
from tests.bench.job import WORKER, Bench, lasting
from tests.bench.upstream import Upstream
from tests.bench.world import CAUSES, FILES, LOGS, ROUTED, TEST, WORLD, small_world, write_benchmark, write_profile
from tests.support.cluster import Cluster, kill, wait_until


def counts(correct: int, wrong: int, unparsed: int = 0, refused: int = 0, failed: int = 0) -> dict[str, Any]:
    outcomes = {"correct": correct, "wrong": wrong, "unparsed": unparsed, "refused": refused, "failed": failed}
    asked = sum(outcomes.values())
    return {**outcomes, "complete": failed == 0, "bounds": [correct / asked, (asked - wrong) / asked]}


def of(low: float, high: float, precision: float, f1: float) -> dict[str, Any]:
    return {"ci95": [low, high], "precision": precision, "f1": f1}


# By hand. Each letter is right in 10 of 20 questions, so precision and F1 are the means of the two letters':
#   coe    A 12 times, 9 of them right; B 6, 5 right   (3/4 + 5/6) / 2    (18/22 + 10/16) / 2
#   alpha  A 12, 7; B 8, 5                             (7/12 + 5/8) / 2   (14/22 + 10/18) / 2
#   beta   A 10, 4; B 8, 2                             (4/10 + 2/8) / 2   (8/20 + 4/18) / 2
#   gamma  A 10, 3; B 8, 1                             (3/10 + 1/8) / 2   (6/20 + 2/18) / 2
# and recall is the accuracy. ci95 is Wilson's interval of 14, 12, 6 and 4 in 20.
SYSTEMS = {
    "coe": {"accuracy": 0.7, "recall": 0.7, **of(0.481027, 0.854523, 0.791667, 0.721591), **counts(14, 4, 1, 1)},
    "alpha": {"accuracy": 0.6, "recall": 0.6, **of(0.386582, 0.781193, 0.604167, 0.595960), **counts(12, 8)},
    "beta": {"accuracy": 0.3, "recall": 0.3, **of(0.145477, 0.518973, 0.325, 0.311111), **counts(6, 12, 2)},
    "gamma": {"accuracy": 0.2, "recall": 0.2, **of(0.080658, 0.416017, 0.2125, 0.205556), **counts(4, 14, 0, 2)},
}
RIGHT = {"coe": (8, 4, 2), "alpha": (9, 3, 0), "beta": (1, 5, 0), "gamma": (1, 0, 3)}
ASKED = (10, 6, 4)
CLASSIFIER = {"accuracy": 0.85, "ci95": [0.639581, 0.947631], "precision": 0.9, "recall": 0.85, "f1": 0.871429}
CONFUSION = {"labels": [LOGS, CAUSES, TEST, "unknown"], "matrix": [[9, 1, 0, 0], [0, 5, 0, 1], [1, 0, 3, 0]]}

QUESTIONS = 448
HALF = QUESTIONS // 2
AT_ONCE = 64
"""Calls to gamma."""


@pytest.fixture(scope="module")
def ray(bench_cluster: Cluster) -> Cluster:
    return bench_cluster


@pytest.fixture(scope="module")
def server() -> Iterator[Upstream]:
    with Upstream().started() as started:
        yield started


@pytest.fixture(scope="module")
def undisturbed(ray: Cluster, server: Upstream, tmp_path_factory: pytest.TempPathFactory) -> tuple[Bench, str]:
    """The small world, run once and whole."""
    bench = small_world(ray.environment, server, tmp_path_factory.mktemp("undisturbed"))
    server.asked.clear()
    code, output = bench.run_command()
    assert code == 0, output
    # 20 questions, and the flaky one once more.
    assert server.asked.total() == 21
    return bench, output


NONE = dict.fromkeys(("issued", "completed", "reused", "repeated", "abandoned", "retried", "failed"), 0)


def calls(summary: Mapping[str, Any]) -> dict[str, int]:
    """The bill of all models together, without tokens and costs."""
    return {name: summary["calls"][name] for name in NONE}


def answered_once(bench: Bench, questions: int) -> list[dict[str, Any]]:
    """The answers, of which every question has exactly one by each system."""
    rows = bench.folder.read_answers()
    asked = Counter((answer["question_id"], answer["system"]) for answer in rows)
    assert set(asked.values()) == {1}
    assert len(rows) == questions * len(SYSTEMS)
    assert {system for _, system in asked} == set(SYSTEMS)
    return rows


# What a whole run says


def test_every_figure_of_every_system(undisturbed: tuple[Bench, str]) -> None:
    systems = undisturbed[0].summary()["systems"]
    assert list(systems) == list(SYSTEMS)
    for name, expected in SYSTEMS.items():
        measured = dict(systems[name])
        per_task = measured.pop("per_task")
        assert measured.pop("cut_off") == 0
        for ends in ("ci95", "bounds"):
            assert measured.pop(ends) == pytest.approx(expected[ends], abs=1e-6)
        assert measured == pytest.approx({key: expected[key] for key in measured}, abs=1e-6), name
        assert measured.keys() == expected.keys() - {"ci95", "bounds"}
        assert list(per_task) == [LOGS, CAUSES, TEST]
        for figures, right, asked in zip(per_task.values(), RIGHT[name], ASKED, strict=True):
            low, high = figures.pop("ci95")
            assert low < right / asked < high or right == low == 0
            assert figures == {"accuracy": right / asked, "correct": right, "total": asked, "failed": 0}


def test_the_classifiers_figures_and_the_counts_of_calls(undisturbed: tuple[Bench, str]) -> None:
    bench, _ = undisturbed
    summary = bench.summary()
    classifier = summary["classifier"]
    assert classifier.pop("confusion") == CONFUSION
    assert classifier.pop("total") == 20
    assert classifier.pop("ci95") == pytest.approx(CLASSIFIER["ci95"], abs=1e-6)
    assert classifier == pytest.approx({key: CLASSIFIER[key] for key in CLASSIFIER if key != "ci95"}, abs=1e-6)
    assert calls(summary) == {**NONE, "issued": 80, "completed": 80, "retried": 1}
    # gamma counts 7 tokens in and 4 out, but where it was filtered.
    third = summary["calls"]["by_model"]["third"]
    assert (third["issued"], third["prompt_tokens"], third["completion_tokens"]) == (20, 18 * 7, 18 * 4)
    assert third["cost"] == summary["calls"]["cost"] == pytest.approx((18 * 7 * 2 + 18 * 4 * 10) / 1_000_000)
    assert summary["failures"] == []
    assert (summary["rows"], summary["rejected"], summary["incomplete"]) == (20, 2, False)
    assert (summary["profile"], summary["data"], summary["split"]) == ("world", str(bench.data), "test")
    assert summary["leaderboard"]["mapping"] == "cross-fitted"
    assert re.fullmatch("[0-9a-f]{12}", summary["leaderboard"]["version"])
    assert summary["seconds"] > 0
    assert "bench.py" in summary["command"]


def test_every_question_has_one_answer_by_each_system(undisturbed: tuple[Bench, str]) -> None:
    bench, _ = undisturbed
    rows = answered_once(bench, 20)
    assert pq.read_schema(bench.folder.answers / "answers.parquet").equals(ANSWER_SCHEMA)
    by = {(answer["question_id"], answer["system"]): answer for answer in rows}
    numbers = {question.id: int(question.text.split()[1][:-1]) for question in read_questions(bench.folder.questions)}
    assert sorted(numbers.values()) == list(range(1, 21))
    for id_, number in numbers.items():
        task, key, label, *_ = WORLD[number - 1]
        coe, routed = by[id_, "coe"], by[id_, ROUTED[number - 1]]
        assert (coe["task"], coe["label"], coe["answer"]) == (task, label, key)
        assert coe["expert"] == routed["system"]
        assert {**coe, "system": None, "label": None} == {**routed, "system": None, "label": None}


def test_an_answer_says_what_came_of_it(undisturbed: tuple[Bench, str]) -> None:
    bench, _ = undisturbed
    numbers = {question.id: question.text.split()[1] for question in read_questions(bench.folder.questions)}
    by = {(numbers[row["question_id"]], row["system"]): row for row in bench.folder.read_answers()}
    flaky, unparsed, refused = by["1.", "gamma"], by["9.", "beta"], by["7.", "gamma"]
    assert (flaky["outcome"], flaky["letter"], flaky["attempts"], flaky["text"]) == (
        "correct",
        "A",
        2,
        "the answer is (A)",
    )
    assert (flaky["prompt_tokens"], flaky["completion_tokens"]) == (7, 4)
    assert (unparsed["outcome"], unparsed["letter"], unparsed["text"]) == ("unparsed", None, "I cannot tell.")
    assert (refused["outcome"], refused["letter"], refused["error"]) == ("refused", None, "ContentFiltered")
    assert "stopped by the content filter" in refused["message"]


def test_rejected_rows_are_kept_with_their_reason(undisturbed: tuple[Bench, str]) -> None:
    rejected = pq.read_table(undisturbed[0].out / "rejected.parquet").to_pylist()
    assert [(row["file"], row["row"]) for row in rejected] == [("english/test/LogParser.csv", n) for n in (11, 12)]
    assert rejected[0]["reason"].startswith("duplicate: the same as row 1 of")
    assert rejected[1]["reason"] == "several answers: A, C"


def test_the_run_folder_holds_these_files_and_no_others(undisturbed: tuple[Bench, str]) -> None:
    files = {"run.json", "progress.json", "summary.json", "report.html", "lock", "index.lock"}
    tables = {"records.parquet", "rejected.parquet", "dead_letters.parquet"}
    folders = {"questions", "journal", "index", "vectors", "answers"}
    assert {path.name for path in undisturbed[0].out.iterdir()} == files | tables | folders


def test_the_report_needs_nothing_else(undisturbed: tuple[Bench, str]) -> None:
    html = (undisturbed[0].out / "report.html").read_text("utf-8")
    assert "70.0" in html
    assert not re.search(r"""(?:src|href|url\()\s*=?\s*["']?(?:https?:)?//""", html)
    assert "<script" not in html


def test_the_output_is_ours_alone(undisturbed: tuple[Bench, str]) -> None:
    bench, output = undisturbed
    progress, _, table = output.partition("\n\n")
    assert all(line.startswith("bench: ") for line in progress.splitlines()), output
    assert "bench: 20 questions of 3 tasks; 2 rows rejected" in output
    assert re.search(r"^bench: 20/20 questions, 100 %, .*, 0 failed$", output, re.MULTILINE)
    assert table.startswith("system")
    assert output.endswith(f"report: {bench.out / 'report.html'}\n")
    assert re.search(r"^coe +70\.0 ±18\.7 +14 +4 +1 +1 +0$", table, re.MULTILINE), table


# Failed calls


def test_failed_calls_are_asked_again_and_nothing_else(
    undisturbed: tuple[Bench, str], ray: Cluster, server: Upstream, tmp_path: Path
) -> None:
    bench = small_world(ray.environment, server, tmp_path)
    server.asked.clear()
    server.down = True
    code, output = bench.run()
    server.down = False
    assert code == 1, output
    assert server.asked.total() == 24  # as without the fault, and three questions once more
    summary = bench.summary()
    assert summary["incomplete"]
    assert calls(summary) == {**NONE, "issued": 80, "completed": 80, "retried": 4, "failed": 3}
    [outage] = summary["failures"]
    assert (outage["model"], outage["error"], outage["calls"]) == ("third", "ServerFault", 3)
    letters = pq.read_table(bench.folder.dead_letters).to_pylist()
    assert {(each["system"], each["model"], each["status"], each["attempts"]) for each in letters} == {
        ("gamma", "third", 503, 2)
    }
    assert all("out of order" in each["body"] for each in letters)
    assert "3 calls failed as ServerFault" in unfolded(output)
    assert "run the same command to ask again" in unfolded(output)
    assert summary["systems"]["gamma"]["failed"] == 3
    assert summary["systems"]["coe"]["failed"] == 1  # of the three only the test question is gamma's
    assert summary["systems"]["alpha"] == undisturbed[0].summary()["systems"]["alpha"]
    assert "Incomplete: 4 answers failed" in output
    answered_once(bench, 20)

    server.asked.clear()
    code, output = bench.run()
    assert code == 0, output
    assert "going on: the journal has 80 finished calls of this run" in output
    assert server.asked == {2: 1, 11: 1, 17: 1}
    # The other calls are in the journal.
    assert calls(bench.summary()) == {
        **NONE,
        "issued": 83,
        "completed": 83,
        "reused": 77,
        "repeated": 3,
        "retried": 4,
        "failed": 3,
    }
    complete = {"data": str(undisturbed[0].data)}
    assert {**lasting(bench.summary()), **complete} == lasting(undisturbed[0].summary())
    answered_once(bench, 20)

    server.asked.clear()
    said: list[str] = []
    run_bench(bench.order, said.append, said.append)  # here: it is done without any Ray
    assert said[-1] == "every question is answered already; nothing is asked"
    assert server.asked.total() == 0
    assert {**lasting(bench.summary()), **complete} == lasting(undisturbed[0].summary())


def unfolded(output: str) -> str:
    return " ".join(output.split())


def test_an_outage_of_everything_is_no_figure(ray: Cluster, server: Upstream, tmp_path: Path) -> None:
    rows = [(LOGS, "A", "outage", "outage", "outage", ""), (CAUSES, "B", CAUSES, "outage", "outage", "")]
    write_benchmark(tmp_path / "data", [*rows, (TEST, "B", "outage", "outage", "outage", "")])
    experts = {"alpha": {"model": "first"}, "beta": {"model": "second"}}
    bench = Bench(
        ray.environment, write_profile(tmp_path, server, experts=experts), tmp_path / "data", tmp_path / "out"
    )
    code, output = bench.run()
    assert code == 1, output
    summary = bench.summary()
    assert summary["incomplete"]
    assert calls(summary) == {**NONE, "issued": 9, "completed": 9, "failed": 8}
    assert summary["classifier"]["total"] == 1
    assert set(summary["systems"]) == {"coe", "alpha", "beta"}
    for system in summary["systems"].values():
        assert (system["accuracy"], system["ci95"], system["f1"], system["failed"]) == (None, None, None, 3)
    assert (bench.out / "report.html").is_file()


# What is refused


def test_another_run_in_the_same_folder_is_refused(undisturbed: tuple[Bench, str]) -> None:
    bench, _ = undisturbed
    before = (bench.out / "summary.json").read_bytes()
    refused = f"{re.escape(str(bench.out))}: holds another run \\(%s differ\\); choose another --out"
    with replaced(bench.profile, "k: 2", "k: 1"), pytest.raises(DataError, match=refused % "settings"):
        run_bench(bench.order, print, print)
    test = bench.data / "english" / "test" / "UnitTesting.csv"
    with replaced(test, "Case 20", "Case 21"), pytest.raises(DataError, match=refused % "questions"):
        run_bench(bench.order, print, print)
    with replaced(test, "Case 20", "Case 21"):
        code, output = bench.run()
        assert_refused(code, output, "holds another run")
    assert (bench.out / "summary.json").read_bytes() == before


@contextmanager
def replaced(path: Path, old: str, new: str) -> Iterator[None]:
    before = path.read_text("utf-8")
    assert old in before
    path.write_text(before.replace(old, new), "utf-8")
    try:
        yield
    finally:
        path.write_text(before, "utf-8")


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("no profile", "no profile "),
        ("bad profile", "unknown key"),
        ("no key", "environment variable NO_SUCH_KEY is not set"),
        ("no data", "no benchmark "),
        ("empty data", "no row in a test split"),
        ("no examples", "no retrieval index there, and data has no examples"),
    ],
)
def test_a_wrong_profile_or_data_is_said_before_anything_starts(
    server: Upstream, tmp_path: Path, what: str, message: str
) -> None:
    bench = small_world({}, server, tmp_path)
    spoil(bench, what)
    with pytest.raises(CoeError, match=message):
        run_bench(bench.order, print, print)
    # What is put right then is another run, and must find no folder that holds this one.
    assert not bench.out.exists()


def test_a_wrong_profile_is_said_without_a_traceback(ray: Cluster, server: Upstream, tmp_path: Path) -> None:
    bench = small_world(ray.environment, server, tmp_path)
    spoil(bench, "no key")
    code, output = bench.run()
    assert_refused(code, output, "environment variable NO_SUCH_KEY is not set; export the key there")


def spoil(bench: Bench, what: str) -> None:
    profile = yaml.safe_load(bench.profile.read_text("utf-8"))
    match what:
        case "no profile":
            bench.profile.unlink()
        case "bad profile":
            bench.profile.write_text(json.dumps({**profile, "extra": 1}), "utf-8")
        case "no key":
            profile["models"]["third"]["key_env"] = "NO_SUCH_KEY"
            bench.profile.write_text(json.dumps(profile), "utf-8")
        case "no data":
            bench.data.rename(bench.data.with_name("elsewhere"))
        case "empty data":
            (bench.data / "english" / "test").rename(bench.data.with_name("elsewhere"))
        case "no examples":
            (bench.data / "english" / "dev").rename(bench.data.with_name("elsewhere"))
            profile["retrieval"]["index"] = "nowhere"
            bench.profile.write_text(json.dumps(profile), "utf-8")


def assert_refused(code: int, output: str, message: str) -> None:
    assert code == 2, output
    assert message in output
    assert "Traceback" not in output
    assert all(line.startswith("bench: ") for line in output.splitlines()), output


# Killed in the middle


@pytest.fixture(scope="module")
def long_world(ray: Cluster, server: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Sixteen blocks of questions, gamma taking its time."""
    root = tmp_path_factory.mktemp("long")
    pattern = [WORLD[2], WORLD[11], WORLD[17], WORLD[15]]
    write_benchmark(root / "data", list(itertools.islice(itertools.cycle(pattern), QUESTIONS)))
    # Wrong on purpose: gamma is best at tests alone.
    board = Leaderboard.from_scores(
        (who, task, who == "gamma", 1) for who in ("alpha", "beta", "gamma") for task in FILES
    )
    board.save(root / "board.json")
    no_examples = {"model": "sorter", "k": 0}
    profile = write_profile(root, server, classifier=no_examples, leaderboard={"path": "board.json"})
    return Bench(ray.environment, profile, root / "data", root / "whole")


@pytest.fixture(scope="module")
def whole(long_world: Bench, server: Upstream) -> dict[str, Any]:
    """The summary of the long world, undisturbed."""
    server.asked.clear()
    code, output = long_world.run()
    assert code == 0, output
    assert server.asked.total() == QUESTIONS
    return lasting(long_world.summary())


def test_a_profiles_leaderboard_is_what_routes(whole: dict[str, Any], long_world: Bench) -> None:
    board = Leaderboard.load(long_world.profile.with_name("board.json"))
    assert (whole["leaderboard"]["mapping"], whole["leaderboard"]["version"]) == ("profile", board.version)
    accuracies = {name: system["accuracy"] for name, system in whole["systems"].items()}
    assert accuracies == {"coe": 0.25, "alpha": 0.5, "beta": 0.5, "gamma": 0.25}
    assert calls(long_world.summary()) == {**NONE, "issued": 4 * QUESTIONS, "completed": 4 * QUESTIONS}
    assert {answer["expert"] for answer in long_world.folder.read_answers() if answer["system"] == "coe"} == {"gamma"}


def test_a_killed_driver_loses_no_finished_call(long_world: Bench, whole: dict[str, Any], server: Upstream) -> None:
    bench = Bench(long_world.environment, long_world.profile, long_world.data, long_world.out.with_name("driver"))
    server.asked.clear()
    server.delay_s = 1.0
    bench.killed(when=lambda: server.asked.total() >= HALF)
    assert not (bench.out / "summary.json").exists()
    server.delay_s = 0.0
    wait_until(lambda: not still_asking(server))
    first, finished = server.asked.total(), bench.finished_calls()
    assert HALF <= first < QUESTIONS
    code, output = bench.run()
    assert code == 0, output
    assert f"going on: the journal has {finished} finished calls of this run" in output
    repeated = server.asked.total() - QUESTIONS
    assert 0 <= repeated <= AT_ONCE
    assert lasting(bench.summary()) == whole
    bill = calls(bench.summary())
    assert (bill["issued"] - bill["abandoned"], bill["completed"]) == (4 * QUESTIONS, 4 * QUESTIONS)
    assert repeated <= bill["repeated"] == bill["abandoned"]
    answered_once(bench, QUESTIONS)


def still_asking(server: Upstream) -> bool:
    """Whether calls come in yet: Ray ends a dead driver's actors a moment later."""
    before = server.asked.total()
    wait_until_quiet = 1.0
    time.sleep(wait_until_quiet)
    return server.asked.total() != before


def test_a_killed_worker_is_replaced_within_the_run(
    long_world: Bench, whole: dict[str, Any], server: Upstream, ray: Cluster
) -> None:
    bench = Bench(long_world.environment, long_world.profile, long_world.data, long_world.out.with_name("worker"))
    server.asked.clear()
    server.delay_s = 1.0
    with bench.start() as process:
        try:
            wait_until(lambda: server.asked.total() >= HALF or process.poll() is not None)
            [worker] = ray.processes(WORKER)
            kill(worker)
            server.delay_s = 0.0
            output, _ = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == 0, output
    assert all(count <= 2 for count in server.asked.values())
    assert QUESTIONS <= server.asked.total() <= QUESTIONS + AT_ONCE
    assert f"bench: {QUESTIONS}/{QUESTIONS} questions, 100 %" in output
    assert lasting(bench.summary()) == whole
    answered_once(bench, QUESTIONS)


def test_a_stopped_driver_says_how_to_go_on_and_goes_on(
    long_world: Bench, whole: dict[str, Any], server: Upstream
) -> None:
    bench = Bench(long_world.environment, long_world.profile, long_world.data, long_world.out.with_name("stopped"))
    server.asked.clear()
    server.delay_s = 1.0
    with bench.start() as process:
        try:
            wait_until(lambda: server.asked.total() >= HALF or process.poll() is not None)
            process.terminate()
            output, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == STOPPED, output
    assert "bench: stopped; every finished call is kept, and the same command goes on from here" in output
    server.delay_s = 0.0
    wait_until(lambda: not still_asking(server))
    code, output = bench.run()
    assert code == 0, output
    assert QUESTIONS <= server.asked.total() <= QUESTIONS + AT_ONCE
    assert lasting(bench.summary()) == whole
    answered_once(bench, QUESTIONS)


def test_a_second_run_in_a_folder_in_use_is_refused(long_world: Bench, server: Upstream) -> None:
    bench = Bench(long_world.environment, long_world.profile, long_world.data, long_world.out.with_name("twice"))
    server.asked.clear()
    server.delay_s = 1.0
    with bench.start() as process:
        try:
            wait_until(lambda: server.asked.total() >= HALF or process.poll() is not None)
            process.send_signal(signal.SIGSTOP)  # it cannot end before the second has come
            code, output = bench.run()
        finally:
            process.kill()
            server.delay_s = 0.0
    assert_refused(code, output, f"another run works in it (process {process.pid} on ")

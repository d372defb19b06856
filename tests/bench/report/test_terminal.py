"""Table for the terminal: the order, short names, and its width."""

import pytest

from coe_ray.bench.report import render_table
from tests.bench.report.summaries import SET_A, SET_B, page, summary, system


def test_the_table_puts_coe_first_then_the_most_accurate() -> None:
    systems = {"low": system("low", 1), "down": system("down", 0, 0, failed=1), "high": system("high", 19)}
    lines = render_table(summary({**systems, "coe": system("coe", 10)})).splitlines()
    assert [line.split()[0] for line in lines[1:5]] == ["coe", "high", "low", "down"]
    assert lines[1].split() == ["coe", "50.0", "±", "9.6", "50", "50", "0", "0", "0"]
    assert lines[4].split()[:2] == ["down", "–"]


def test_short_task_names_are_spelled_out_below() -> None:
    table = " ".join(render_table(summary({"coe": system("coe", 10)})).split())
    assert "by task, % LP RCA TSAD TSC TSF" in table
    assert "TSAD = Time Series Anomaly Detection" in table


def test_tasks_with_equal_initials_are_numbered() -> None:
    tasks = ("Root Cause Analysis", "Risk Control Analysis")
    table = render_table(summary({"coe": system("coe", 10, tasks=tasks)}, tasks=tasks))
    assert "T1 = Root Cause Analysis\nT2 = Risk Control Analysis" in table


def columns(line: str) -> int:
    return sum(2 if "一" <= character <= "鿿" else 1 for character in line)


@pytest.mark.parametrize("tasks", [SET_A, SET_B, tuple(f"任务名称很长很长{n}" for n in range(8))])
def test_the_table_keeps_to_a_hundred_columns(tasks: tuple[str, ...]) -> None:
    names = (
        "coe",
        "a-model-with-a-name-that-goes-on-and-on-7B-Instruct-v0.3",
        "一个名字非常非常非常非常长的中文大语言模型",
    )
    systems = {name: system(name, 20, failed=2, tasks=tasks) for name in names}
    table = render_table(summary(systems, tasks=tasks))
    assert max(map(columns, table.splitlines())) <= 100
    assert "by task" in table


def test_answers_cut_off_are_named_in_table_and_page() -> None:
    systems = {"coe": system("coe", 10) | {"cut_off": 2}, "low": system("low", 9) | {"cut_off": 1_200}}
    note = "Cut off at max_tokens (finish_reason length): 2 of CoE, 1,200 of low."
    assert note in render_table(summary(systems))
    assert note in page(systems).text
    whole = {name: each | {"cut_off": 0} for name, each in systems.items()}
    assert "Cut off" not in render_table(summary(whole)) + page(whole).text


def test_nine_tasks_are_left_to_the_report() -> None:
    tasks = tuple(f"Task {number}" for number in range(9))
    assert "by task" not in render_table(summary({"coe": system("coe", 1, tasks=tasks)}, tasks=tasks))

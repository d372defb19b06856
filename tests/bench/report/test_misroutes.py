"""Misroutes: both experts, the right answer, and long texts folded."""

from typing import Any

from coe_ray.bench.report import render_report
from tests.bench.report.summaries import Page


def test_misroutes_show_both_experts_and_the_right_answer(run: dict[str, Any], shown: Page) -> None:
    assert len(run["misroutes"]) > 4
    for each in run["misroutes"]:
        assert f"{each['task']}, taken for {each['label']} with confidence {each['confidence']:.2f}" in shown.text
        assert f"{each['asked']['expert']} was asked" in shown.text
        assert f"{each['meant']['expert']} would have been asked, as best at {each['task']}" in shown.text
    assert "the right answer" in shown.text


def test_long_texts_are_folded(run: dict[str, Any]) -> None:
    first = {**run["misroutes"][0], "text": "q" * 500}
    long = Page(render_report({**run, "misroutes": [first]}))
    assert "The whole text, 500 characters" in long.text
    assert "q" * 500 in long.text
    short = {**first, "text": "why?", **{name: {**first[name], "text": "(A)"} for name in ("asked", "meant")}}
    assert "details" not in Page(render_report({**run, "misroutes": [short]})).tags

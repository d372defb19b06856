"""The billing audit counts what was really sent, run by run."""

from dataclasses import replace
from pathlib import Path

import pytest

from coe_ray.core import errors
from coe_ray.core.errors import DataError
from coe_ray.journal.audit import Audit, audit_calls
from coe_ray.journal.journal import Journal
from tests.support.journal_world import ANSWER, answered, call, key

NOTHING = Audit(*[0] * 9)


def test_every_call_is_counted_once_where_it_belongs(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, "run")
    answered(journal, "one", "two", "two")
    journal.append_issued(key("lost"), "model-a", call("lost"))
    for text, kind in (("refused", errors.ContentFiltered), ("failed", errors.ServerFault)):
        journal.append_issued(key(text), "model-a", call(text))
        journal.append_outcome(key(text), "model-a", kind("model-a", "no", attempts=4))
    journal.append_reused(key("one"), "model-a")
    journal.append_issued(key("other"), "model-b", call("other"))
    journal.append_outcome(key("other"), "model-b", replace(ANSWER, attempts=1))
    journal.close()
    assert audit_calls(tmp_path, "run") == {
        "model-a": Audit(
            issued=6,
            completed=5,
            reused=1,
            repeated=1,
            abandoned=1,
            retried=3 * 1 + 2 * 3,
            failed=1,
            prompt_tokens=3 * 7,
            completion_tokens=3 * 2,
        ),
        "model-b": replace(NOTHING, issued=1, completed=1, prompt_tokens=7, completion_tokens=2),
    }


def test_a_call_lost_with_one_worker_and_made_by_the_next_is_repeated(tmp_path: Path) -> None:
    killed = Journal.open(tmp_path, "run")
    killed.append_issued(key("one"), "model-a", call("one"))
    killed.close()
    heir = Journal.open(tmp_path, "run")
    answered(heir, "one")
    heir.close()
    counted = audit_calls(tmp_path, "run")["model-a"]
    assert (counted.issued, counted.completed, counted.repeated, counted.abandoned) == (2, 1, 1, 1)


@pytest.mark.parametrize("run", ["2026-01-01", "2026-01-01T10:00:00+00:00", "a/b", "日本", "calls"])
def test_a_run_is_told_from_others_whose_names_begin_like_it(tmp_path: Path, run: str) -> None:
    for name in (run, f"{run}-2", f"{run}-2-12345678", ""):
        journal = Journal.open(tmp_path, name)
        answered(journal, name)
        journal.close()
    only = 2 if run == "calls" else 1  # what a run without a name is called
    assert audit_calls(tmp_path, run)["model-a"].issued == only
    assert audit_calls(tmp_path)["model-a"].issued == 4
    assert audit_calls(tmp_path, "another") == {}


def test_a_place_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="not a folder"):
        audit_calls(tmp_path / "file")

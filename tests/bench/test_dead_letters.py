"""Failed calls: each once in the file, all of a kind in one line with what to do; refusals are none."""

from typing import Any

import pytest

from coe_ray.bench.dead_letters import DeadLetters
from coe_ray.core.run_folder import DEAD_LETTER_SCHEMA, QuestionRecord

MODELS = {"classifier": "sorter", "alpha": "first", "beta": "second"}


def fault(error: str, message: str = "no", attempts: int = 1, **more: Any) -> dict[str, Any]:
    return {"error": error, "message": message, "attempts": attempts, "status": None, "body": "", **more}


def record(id_: str, classifier: Any = None, **answers: Any) -> QuestionRecord:
    return {"id": id_, "classification_error": classifier, "answers": answers}


def test_each_failed_call_is_a_row_with_its_model() -> None:
    letters = DeadLetters(MODELS)
    said = {"letter": "A", "text": "(A)"}
    rows = list(
        letters.rows(
            [
                record("1", fault("ServerFault", status=503, body="{}"), alpha=said, beta=fault("BadCall")),
                record("2", alpha=said, beta={**fault("ContentFiltered"), "refused": True}),
            ]
        )
    )
    assert [(row["question_id"], row["system"], row["model"], row["error"]) for row in rows] == [
        ("1", "classifier", "sorter", "ServerFault"),
        ("1", "beta", "second", "BadCall"),
    ]
    assert (rows[0]["status"], rows[0]["body"]) == (503, "{}")
    assert all(set(row) == set(DEAD_LETTER_SCHEMA.names) for row in rows)


def test_calls_of_a_kind_are_told_together_in_the_words_of_one_that_was_sent() -> None:
    letters = DeadLetters(MODELS)
    denied = [
        fault("BadCredentials", "not asked: 401", 0),
        fault("BadCredentials", "401"),
        fault("BadCredentials", "x", 0),
    ]
    list(letters.rows(record(str(number), alpha=each) for number, each in enumerate(denied)))
    [kind] = letters.kinds()
    assert (kind["model"], kind["error"], kind["calls"], kind["message"]) == ("first", "BadCredentials", 3, "401")


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        ("QuotaUsedUp", "this model was asked nothing more: put that right, then run the same command"),
        (
            "NoSuchModel",
            "correct the profile, then run it with another --out and --journal RUN/journal: nothing is paid again",
        ),
        ("LongCooldown", "this model was asked nothing more: run the same command when that time is over"),
        ("ServerFault", "run the same command to ask again"),
        ("ContextTooLong", "mend it, then add --retry-failed to ask again"),
        ("NotInJournal", "a replay asks nobody: run the bench with this profile and the same --journal"),
    ],
)
def test_what_to_do_depends_on_the_class(error: str, remedy: str) -> None:
    letters = DeadLetters(MODELS)
    list(letters.rows([record("1", alpha=fault(error))]))
    assert letters.kinds()[0]["remedy"] == remedy

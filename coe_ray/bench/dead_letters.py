"""Calls that failed for good: each for the file, and all of a kind together with what to do about them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from coe_ray.core.errors import CallError, NoSuchModel, NotInJournal, call_error
from coe_ray.core.run_folder import QuestionRecord

CLASSIFIER = "classifier"
"""The name under which calls of the first stage stand among those of the experts."""

_KEPT = ("error", "message", "status", "attempts", "body")


@dataclass(slots=True)
class DeadLetters:
    """`models` has the model behind the classifier and each expert."""

    models: Mapping[str, str]
    _calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    _messages: dict[tuple[str, str], str] = field(default_factory=dict)

    def rows(self, records: Iterable[QuestionRecord]) -> Iterator[dict[str, Any]]:
        """One row a failed call, counted as it passes."""
        for record in records:
            for system, said in {CLASSIFIER: record["classification_error"], **record["answers"]}.items():
                if said and "error" in said and not said.get("refused"):
                    model = self.models[system]
                    self._count(model, said)
                    kept = {name: said.get(name) for name in _KEPT}
                    yield {"question_id": record["id"], "system": system, "model": model, **kept}

    def _count(self, model: str, said: Mapping[str, Any]) -> None:
        kind = model, said["error"]
        self._calls[kind] += 1
        # What was not asked at all repeats the message of the call that was.
        if kind not in self._messages or said.get("attempts"):
            self._messages[kind] = said["message"]

    def kinds(self) -> list[dict[str, Any]]:
        """By model and class of error: how many, one message of them, and what to do."""
        return [
            {
                "model": model,
                "error": error,
                "calls": calls,
                "message": self._messages[model, error],
                "remedy": _remedy(error),
            }
            for (model, error), calls in sorted(self._calls.items())
        ]


def _remedy(error: str) -> str:
    kind: type[CallError] = type(call_error(error, "", "", {}))
    if kind is NotInJournal:
        return "a replay asks nobody: run the bench with this profile and the same --journal"
    if kind is NoSuchModel:
        return "correct the profile, then run it with another --out and --journal RUN/journal: nothing is paid again"
    if kind.stops:
        return "this model was asked nothing more: put that right, then run the same command"
    return "run the same command to ask again" if kind.retryable else "mend it, then add --retry-failed to ask again"

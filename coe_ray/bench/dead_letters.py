"""Dead letters: the calls that failed for good, one row each, and counted by kind with a remedy."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from coe_ray.core.errors import CallError, LongCooldown, NoSuchModel, NotInJournal, call_error
from coe_ray.core.run_folder import QuestionRecord

CLASSIFIER = "classifier"
"""System name of the first stage's calls, beside the experts' names."""

_COLUMNS = ("error", "message", "status", "attempts", "body")


@dataclass(slots=True)
class DeadLetters:
    """Rows and counts of failed calls; `models` maps the classifier and each expert to its model."""

    models: Mapping[str, str]
    _calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    _messages: dict[tuple[str, str], str] = field(default_factory=dict)

    def rows(self, records: Iterable[QuestionRecord]) -> Iterator[dict[str, Any]]:
        """One row a failed call, counted as it passes; a refusal is an answer."""
        for record in records:
            for system, result in {CLASSIFIER: record["classification_error"], **record["answers"]}.items():
                if result and "error" in result and not result.get("refused"):
                    model = self.models[system]
                    self._count(model, result)
                    columns = {name: result.get(name) for name in _COLUMNS}
                    yield {"question_id": record["id"], "system": system, "model": model, **columns}

    def _count(self, model: str, failure: Mapping[str, Any]) -> None:
        kind = model, failure["error"]
        self._calls[kind] += 1
        # A call that was never sent repeats the message of the one that stopped its model.
        if kind not in self._messages or failure.get("attempts"):
            self._messages[kind] = failure["message"]

    def kinds(self) -> list[dict[str, Any]]:
        """For each model and error class: the number of calls, one of their messages, and the remedy."""
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
    if kind is LongCooldown:
        return "this model was asked nothing more: run the same command when that time is over"
    if kind.stops:
        return "this model was asked nothing more: put that right, then run the same command"
    return "run the same command to ask again" if kind.retryable else "mend it, then add --retry-failed to ask again"

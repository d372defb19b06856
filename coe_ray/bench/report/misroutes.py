"""Questions that went to a wrong expert, and what the right expert answers. The texts are models' and data sets'."""

from collections.abc import Mapping
from typing import Any

from coe_ray.core.types import LETTERS

FOLDED = 420
"""Characters from which on a text is folded away behind its beginning, or its end."""

_VERDICTS = {
    "correct": "right",
    "wrong": "wrong",
    "unparsed": "no letter could be read",
    "refused": "it refused",
    "failed": "the call failed",
}


def misroutes(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The summary's misroutes, with `options` as (letter, text, is right) and the replies of both experts."""
    return [
        {
            **misroute,
            "options": [
                (letter, text, letter == misroute["answer"])
                for letter, text in zip(LETTERS, misroute["options"], strict=False)
            ],
            "replies": [
                _reply(misroute["asked"], misroute["label"], "wrong" if misroute["asked"]["letter"] else "unparsed"),
                _reply(misroute["meant"], misroute["task"], "correct"),
            ],
        }
        for misroute in summary.get("misroutes") or ()
    ]


def _reply(reply: Mapping[str, Any], label: str, usual: str) -> dict[str, Any]:
    """An expert's reply with the `label` under which it was, or would have been, asked."""
    outcome = reply.get("outcome") or usual
    return {**reply, "label": label, "outcome": outcome, "verdict": _VERDICTS[outcome]}

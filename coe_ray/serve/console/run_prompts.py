"""What a run's models were sent for one question: out of its journal, and what that does not have made once more.

The journal finds a call by the hash of everything in it, not by its question: so its files are looked through for the
question's text. They are appended to, never changed, and read here a piece at a time.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from coe_ray.core.errors import CoeError
from coe_ray.core.run_folder import RunFolder
from coe_ray.core.types import Message, Question
from coe_ray.journal.segments import PROMPTS, is_segment
from coe_ray.profile.profile import Profile, load_profile
from coe_ray.routing.prompts import expert_prompt

CLASSIFIER = "classifier"
"""What its prompt is listed under, among those of the experts."""

AT_MOST = 50
_PIECE = 1 << 20


@dataclass(slots=True)
class Prompt:
    """One prompt: the systems that were asked so, the models that were sent it, and whether the journal says so."""

    messages: list[dict[str, str]]
    sent: bool
    models: list[str] = field(default_factory=list)
    systems: list[str] = field(default_factory=list)


def prompts_of(folder: RunFolder, card: Mapping[str, Any], question: Question) -> list[Prompt]:
    """The classifier's first. Systems are named where the run's profile can still be read."""
    journal = _journal(folder, card)
    found = list(_sent(journal, question)) if journal else []
    profile = _profile(card)
    if profile:
        for prompt in found:
            prompt.systems = _systems(prompt, profile, question)
        named = {name for prompt in found for name in prompt.systems}
        found += [_remade(profile, name, question) for name in profile.experts if name not in named]
    return sorted(found, key=lambda prompt: (prompt.systems != [CLASSIFIER], not prompt.sent, prompt.systems))


def _journal(folder: RunFolder, card: Mapping[str, Any]) -> Path | None:
    """`None` where it is in an object store: that is not fetched to be looked at."""
    place = str(card.get("journal") or folder.journal)
    return None if "://" in place or not Path(place).is_dir() else Path(place)


def _profile(card: Mapping[str, Any]) -> Profile | None:
    """As it is now: who asked what follows from the prompts, not from it."""
    try:
        return load_profile(str(card.get("profile", "")))
    except (CoeError, OSError):
        return None


def _sent(journal: Path, question: Question) -> Iterator[Prompt]:
    files = sorted(journal.iterdir())
    texts: dict[str, list[dict[str, str]]] = {}
    # As orjson writes it, without the quotes around it.
    wanted = orjson.dumps(question.full_text)[1:-1]
    for file in files:
        if file.name.endswith(PROMPTS):
            for told in _lines_with(file, wanted):
                if _asks(told.get("messages", []), question) and len(texts) < AT_MOST:
                    texts[told["prompt"]] = told["messages"]
    calls = [file for file in files if is_segment(file.name)]
    for hashed, messages in texts.items():
        models = {told["model"] for told in _issued(calls, hashed)}
        yield Prompt(messages, sent=True, models=sorted(models))


def _issued(calls: Iterable[Path], hashed: str) -> Iterator[dict[str, Any]]:
    wanted = f'"prompt":"{hashed}"'.encode()
    return (told for file in calls for told in _lines_with(file, wanted) if "model" in told)


def _asks(messages: list[dict[str, str]], question: Question) -> bool:
    """Whether it is about this question, which may also stand among the examples of another's prompt."""
    return bool(messages) and (_is_classifiers(messages, question) or _is_experts(messages, question))


def _is_experts(messages: list[dict[str, str]], question: Question) -> bool:
    last = messages[-1]["content"]
    return last == question.full_text or last.startswith(f"{question.full_text}\n")


def _is_classifiers(messages: list[dict[str, str]], question: Question) -> bool:
    """Examples come before the question, and their labels after each of them."""
    _, found, after = messages[-1]["content"].rpartition(f": {question.full_text}\n\n")
    return bool(found) and "**Task: " in after and "\n\n" not in after


def _systems(prompt: Prompt, profile: Profile, question: Question) -> list[str]:
    if _is_classifiers(prompt.messages, question):
        return [CLASSIFIER]
    candidates = [name for name, expert in profile.experts.items() if expert.model in prompt.models]
    alike = [name for name in candidates if _expert_messages(profile, name, question)[0] == prompt.messages[0]]
    return alike or (candidates if len(candidates) == 1 else [])


def _remade(profile: Profile, name: str, question: Question) -> Prompt:
    messages = _expert_messages(profile, name, question)
    return Prompt(messages, sent=False, models=[profile.experts[name].model], systems=[name])


def _expert_messages(profile: Profile, name: str, question: Question) -> list[dict[str, str]]:
    expert = profile.experts[name]
    return [_plain(each) for each in expert_prompt(question, expert.prompt, expert.instruction)]


def _plain(message: Message) -> dict[str, str]:
    return {"role": message.role, "content": message.content}


def _lines_with(file: Path, wanted: bytes) -> Iterator[dict[str, Any]]:
    """The JSON objects on the whole lines that hold these bytes; what cannot be read is left out."""
    try:
        with file.open("rb") as content:
            for piece in _pieces(content):
                yield from _objects(piece, wanted)
    except OSError:
        return


def _pieces(content: Any) -> Iterator[bytes]:
    """The file in pieces of whole lines: a search in a large piece holds up this process's other threads least."""
    rest = b""
    while block := content.read(_PIECE):
        whole, newline, rest = (rest + block).rpartition(b"\n")
        if newline:
            yield whole + newline


def _objects(piece: bytes, wanted: bytes) -> Iterator[dict[str, Any]]:
    at = piece.find(wanted)
    while at >= 0:
        begin, end = piece.rfind(b"\n", 0, at) + 1, piece.find(b"\n", at)
        try:
            told = orjson.loads(piece[begin:end])
        except ValueError:
            told = None
        if isinstance(told, dict):
            yield told
        at = piece.find(wanted, end)

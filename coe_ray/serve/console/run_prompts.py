"""Prompts of one question of a run: those in its journal, and those of other experts made again from the profile."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from coe_ray.core.errors import CoeError
from coe_ray.core.run_folder import RunFolder, read_questions
from coe_ray.core.types import Question
from coe_ray.profile.profile import Profile, load_profile
from coe_ray.routing.prompts import expert_prompt
from coe_ray.serve.console.prompt_index import Prompt, PromptIndex, is_classifier_prompt

CLASSIFIER = "classifier"
"""Name of the classifier among the systems."""

INDEXES_KEPT = 4


def find_prompts(folder: RunFolder, card: Mapping[str, Any], question: Question) -> list[Prompt]:
    """The classifier's prompt first. Systems are named where the run's profile can still be read."""
    journal = _journal_folder(folder, card)
    prompts = _index(folder, str(card.get("run")), journal).find(question.id) if journal else []
    if profile := _load_profile(card):
        for prompt in prompts:
            prompt.systems = _systems(prompt, profile, question)
        named = {name for prompt in prompts for name in prompt.systems}
        prompts += [_remake(profile, name, question) for name in profile.experts if name not in named]
    return sorted(prompts, key=lambda prompt: (prompt.systems != [CLASSIFIER], not prompt.sent, prompt.systems))


@lru_cache(maxsize=INDEXES_KEPT)
def _index(folder: RunFolder, _run: str, journal: Path) -> PromptIndex:
    """One for each run; `_run` is new where a folder is used for another run."""
    return PromptIndex(journal, read_questions(folder.questions))


def _journal_folder(folder: RunFolder, card: Mapping[str, Any]) -> Path | None:
    """The run's journal. `None` where there is none, or it lies outside the folder of runs: nothing is read there."""
    journal = Path(str(card.get("journal") or folder.journal)).resolve()
    is_below = any(journal.is_relative_to(root.resolve()) for root in (folder.root, folder.root.parent))
    return journal if is_below and journal.is_dir() else None


def _load_profile(card: Mapping[str, Any]) -> Profile | None:
    """The profile as it is now; `None` where it cannot be read any more."""
    try:
        return load_profile(str(card.get("profile", "")))
    except (CoeError, OSError):
        return None


def _systems(prompt: Prompt, profile: Profile, question: Question) -> list[str]:
    if is_classifier_prompt(prompt.messages[-1]["content"]):
        return [CLASSIFIER]
    candidates = [name for name, expert in profile.experts.items() if expert.model in prompt.models]
    alike = [name for name in candidates if _expert_messages(profile, name, question)[0] == prompt.messages[0]]
    return alike or (candidates if len(candidates) == 1 else [])


def _remake(profile: Profile, name: str, question: Question) -> Prompt:
    return Prompt(_expert_messages(profile, name, question), False, [profile.experts[name].model], [name])


def _expert_messages(profile: Profile, name: str, question: Question) -> list[dict[str, str]]:
    expert = profile.experts[name]
    messages = expert_prompt(question, expert.prompt, expert.instruction)
    return [{"role": message.role, "content": message.content} for message in messages]

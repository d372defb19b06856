"""Experts and classifiers of a profile: what a model is asked, and how it is to answer."""

from functools import cached_property
from typing import Literal

from pydantic import Field, model_validator

from coe_ray.core.abilities import Ability
from coe_ray.core.types import SamplingParams
from coe_ray.profile.models import ProfileSection

FREE_TEXT_TOKENS = 1024
"""Tokens of an answer in free text, at least, where the client names no other limit."""

PromptStyle = Literal["step-by-step", "direct", "next-token"]


class ExpertConfig(ProfileSection):
    """A model with a prompt style and decoding settings. `constrained` closes a hosted model's reply to a letter.

    `step-by-step` and `direct` ask for a sentence. With `next-token` the likeliest of the letters behind the prompt is
    the answer, whatever the model would have said: it must give log-probabilities, as vLLM does, and some APIs.
    `instruction` stands in the place of the style's own words, in every language.

    `reads` says what the expert can read (default: what its kind of model can); it is not called for anything else.
    `context_tokens` is the longest conversation that it can read, in tokens. `settings.max_tokens` bounds the answer to
    an exam question; free text has at least `FREE_TEXT_TOKENS`.
    """

    model: str
    reads: tuple[Ability, ...] | None = Field(default=None, min_length=1)
    context_tokens: int | None = Field(default=None, ge=1)
    prompt: PromptStyle = "step-by-step"
    instruction: str | None = Field(default=None, min_length=1)
    constrained: bool = False
    settings: SamplingParams = SamplingParams(temperature=0.0)

    @cached_property
    def free_text_settings(self) -> SamplingParams:
        """The settings for free text: an exam's `max_tokens` would cut it in mid-word."""
        tokens = self.settings.max_tokens
        return self.settings.merge(SamplingParams(max_tokens=tokens and max(tokens, FREE_TEXT_TOKENS)))

    @model_validator(mode="after")
    def _letters_follow_no_reasoning(self) -> "ExpertConfig":
        if self.constrained and self.prompt == "step-by-step":
            raise ValueError("constrained leaves no room to reason: use it with prompt: direct")
        return self


class ClassifierConfig(ProfileSection):
    """The general LLM that names the task; `k` similar labelled questions go into its prompt (0: without RAG).

    Where the neighbours give one task at least the confidence `skip_llm_above`, it stands and the LLM is not asked:
    0 leaves every question with neighbours to them. `coe-ray threshold` finds the value for a wanted accuracy.
    `instruction` stands before the task list in the place of the prompt's own words, in every language.

    A live question waits `live_timeout_s` seconds for the LLM. Then, and where the LLM fails, its neighbours give the
    task. Jobs wait as long as it takes: there an outage must never be taken for a label.
    """

    model: str
    skip_llm_above: float | None = Field(default=None, ge=0, le=1)
    instruction: str | None = Field(default=None, min_length=1)
    decoding: Literal["free", "constrained"] = "constrained"
    k: int = Field(default=4, ge=0, le=64)
    live_timeout_s: float = Field(default=3.0, gt=0)
    example_chars: int = Field(default=1200, ge=50)
    settings: SamplingParams = SamplingParams(temperature=0.0, max_tokens=512)

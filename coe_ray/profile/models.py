"""The models of a profile: where answers come from, kind by kind.

Secrets never stand in a profile: an API model names the environment variable that holds its key.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class ProfileSection(BaseModel):
    """Base of every part of a profile: frozen, unknown keys refused."""

    # A key that was put into a profile by mistake must not come out again in a traceback.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Package(ProfileSection):
    """An installed package that carries weights, for machines without a hub; the file's SHA-256 is checked."""

    module: str
    file: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Weights(ProfileSection):
    """Where weights come from: the hub by name and revision, or a package where there is no hub.

    `sha256` is the published hash of the hub's `model.safetensors`.
    """

    hub: str
    revision: str | None = None
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    package: Package | None = None


class Scaling(ProfileSection):
    """How many replicas of a hosted model, driven by ongoing requests per replica.

    A request beyond `max_ongoing_requests` of each replica waits in its caller's queue. That takes
    `max_queued_requests` (default: as many as all replicas work on at once), then requests are refused. A replica is
    added or taken away after its delay, in seconds of too much or too little load: an engine takes minutes to
    start, so it comes soon and goes late. With `min_replicas: 0` the last one goes too, and a request brings it back.
    """

    min_replicas: int = Field(default=1, ge=0)
    max_replicas: int = Field(default=1, ge=1)
    target_ongoing_requests: int = Field(default=32, ge=1)
    max_ongoing_requests: int = Field(default=64, ge=1)
    max_queued_requests: int | None = Field(default=None, ge=1)
    upscale_delay_s: float = Field(default=10.0, ge=0)
    downscale_delay_s: float = Field(default=300.0, ge=0)

    @property
    def queue(self) -> int:
        """Requests that may wait in one caller's queue."""
        return self.max_queued_requests or self.max_replicas * self.max_ongoing_requests

    @model_validator(mode="after")
    def _ordered(self) -> "Scaling":
        if self.min_replicas > self.max_replicas:
            raise ValueError("min_replicas must not be above max_replicas")
        if self.target_ongoing_requests > self.max_ongoing_requests:
            raise ValueError("target_ongoing_requests must not be above max_ongoing_requests")
        return self


Strategy = Literal["PACK", "STRICT_PACK", "SPREAD", "STRICT_SPREAD"]


class VllmModel(ProfileSection):
    """A model hosted here on vLLM, on a placement group of `bundle` × tensor × pipeline parallel size.

    Without a `strategy` the workers lie on one node (`STRICT_PACK`), or, where they are a pipeline, on as few nodes as
    can be (`PACK`). A model that needs no whole card names a part of one (`GPU: 0.5`): Ray puts several on a card,
    and vLLM takes no more of its memory than that part.
    """

    kind: Literal["vllm"]
    weights: Weights
    engine: dict[str, Any] = Field(default_factory=dict)
    environment: dict[str, str] = Field(default_factory=dict)
    accelerator: str | None = None
    bundle: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=lambda: {"GPU": 1.0, "CPU": 1.0})
    strategy: Strategy | None = None
    scaling: Scaling = Scaling()

    @field_validator("engine")
    @classmethod
    def _whole_sizes(cls, engine: dict[str, Any]) -> dict[str, Any]:
        for key in ("tensor_parallel_size", "pipeline_parallel_size"):
            if type(size := engine.get(key, 1)) is not int or size < 1:  # `True` is an int, too
                raise ValueError(f"{key} must be a whole number above 0")
        for key in ("data_parallel_size", "prefill_context_parallel_size"):
            if engine.get(key, 1) != 1:
                raise ValueError(f"{key} has no bundles here; for more of the same model raise scaling.max_replicas")
        share = engine.get("gpu_memory_utilization", 1.0)
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
            raise ValueError("gpu_memory_utilization must be above 0 and at most 1")
        return engine

    @model_validator(mode="after")
    def _fits_its_cards(self) -> "VllmModel":
        gpu = self.bundle.get("GPU", 0.0)
        if not any(self.bundle.values()):
            raise ValueError("bundle: names no resource; a worker needs a CPU or a GPU")
        if gpu > 1:
            raise ValueError("bundle.GPU: a worker is on one GPU at most; for more set engine.tensor_parallel_size")
        if self.accelerator and not gpu:
            raise ValueError("accelerator: names a kind of GPU, but bundle has no GPU")
        if not 0 < gpu < 1:
            return self
        if self.workers > 1:
            raise ValueError(f"bundle.GPU: the {self.workers} workers of a parallel engine need a whole GPU each")
        if self.engine.get("gpu_memory_utilization", 0) > gpu:
            raise ValueError(
                f"engine.gpu_memory_utilization: above {gpu:g}, this model's part of the card (bundle.GPU); "
                "the models that share a card must not want more than all its memory"
            )
        return self

    @property
    def workers(self) -> int:
        """Of one replica: tensor × pipeline parallel size."""
        size: int = self.engine.get("tensor_parallel_size", 1) * self.engine.get("pipeline_parallel_size", 1)
        return size

    @property
    def bundles(self) -> list[dict[str, float]]:
        """One bundle for each worker of one replica."""
        return [dict(self.bundle) for _ in range(self.workers)]

    @property
    def placement_strategy(self) -> Strategy:
        if self.strategy is not None:
            return self.strategy
        return "PACK" if self.engine.get("pipeline_parallel_size", 1) > 1 else "STRICT_PACK"


class Price(ProfileSection):
    """What a model costs, in any one currency for a million tokens."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)


class ApiModel(ProfileSection):
    """Any OpenAI-compatible endpoint. `key_env` names the environment variable that holds the key.

    `base_url` holds no secrets, for it is shown and written down: it has no user, password, query or fragment.
    Models with one `base_url` and key share one rate governor. `max_concurrency` caps its calls at once, on the
    whole cluster; the two limits a minute are optional, as 429s tell it the same. `revision` is free text: change
    it when the provider changes the model behind the name, so that answers of the old one are not used again.
    `parameters` gives a parameter the name that the model takes (`max_tokens: max_completion_tokens`), or with `null`
    keeps an expert's own setting from a model that refuses it (`temperature: null`).
    """

    kind: Literal["api"]
    base_url: str = Field(pattern=r"^https?://")
    model: str
    key_env: str | None = None
    revision: str = ""
    max_concurrency: int = Field(default=64, ge=1)
    requests_per_minute: int | None = Field(default=None, ge=1)
    tokens_per_minute: int | None = Field(default=None, ge=1)
    attempts: int = Field(default=8, ge=1)
    timeout_s: float = Field(default=300.0, gt=0)
    price: Price | None = None
    parameters: dict[str, str | None] = Field(default_factory=dict)

    @field_validator("key_env")
    @classmethod
    def _named(cls, value: str | None) -> str | None:
        # In capitals, as they are: whoever writes the key itself here is not to read it in an error, nor in a log.
        if value is not None and not re.fullmatch(r"[A-Z_][A-Z0-9_]*", value):
            raise ValueError("the name of an environment variable in capitals belongs here, and never a key")
        return value

    @field_validator("base_url")
    @classmethod
    def _bare(cls, value: str) -> str:
        if any(mark in value for mark in "@?#"):
            raise ValueError("no user, password, query or fragment may stand in it; key_env says where the key is")
        return value.rstrip("/")


class PythonModel(ProfileSection):
    """A model that is not an LLM: `target` is `module:Class`, called with the model's name."""

    kind: Literal["python"]
    target: str = Field(pattern=r"^\w+(\.\w+)*:\w+$")


class RecordedModel(ProfileSection):
    """A table of past results (CSV, JSONL or Parquet; its columns: recordings.py).

    `expert` says whose rows are meant where it has several experts'. `question` is the question's id in a run.
    """

    kind: Literal["recorded"]
    path: str
    expert: str | None = None


class RuleConfig(ProfileSection):
    """One rule of a scripted model: a regex over the prompt, and the reply (or failure) it causes."""

    pattern: str
    reply: str
    fails: bool = False


class ScriptedModelConfig(ProfileSection):
    """A model that follows a script: for tests and planted worlds only."""

    kind: Literal["scripted"]
    rules: tuple[RuleConfig, ...] = Field(min_length=1)
    delay_s: float = Field(default=0.0, ge=0)


ModelConfig = Annotated[
    VllmModel | ApiModel | PythonModel | RecordedModel | ScriptedModelConfig, Field(discriminator="kind")
]

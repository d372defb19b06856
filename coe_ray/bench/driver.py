"""What the driver of a Ray job does before anything else: be quiet, and see that its results outlive it."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coe_ray.core.errors import ConfigError

QUIET = {
    "RAY_DEDUP_LOGS_SKIP_REGEX": "PYTHON worker processes have been started",
    "TQDM_DISABLE": "1",
}
"""Settings of this process alone: what it prints is for people. Ray's log files say everything all the same."""


def hush_ray_data() -> None:
    """Nothing of it on the terminal: what fails is raised, and told in one line."""
    for handler in logging.getLogger("ray.data").handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setLevel(logging.CRITICAL)


def outlives_the_job(option: str, path: Path, runtime_env: Mapping[str, Any]) -> Path:
    """In a submitted job the working folder is a copy that Ray removes: results must not go there."""
    path = path.expanduser()
    if runtime_env.get("working_dir") and not path.is_absolute():
        raise ConfigError(f"{option} {path}: in a job give an absolute path; the working folder is only a copy")
    return path.absolute()

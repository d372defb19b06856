"""Profile files: shipped ones by name, others by path, each merged over the one that it extends."""

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from coe_ray.core.errors import ConfigError


def shipped_profiles() -> dict[str, Path]:
    """The profiles in the package, by name."""
    folder = Path(str(resources.files("coe_ray.profile")))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def read_profile(name_or_path: str | Path) -> tuple[Path, dict[str, Any]]:
    """Where it lies and what it says. Raises `ConfigError`: no such file, or not a mapping in YAML."""
    path = _find(name_or_path)
    return path, _content(path, ())


def merge_patch(content: Any, change: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON merge patch (RFC 7386)."""
    made = dict(content) if isinstance(content, dict) else {}
    for key, value in change.items():
        if value is None:
            made.pop(key, None)
        else:
            made[key] = merge_patch(made.get(key), value) if isinstance(value, Mapping) else value
    return made


def _content(path: Path, before: tuple[Path, ...]) -> dict[str, Any]:
    """The content of a file, merged over what it extends. `before` are the files that extend it."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, ArithmeticError, RecursionError) as error:  # PyYAML lets 2020-13-45 through
        raise ConfigError(f"{path}: not readable as YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: a profile is a mapping with the keys tasks, models, experts, …; README shows one")
    named = content.get("extends")
    if not isinstance(named, str):
        return content
    base = _base(path, named)
    # Resolved: a/../b.yaml and b.yaml are one file.
    if base.resolve() in {each.resolve() for each in (path, *before)}:
        raise ConfigError(f"{path}: extends: leads back to {base.name}; one of them must extend nothing")
    below = _anchored(_content(base, (*before, path)), base.parent)
    try:
        return merge_patch(below, content)
    except RecursionError as error:
        raise ConfigError(f"{path}: a mapping in it holds itself (a YAML alias); write it out") from error


def _base(path: Path, named: str) -> Path:
    try:
        return _find(named if named in shipped_profiles() else path.parent / named)
    except ConfigError as error:
        raise ConfigError(f"{path}: extends: {error}") from None


_PATHS = (("leaderboard", "path"), ("retrieval", "index"), ("access", "keys"))
"""Where a profile names files; benchmarks and recorded tables beside."""


def _anchored(content: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The content with its relative paths made whole: who extends it may lie elsewhere."""
    places = [(content.get(section), key) for section, key in _PATHS]
    models = content.get("models")
    places += [(model, "path") for model in (models.values() if isinstance(models, dict) else ())]
    places += [(content.get("retrieval"), "examples")] if _examples_are_a_folder(content, folder) else []
    for section, key in places:
        if isinstance(section, dict) and isinstance(section.get(key), str):
            section[key] = str(Path(folder, Path(section[key]).expanduser()))
    return content


def _examples_are_a_folder(content: dict[str, Any], folder: Path) -> bool:
    retrieval = content.get("retrieval")
    named = retrieval.get("examples") if isinstance(retrieval, dict) else None
    return isinstance(named, str) and Path(folder, Path(named).expanduser()).is_dir()


def _find(name_or_path: str | Path) -> Path:
    shipped = shipped_profiles()
    if str(name_or_path) in shipped:
        return shipped[str(name_or_path)]
    path = Path(name_or_path).expanduser().absolute()
    if not _is_file(path):
        known = ", ".join(shipped)
        raise ConfigError(f"no profile {str(name_or_path)!r}: give a YAML file or one of {known}")
    return path


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # no name that a file could have
        return False

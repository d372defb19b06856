"""Dependencies: what the code imports is declared in pyproject.toml, and what is declared is used."""

import ast
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
OWN = {"coe_ray", "jobs", "tests"}

USED_WITHOUT_IMPORT = {
    "sentence-transformers",  # the format of encoders; the tests hold ours against it
    "onnx",  # torch's exporter wants it
}


def declared(*extras: str) -> set[str]:
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in PROJECT["optional-dependencies"][extra])]
    return {canonicalize_name(Requirement(line).name) for line in lines}


def imported(folder: str) -> dict[str, Path]:
    """Top-level modules of other projects, each with a file that imports it."""
    files = (ROOT / folder).rglob("*.py")
    modules = {name: file for file in files for name in _imports(ast.parse(file.read_text("utf-8")))}
    return {name: file for name, file in modules.items() if name not in OWN | sys.stdlib_module_names}


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def distributions(module: str) -> set[str]:
    """The projects that install it: several for a namespace such as `opentelemetry`."""
    return {canonicalize_name(name) for name in packages_distributions().get(module, [module])}


@pytest.mark.parametrize(("folder", "extras"), [("coe_ray", ()), ("jobs", ()), ("tests", ("dev",))])
def test_what_is_imported_is_declared(folder: str, extras: tuple[str, ...]) -> None:
    known = declared(*extras)
    assert {name: file for name, file in imported(folder).items() if not distributions(name) & known} == {}


def test_what_is_declared_is_used() -> None:
    used = {name for folder in ("coe_ray", "jobs") for module in imported(folder) for name in distributions(module)}
    assert declared() - used == USED_WITHOUT_IMPORT


def test_every_dependency_has_a_range_and_says_what_it_is_for() -> None:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    lines = text.partition("\ndependencies = [")[2].partition("\n]")[0].strip().splitlines()
    assert lines
    assert [line for line in lines if not line.partition("#")[2].strip()] == []
    assert [line for line in PROJECT["dependencies"] if not Requirement(line).specifier] == []

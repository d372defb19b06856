"""docs/profile.md: every key of a profile, out of the schema."""

import inspect
from collections.abc import Iterator
from types import NoneType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from coe_ray.profile.profile import Profile
from coe_ray.profile.tasks import TASK_SETS

HEAD = """# Profile reference

A profile is one YAML file. Unknown keys are refused; an error names file, key and remedy. This page is made out of the
schema (`python -m jobs.reference profile`). Keys without a default must be there.

"""
DERIVED = ("file_name", "folder")
"""Fields of a profile that come from where its file lies."""


def profile_page() -> str:
    """The whole page."""
    sets = ", ".join(f"`{name}` ({len(tasks)} tasks)" for name, tasks in TASK_SETS.items())
    return HEAD + "\n".join(map(_section, _sections(Profile))) + f"\nShipped task sets: {sets}.\n"


def _sections(root: type[BaseModel]) -> list[type[BaseModel]]:
    """The root and every section that it leads to, in the order in which they are met."""
    met: dict[type[BaseModel], None] = {}
    waiting = [root]
    while waiting:
        section = waiting.pop(0)
        if section not in met:
            met[section] = None
            waiting += [kind for field in section.model_fields.values() for kind in _leads_to(field.annotation)]
    return list(met)


def _leads_to(annotation: Any) -> Iterator[type[BaseModel]]:
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _leads_to(part)


def _section(section: type[BaseModel]) -> str:
    keys = {name: field for name, field in section.model_fields.items() if name not in DERIVED}
    rows = [f"| `{name}` | {_cell(_described(field))} | {_cell(_default(field))} |" for name, field in keys.items()]
    doc = inspect.cleandoc(section.__doc__ or "")
    return "\n".join([f"## {section.__name__}", "", doc, "", "| key | kind | default |", "|---|---|---|", *rows, ""])


def _described(field: FieldInfo) -> str:
    """The kind, and the bounds that are set."""
    words = {"ge": "from", "gt": "above", "le": "to", "lt": "below"}
    set_ = [(word, getattr(each, sign, None)) for sign, word in words.items() for each in field.metadata]
    return " ".join([_kind(field.annotation), *(f"{word} {bound:g}" for word, bound in set_ if bound is not None)])


def _kind(annotation: Any) -> str:
    """A type in the words of a YAML file."""
    arguments = get_args(annotation)
    match get_origin(annotation):
        case None:
            return _name(annotation)
        case origin if origin is Union or str(origin) == "<class 'types.UnionType'>":
            return " or ".join(_kind(each) for each in arguments if each is not NoneType)
        case origin if str(origin) == "typing.Literal":
            return " or ".join("`off`" if each is False else f"`{each}`" for each in arguments)
        case origin if origin is dict:
            return f"mapping of {_kind(arguments[1])}"
        case origin if origin in (tuple, list):
            return f"list of {_kind(arguments[0])}"
        case _:  # Annotated
            return _kind(arguments[0])


def _name(kind: Any) -> str:
    plain = {str: "text", int: "whole number", float: "number", bool: "`true` or `false`", Any: "anything"}
    if kind in plain:
        return plain[kind]
    name = getattr(kind, "__name__", str(kind))
    return f"[{name}](#{name.lower()})"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return ""
    value = field.default_factory() if field.default_factory else field.default  # type: ignore[call-arg]
    if value is None:
        return "–"
    if isinstance(value, BaseModel):
        changed = value.model_dump(exclude_unset=True)
        return ", ".join(f"`{key}: {each}`" for key, each in changed.items()) or "its defaults"
    return f"`{value}`" if value not in ({}, (), "") else "none"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")

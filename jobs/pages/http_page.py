"""docs/http.md: every path of the endpoint, out of the OpenAPI document that it publishes."""

from collections.abc import Iterator, Mapping
from typing import Any

from coe_ray.serve.api.openapi import openapi_document

HEAD = """# HTTP reference

OpenAI's chat form, and what stands beside it. The endpoint publishes the same as an OpenAPI document at
`/openapi.json`; this page is made out of it (`python -m jobs.reference http`). Every path but `/healthz` and the
console's own files asks for a key: `Authorization: Bearer KEY`. Errors are OpenAI's error objects.

```python
from openai import OpenAI

client = OpenAI(base_url="http://127.0.0.1:8000/v1", api_key="coe-…")
answer = client.chat.completions.create(model="coe", messages=[{"role": "user", "content": "Which runbook first?"}])
print(answer.choices[0].message.content, answer.coe["task"], answer.coe["expert"])
```

"""


def http_page() -> str:
    """The whole page."""
    told = openapi_document()
    schemas: Mapping[str, Any] = told["components"]["schemas"]
    parts = [_operation(path, method, each) for path, by in told["paths"].items() for method, each in by.items()]
    return HEAD + "\n".join([*parts, "# Objects", "", *(_object(name, each) for name, each in schemas.items())])


def _operation(path: str, method: str, told: Mapping[str, Any]) -> str:
    lines = [f"## {method.upper()} `{path}`", ""]
    if body := told.get("requestBody"):
        lines += [f"Takes {_contents(body)}.", ""]
    if parameters := told.get("parameters"):
        lines += ["| parameter | in | |", "|---|---|---|", *map(_parameter, parameters), ""]
    lines += ["| status | |", "|---|---|", *(_response(*each) for each in told["responses"].items()), ""]
    return "\n".join(lines)


def _parameter(told: Mapping[str, Any]) -> str:
    return f"| `{told['name']}` | {told['in']} | {_cell(told.get('description') or _kind(told['schema']))} |"


def _response(status: str, told: Mapping[str, Any]) -> str:
    headers = ", ".join(f"`{name}`" for name in told.get("headers", {}))
    said = _cell(told["description"]) + (f"; headers {headers}" if headers else "")
    return f"| {status} | {said}: {_contents(told)} |"


def _contents(told: Mapping[str, Any]) -> str:
    return " or ".join(_kind(each["schema"]) for each in told["content"].values())


def _object(name: str, schema: Mapping[str, Any]) -> str:
    required = schema.get("required", [])
    lines = [f"## {name}", ""]
    if said := schema.get("description"):
        lines += [said, ""]
    lines += ["| field | kind | |", "|---|---|---|"]
    for field, told in schema.get("properties", {}).items():
        lines.append(f"| `{field}` | {_cell(_kind(told))} | {'' if field in required else 'may be missing'} |")
    return "\n".join([*lines, ""])


def _kind(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "enum" in schema or "const" in schema:
        return " or ".join(f"`{each}`" for each in schema.get("enum", [schema.get("const")]))
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(map(_kind, schema["anyOf"])))
    kind = schema.get("type")
    if kind == "array":
        return f"list of {_kind(schema.get('items') or {'anyOf': schema.get('prefixItems', [{}])})}"
    if kind == "object" and isinstance(inner := schema.get("additionalProperties"), dict) and inner:
        return f"object of {_kind(inner)}"
    return " ".join([_WORDS.get(str(kind), "anything"), *_bounds(schema)])


_WORDS = {
    "object": "object",
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "`true` or `false`",
    "null": "`null`",
}


def _bounds(schema: Mapping[str, Any]) -> Iterator[str]:
    words = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}
    return (f"{word} {schema[key]:g}" for key, word in words.items() if key in schema)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")

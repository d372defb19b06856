"""OpenAI's Responses form, `/v1/responses`: its requests as chats. Pure. `responses_events.py` writes the answers.

Nothing is stored between requests: a client sends the whole conversation in `input`.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, field_validator

from coe_ray.llm.replies import plain_text
from coe_ray.serve.api.openai import (
    MAX_MESSAGES,
    MAX_NAMED,
    MAX_PARTS,
    ChatRequest,
    RequestError,
    parse_body,
    validate_body,
)
from coe_ray.serve.api.responses_events import ResponsesForm

_NO_STATE = "is not supported: nothing is stored here between requests; send the whole conversation in input"
_UNSET = WithJsonSchema({"type": "null"})
_FALSE = WithJsonSchema({"enum": [False, None]})


class ResponsesRequest(BaseModel):
    """Body of `/v1/responses`. Other fields go to the expert's model as they come.

    `store` is accepted and answered as false.
    """

    model_config = ConfigDict(extra="allow", strict=True, hide_input_in_errors=True)

    model: str = "coe"
    input: Annotated[
        Any,
        WithJsonSchema(
            {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}, "maxItems": MAX_MESSAGES}]}
        ),
    ]
    instructions: str | None = None
    tools: list[dict[str, Any]] | None = Field(default=None, max_length=MAX_PARTS)
    tool_choice: Annotated[
        Any, WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "object"}, {"type": "null"}]})
    ] = None
    text: dict[str, Any] | None = None
    reasoning: dict[str, Any] | None = None
    max_output_tokens: int | None = Field(default=None, ge=1)
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    include: list[str] | None = Field(default=None, max_length=MAX_PARTS)
    metadata: dict[str, Any] | None = None
    stream: bool | None = None
    store: bool | None = None
    max_tool_calls: int | None = None
    truncation: Annotated[str | None, WithJsonSchema({"enum": ["disabled", None]})] = None
    background: Annotated[bool | None, _FALSE] = None
    previous_response_id: Annotated[Any, _UNSET] = None
    conversation: Annotated[Any, _UNSET] = None
    prompt: Annotated[Any, _UNSET] = None

    @field_validator("input")
    @classmethod
    def _is_text_or_items(cls, value: object) -> object:
        if not isinstance(value, str | list):
            raise ValueError("a text or a list of items is needed")
        if isinstance(value, list) and len(value) > MAX_MESSAGES:
            raise ValueError(f"{MAX_MESSAGES} items are the most")
        return value

    @field_validator("background", "previous_response_id", "conversation", "prompt")
    @classmethod
    def _without_state(cls, value: object) -> object:
        if value:
            raise ValueError(_NO_STATE)
        return value

    @field_validator("truncation")
    @classmethod
    def _never_cut(cls, value: str | None) -> str | None:
        if value not in (None, "disabled"):
            raise ValueError("is not supported: a conversation is sent whole or refused; leave it out")
        return value


_TRANSLATED = frozenset(ResponsesRequest.model_fields) - {"model", "stream"} | {"stream_options"}


def read_responses_request(body: bytes) -> tuple[ChatRequest, ResponsesForm]:
    """The request as a chat, and the form of its answer. Raises `RequestError` (400) that names every wrong field."""
    content = parse_body(body)
    request = validate_body(ResponsesRequest, content)
    chat = {name: value for name, value in content.items() if name not in _TRANSLATED}
    translation = _Translation()
    chat |= translation.chat(request)
    if translation.problems:
        lines = [f"{param}: {problem}" for param, problem in translation.problems[:MAX_NAMED]]
        raise RequestError(400, "; ".join(lines), param=translation.problems[0][0], code="invalid_value")
    return ChatRequest.read(chat), ResponsesForm(content)


class _Translation:
    """Translation of one request into the chat form. What cannot be translated is kept in `problems`, by its field."""

    def __init__(self) -> None:
        self.problems: list[tuple[str, str]] = []
        self._messages: list[dict[str, Any]] = []
        self._reasoning = ""

    def chat(self, request: ResponsesRequest) -> dict[str, Any]:
        """The fields of the chat request that are not the same in both forms."""
        if request.instructions:
            self._messages.append({"role": "system", "content": request.instructions})
        items = request.input if isinstance(request.input, list) else [{"role": "user", "content": request.input}]
        for number, item in enumerate(items):
            self._add_item(f"input.{number}", item)
            if len(self.problems) >= MAX_NAMED:
                break  # no more are named, and half a million would hold the event loop
        if not self.problems and not any(each["role"] == "user" and _says_something(each) for each in self._messages):
            self._refuse("input", "there must be a message of role user with text")
        text, reasoning = request.text or {}, request.reasoning or {}
        fields: dict[str, Any] = {
            "tools": [self._tool(f"tools.{number}", tool) for number, tool in enumerate(request.tools or ())],
            "tool_choice": self._tool_choice(request.tool_choice),
            "response_format": self._response_format(text.get("format")),
            "verbosity": text.get("verbosity"),
            "reasoning_effort": reasoning.get("effort"),
            "max_tokens": request.max_output_tokens,
        }
        if request.top_logprobs or "message.output_text.logprobs" in (request.include or ()):
            fields |= {"logprobs": True, "top_logprobs": request.top_logprobs}
        return {"messages": self._messages, **{name: value for name, value in fields.items() if value}}

    def _add_item(self, where: str, item: Any) -> None:
        """Append an item of `input` to the messages."""
        match item.get("type", "message") if isinstance(item, dict) else type(item).__name__:
            case "message":
                self._add_message(where, item)
            case "function_call":
                self._add_call(where, item)
            case "function_call_output":
                call_id, output = self._text(where, item, "call_id"), self._content(f"{where}.output", item, "output")
                self._messages.append({"role": "tool", "tool_call_id": call_id, "content": output})
            case "reasoning":
                self._reasoning = plain_text(item.get("content") or item.get("summary"))
            case "item_reference":
                self._refuse(f"{where}.type", f"'item_reference' {_NO_STATE}")
            case other:
                known = "message, function_call, function_call_output and reasoning"
                self._refuse(f"{where}.type", f"{_shown(other)} is not supported; items here are {known}")

    def _add_message(self, where: str, item: Mapping[str, Any]) -> None:
        role = item.get("role")
        if role not in ("user", "assistant", "system", "developer"):
            self._refuse(f"{where}.role", "must be user, assistant, system or developer")
        content = self._content(f"{where}.content", item, "content")
        if role != "assistant":
            self._reasoning = ""
        elif isinstance(content, list) and all(part["type"] == "text" for part in content):
            content = plain_text(content)  # many models take no parts in an assistant's message
        self._messages.append({"role": role, "content": content})

    def _add_call(self, where: str, item: Mapping[str, Any]) -> None:
        """A call belongs to the assistant's message before it. Reasoning that led to a call goes with it."""
        function = {name: self._text(where, item, name) for name in ("name", "arguments")}
        call = {"id": self._text(where, item, "call_id"), "type": "function", "function": function}
        if not self._messages or self._messages[-1]["role"] != "assistant":
            self._messages.append({"role": "assistant", "content": None})
        message = self._messages[-1]
        message.setdefault("tool_calls", []).append(call)
        if self._reasoning:
            message["reasoning_content"], self._reasoning = self._reasoning, ""

    def _content(self, where: str, item: Mapping[str, Any], name: str) -> str | list[dict[str, Any]]:
        """A message's text, or its parts in the chat form; a single part of text as that text."""
        content = item.get(name)
        if isinstance(content, str):
            return content
        if not isinstance(content, list) or len(content) > MAX_PARTS:
            self._refuse(where, f"a text, or a list of at most {MAX_PARTS} parts, is needed")
            return ""
        parts = [self._part(f"{where}.{number}", part) for number, part in enumerate(content)]
        return parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "text" else parts

    def _part(self, where: str, part: Any) -> dict[str, Any]:
        match part:
            case {"type": "input_text" | "output_text" | "text", "text": str(text)}:
                return {"type": "text", "text": text}
            case {"type": "refusal", "refusal": str(refusal)}:
                return {"type": "refusal", "refusal": refusal}
            case {"type": "input_image", "image_url": str(url)}:
                detail = {"detail": part["detail"]} if part.get("detail") else {}
                return {"type": "image_url", "image_url": {"url": url, **detail}}
            case {"type": "input_file", "file_data": str()}:
                file = {name: part[name] for name in ("file_data", "filename") if name in part}
                return {"type": "file", "file": file}
            case {"type": "input_audio", "input_audio": dict(audio)}:
                return {"type": "input_audio", "input_audio": audio}
        kind = part.get("type") if isinstance(part, dict) else part
        known = (
            "input_text, output_text, refusal, input_image (with image_url), input_file (with file_data), input_audio"
        )
        self._refuse(where, f"{_shown(kind)} cannot be read; parts here are {known}")
        return {"type": "text", "text": ""}

    def _tool(self, where: str, tool: Mapping[str, Any]) -> dict[str, Any]:
        """A function's flat form as the nested one of chats."""
        if tool.get("type") != "function":
            self._refuse(f"{where}.type", f"{_shown(tool.get('type'))} is not supported; tools here are functions")
            return {}
        function = {name: tool[name] for name in _FUNCTION if tool.get(name) is not None}
        function["name"] = self._text(where, tool, "name")
        return {"type": "function", "function": function}

    def _tool_choice(self, choice: Any) -> object:
        match choice:
            case None | "none" | "auto" | "required":
                return choice
            case {"type": "function", "name": str(name)}:
                return {"type": "function", "function": {"name": name}}
            case {"type": "allowed_tools", "tools": list(tools)} if len(tools) <= MAX_PARTS:
                allowed = [self._tool_choice(tool) for tool in tools]
                return {
                    "type": "allowed_tools",
                    "allowed_tools": {"mode": choice.get("mode", "auto"), "tools": allowed},
                }
        self._refuse("tool_choice", "must be none, auto, required, a function or allowed_tools of functions")
        return None

    def _response_format(self, form: Any) -> dict[str, Any] | None:
        match form:
            case None | {"type": "text"}:
                return None
            case {"type": "json_object"}:
                return {"type": "json_object"}
            case {"type": "json_schema", "schema": dict()}:
                return {"type": "json_schema", "json_schema": {name: form[name] for name in _SCHEMA if name in form}}
        self._refuse("text.format", "must be of type text, json_object, or json_schema with a schema")
        return None

    def _text(self, where: str, item: Mapping[str, Any], name: str) -> str:
        value = item.get(name)
        if isinstance(value, str):
            return value
        self._refuse(f"{where}.{name}", "a text is needed")
        return ""

    def _refuse(self, where: str, problem: str) -> None:
        self.problems.append((where, problem))


_FUNCTION = ("description", "parameters", "strict")
_SCHEMA = ("name", "description", "schema", "strict")


def _says_something(message: Mapping[str, Any]) -> bool:
    content = message["content"]
    parts: Iterable[Any] = content if isinstance(content, list) else ()
    return bool(plain_text(content).strip()) or any(part["type"] != "text" for part in parts)


def _shown(value: object) -> str:
    """A client's value in a message, short."""
    return repr(value)[:60]

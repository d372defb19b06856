"""OpenAI's former form, `/v1/completions`: a prompt in, text out, answered as a chat with one message. Pure."""

from collections.abc import Mapping
from itertools import accumulate
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, field_validator

from coe_ray.llm.replies import plain_text
from coe_ray.serve.api.http import ChatForm, write_event
from coe_ray.serve.api.openai import ChatRequest, StreamOptions, parse_body, validate_body


def _one_text(prompt: object) -> object:
    """The text of a prompt, or of a list with one."""
    texts = prompt if isinstance(prompt, list) else [prompt]
    if any(isinstance(each, int | list) for each in texts):
        raise ValueError("arrays of tokens are not read here; send text")
    if len(texts) != 1:
        raise ValueError("one prompt a request is answered here; send each in a request of its own")
    return texts[0]


_PROMPT_SCHEMA = {"type": "string", "pattern": r"\S"}
Prompt = Annotated[
    str,
    BeforeValidator(_one_text),
    WithJsonSchema(
        {"anyOf": [_PROMPT_SCHEMA, {"type": "array", "items": _PROMPT_SCHEMA, "minItems": 1, "maxItems": 1}]}
    ),
]


class CompletionRequest(BaseModel):
    """Body of `/v1/completions`. Other fields go to the expert's model as they come, in the chat form."""

    model_config = ConfigDict(extra="allow", strict=True, hide_input_in_errors=True)

    model: str = "coe"
    prompt: Prompt
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    logprobs: int | None = Field(default=None, ge=0, le=20)
    echo: Annotated[bool | None, WithJsonSchema({"enum": [False, None]})] = None
    suffix: Annotated[str | None, WithJsonSchema({"enum": ["", None]})] = None
    best_of: Annotated[int | None, WithJsonSchema({"enum": [1, None]})] = None

    @field_validator("prompt")
    @classmethod
    def _says_something(cls, prompt: str) -> str:
        if not prompt.strip():
            raise ValueError("there must be some text")
        return prompt

    @field_validator("echo", "suffix")
    @classmethod
    def _not_set(cls, value: bool | str | None) -> bool | str | None:
        if value:
            raise ValueError("is not supported: chat models do not complete a text in place")
        return value

    @field_validator("best_of")
    @classmethod
    def _only_one(cls, value: int | None) -> int | None:
        if value not in (None, 1):
            raise ValueError("is not supported: answers are not ranked here; use n")
        return value


_TRANSLATED = frozenset({"prompt", "logprobs", "echo", "suffix", "best_of"})


def read_completion_request(body: bytes) -> tuple[ChatRequest, "CompletionForm"]:
    """The request as a chat, and the form of its answer. Raises `RequestError` (400) that names every wrong field."""
    content = parse_body(body)
    request = validate_body(CompletionRequest, content)
    chat = {name: value for name, value in content.items() if name not in _TRANSLATED}
    chat["messages"] = [{"role": "user", "content": request.prompt}]
    if request.logprobs is not None:
        chat |= {"logprobs": True, "top_logprobs": request.logprobs}
    return ChatRequest.read(chat), CompletionForm()


class CompletionForm(ChatForm):
    """Writer of one answer as `text_completion` objects."""

    def __init__(self) -> None:
        self._offsets: dict[int, int] = {}

    def whole(self, completion: dict[str, Any]) -> dict[str, Any]:
        return self._translate(completion)

    def piece(self, chunk: dict[str, Any]) -> bytes:
        return write_event(self._translate(chunk))

    def _translate(self, content: dict[str, Any]) -> dict[str, Any]:
        """A chat completion, or a chunk of one."""
        head = {"id": f"cmpl-{str(content['id']).removeprefix('chatcmpl-')}", "object": "text_completion"}
        choices = [self._choice(each) for each in content["choices"] if isinstance(each, dict)]
        return {**content, **head, "choices": choices}

    def _choice(self, choice: Mapping[str, Any]) -> dict[str, Any]:
        said = choice.get("message") or choice.get("delta") or {}
        index, text = choice.get("index", 0), plain_text(said.get("content")) or plain_text(said.get("refusal"))
        logprobs = self._logprobs(choice.get("logprobs"), self._offsets.get(index, 0))
        self._offsets[index] = self._offsets.get(index, 0) + len(text)
        # What chat models say beside the text, such as reasoning, stays.
        beside = {name: value for name, value in said.items() if name not in ("role", "content", "refusal")}
        reason = choice.get("finish_reason")
        return {**beside, "index": index, "text": text, "logprobs": logprobs, "finish_reason": reason}

    def _logprobs(self, logprobs: object, offset: int) -> dict[str, Any] | None:
        """Chat's list of tokens as parallel lists."""
        content = logprobs.get("content") if isinstance(logprobs, dict) else None
        if not isinstance(content, list):
            return None
        content = _dicts(content)
        tokens = [str(each.get("token", "")) for each in content]
        return {
            "tokens": tokens,
            "token_logprobs": [each.get("logprob") for each in content],
            "top_logprobs": [
                {str(top.get("token", "")): top.get("logprob") for top in _dicts(each.get("top_logprobs"))}
                for each in content
            ],
            "text_offset": list(accumulate(map(len, tokens), initial=offset))[:-1],
        }


def _dicts(values: object) -> list[dict[str, Any]]:
    return [each for each in values if isinstance(each, dict)] if isinstance(values, list) else []

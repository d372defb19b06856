"""OpenAI's embeddings, `/v1/embeddings`, by the retriever's encoder. Pure."""

import base64
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, field_validator

from coe_ray.profile.profile import Profile
from coe_ray.retrieval.encoder import Embeddings, Vectors
from coe_ray.serve.api.openai import RequestError, model_not_found, parse_body, validate_body

MAX_TEXTS = 2048
"""Texts of a request, at most, as with OpenAI. The body bounds their bytes."""


def _as_list(texts: object) -> object:
    return [texts] if isinstance(texts, str) else texts


_TEXT_SCHEMA = {"type": "string", "minLength": 1}
Texts = Annotated[
    list[str],
    BeforeValidator(_as_list),
    WithJsonSchema(
        {"anyOf": [_TEXT_SCHEMA, {"type": "array", "items": _TEXT_SCHEMA, "minItems": 1, "maxItems": MAX_TEXTS}]}
    ),
]


class EmbeddingsRequest(BaseModel):
    """Body of `/v1/embeddings`."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    model: str
    input: Texts
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = Field(default=None, ge=1)
    user: str | None = None

    @field_validator("input", mode="before")
    @classmethod
    def _is_text(cls, texts: object) -> object:
        if not isinstance(texts, str | list):
            raise ValueError("a text or a list of texts is needed")
        listed = [texts] if isinstance(texts, str) else texts
        if any(isinstance(each, int | list) for each in listed):
            raise ValueError("arrays of tokens are not read here; send text")
        if not 1 <= len(listed) <= MAX_TEXTS:
            raise ValueError(f"1 to {MAX_TEXTS} texts are needed")
        if "" in listed:
            raise ValueError("no text may be empty")
        return texts


def read_embeddings_request(body: bytes) -> EmbeddingsRequest:
    """The validated request. Raises `RequestError` (400) that names every wrong field."""
    return validate_body(EmbeddingsRequest, parse_body(body))


def require_embedding_model(request: EmbeddingsRequest, profile: Profile) -> str:
    """The model's name. Raises `RequestError` (404) where it is not the profile's."""
    name = profile.retrieval.embeddings
    if name is None:
        message = "this profile offers no embedding model; set retrieval.embeddings to a name for its encoder"
        raise RequestError(404, message, param="model", code="model_not_found")
    if request.model != name:
        raise model_not_found(request.model, [name])
    return name


def write_embeddings(request: EmbeddingsRequest, embeddings: Embeddings) -> dict[str, Any]:
    """OpenAI's list of vectors. Raises `RequestError` (400) for `dimensions` that are not the encoder's."""
    dimension = embeddings.vectors.shape[1]
    if request.dimensions not in (None, dimension):
        message = f"dimensions: this model's vectors have {dimension}, which cannot be changed"
        raise RequestError(400, message, param="dimensions", code="invalid_value")
    vectors = embeddings.vectors
    written = map(_as_base64, vectors) if request.encoding_format == "base64" else vectors.tolist()
    data = [{"object": "embedding", "index": index, "embedding": each} for index, each in enumerate(written)]
    usage = {"prompt_tokens": embeddings.tokens, "total_tokens": embeddings.tokens}
    return {"object": "list", "data": data, "model": request.model, "usage": usage}


def _as_base64(vector: Vectors) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()

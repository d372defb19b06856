"""A sentence-transformers model as one ONNX file: token ids and mask of one text in, the mean of its tokens out.

Made once a machine. The graph takes one text: texts are embedded faster one by one than in batches, which pay for
padding to the longest and fall out of the cache.
"""

import hashlib
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from coe_ray.core.errors import WeightsError
from coe_ray.core.files import make_folder_once
from coe_ray.profile.profile import home_folder

if TYPE_CHECKING:
    from torch import Tensor

RECIPE = "openvino-mean-1"
"""What is made of the weights. Change it with anything that changes a vector: indexes of another recipe are refused."""

_FILE = "model.onnx"
_OPSET = 17


def onnx_file(folder: Path) -> Path:
    """The ONNX file of the model in `folder`, made now or earlier; its place is named after the weights and `RECIPE`.

    Raises `WeightsError` where the model is of another kind than mean pooling over a transformer's tokens.
    """
    transformer = _transformer(folder)
    made = home_folder() / "weights" / f"{_weights_hash(transformer)[:12]}-{RECIPE}"
    make_folder_once(made, lambda aside: _export(transformer, aside / _FILE))
    return made / _FILE


def max_tokens(folder: Path) -> int:
    """How many tokens the model in `folder` reads; what comes after them is dropped."""
    transformer = _transformer(folder)
    limits = [
        _json(transformer / "sentence_bert_config.json").get("max_seq_length"),
        _json(transformer / "tokenizer_config.json").get("model_max_length"),
        _json(transformer / "config.json").get("max_position_embeddings"),
    ]
    given = [int(limit) for limit in limits if limit is not None]
    if not given:
        raise WeightsError(f"{folder}: none of its files says how many tokens the model reads; use another encoder")
    return min(given)


def tokenizer_file(folder: Path) -> Path:
    """Raises `WeightsError` where the model has no fast tokenizer."""
    file = _transformer(folder) / "tokenizer.json"
    if not file.is_file():
        raise WeightsError(f"{file} is missing; use an encoder that ships its fast tokenizer")
    return file


def _transformer(folder: Path) -> Path:
    """Where the transformer lies. Raises `WeightsError` where vectors would not be what the model's authors meant."""
    try:
        modules = orjson.loads((folder / "modules.json").read_bytes())
    except FileNotFoundError as error:
        raise WeightsError(f"{folder}: no modules.json there, so no sentence-transformers model; choose one") from error
    kinds = [str(module["type"]).rpartition(".")[2] for module in modules]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise _unfit(folder, f"its modules are {', '.join(kinds)}")
    if (pooling := _pooling(folder / modules[1]["path"])) != ["mean"]:
        raise _unfit(folder, f"its pooling is {', '.join(pooling)}")
    if _json(folder / "config_sentence_transformers.json").get("default_prompt_name"):
        raise _unfit(folder, "it puts a prompt before each text")
    transformer: Path = folder / modules[0]["path"]
    if _json(transformer / "sentence_bert_config.json").get("do_lower_case"):
        raise _unfit(folder, "it lowers the case of texts before its tokenizer does")
    return transformer


def _unfit(folder: Path, why: str) -> WeightsError:
    return WeightsError(f"{folder}: {why}; retrieval.encoder must be a transformer with mean pooling and no prompts")


def _pooling(folder: Path) -> list[str]:
    """The names of the poolings that are switched on, in the older or the newer form of the file."""
    config = _json(folder / "config.json")
    mode = config.get("pooling_mode")
    if mode is not None:
        return [mode] if isinstance(mode, str) else list(mode)
    marks = [key for key, on in config.items() if key.startswith("pooling_mode_") and on]
    return [mark.removeprefix("pooling_mode_").removesuffix("_tokens") for mark in marks]


def _json(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = orjson.loads(file.read_bytes()) if file.is_file() else {}
    return content


def _weights_hash(transformer: Path) -> str:
    """Of all that the graph is made of."""
    files = sorted(transformer.glob("*.safetensors"))
    if not files:
        raise WeightsError(f"{transformer}: no *.safetensors there; use an encoder that is published in that form")
    digest = hashlib.sha256((transformer / "config.json").read_bytes())
    for file in files:
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def _export(transformer: Path, target: Path) -> None:
    """Trace the model over one short text. Raises `WeightsError` where the file gives other vectors than the model."""
    import torch
    from transformers import AutoModel

    class Sentence(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            place = {"pretrained_model_name_or_path": str(transformer), "attn_implementation": "eager"}
            self.model = AutoModel.from_pretrained(**place, dtype=torch.float32)

        def forward(self, input_ids: "Tensor", attention_mask: "Tensor") -> "Tensor":
            tokens: Tensor = self.model(input_ids, attention_mask=attention_mask).last_hidden_state
            counted = attention_mask.unsqueeze(-1).to(tokens.dtype)
            return (tokens * counted).sum(dim=1) / counted.sum(dim=1)

    sentence = Sentence().eval()
    with torch.inference_mode(), warnings.catch_warnings():
        # The newer exporter needs a library more; what this one warns of (traced shapes) is checked below.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            sentence,
            _tokens(7, 9),
            target,
            input_names=["input_ids", "attention_mask"],
            output_names=["mean"],
            dynamic_axes={"input_ids": {1: "tokens"}, "attention_mask": {1: "tokens"}},
            opset_version=_OPSET,
            dynamo=False,
        )
        wanted = {length: sentence(*_tokens(length, length)).numpy() for length in (2, 7, 40)}
    _check(transformer, target, wanted)


def _tokens(length: int, padded: int) -> "tuple[Tensor, Tensor]":
    """Ids and mask of one text of so many tokens."""
    import torch

    ids = torch.arange(5, 5 + padded, dtype=torch.int64).unsqueeze(0)
    return ids, (torch.arange(padded) < length).to(torch.int64).unsqueeze(0)


def _check(transformer: Path, file: Path, wanted: dict[int, "np.ndarray[Any, np.dtype[np.float32]]"]) -> None:
    """Padding must not count either. Raises `WeightsError`."""
    import openvino

    compiled = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for length, vector in wanted.items():
        for padded in (length, length + 5):
            found = compiled([each.numpy() for each in _tokens(length, padded)])[0]
            if not np.allclose(found, vector, atol=1e-4):
                raise WeightsError(f"{transformer}: as ONNX it gives other vectors; choose another encoder")

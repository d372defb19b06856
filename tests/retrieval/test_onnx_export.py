"""The ONNX file: made once, named after what it was made of; models whose vectors would be wrong are refused."""

import threading
from pathlib import Path
from typing import Any

import orjson
import pytest

from coe_ray.core.errors import WeightsError
from coe_ray.retrieval import onnx_export
from coe_ray.retrieval.onnx_export import RECIPE, max_tokens, onnx_file, tokenizer_file

MODULES = [
    {"path": "", "type": "sentence_transformers.models.Transformer"},
    {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    {"path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
]


def write(file: Path, content: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(orjson.dumps(content))


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sentence-transformers folder whose weights are never loaded."""
    monkeypatch.setenv("COE_RAY_HOME", str(tmp_path / "home"))
    folder = tmp_path / "model"
    write(folder / "modules.json", MODULES)
    write(folder / "1_Pooling" / "config.json", {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True})
    write(folder / "config.json", {"max_position_embeddings": 512})
    write(folder / "sentence_bert_config.json", {"max_seq_length": 256, "do_lower_case": False})
    write(folder / "tokenizer.json", {})
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


@pytest.fixture
def exports(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What was exported."""
    made: list[Path] = []

    def export(transformer: Path, target: Path) -> None:
        made.append(transformer)
        target.write_bytes(b"graph")

    monkeypatch.setattr(onnx_export, "_export", export)
    return made


def test_the_file_is_made_once_and_named_after_weights_and_recipe(model: Path, exports: list[Path]) -> None:
    first = onnx_file(model)
    assert onnx_file(model) == first
    assert exports == [model]
    assert first.read_bytes() == b"graph"
    assert first.parent.name.endswith(RECIPE)
    (model / "model.safetensors").write_bytes(b"other weights")
    assert onnx_file(model) != first
    assert len(exports) == 2


def test_two_at_once_make_one_file(model: Path, exports: list[Path]) -> None:
    both = [threading.Thread(target=onnx_file, args=(model,)) for _ in range(4)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert exports == [model]


def test_what_was_left_half_made_is_made_again(
    model: Path, exports: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(transformer: Path, target: Path) -> None:
        target.write_bytes(b"half")
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(onnx_export, "_export", breaks)
        with pytest.raises(OSError, match="disk full"):
            onnx_file(model)
    assert onnx_file(model).read_bytes() == b"graph"


def test_the_shortest_limit_on_tokens_counts(model: Path) -> None:
    assert max_tokens(model) == 256
    write(model / "tokenizer_config.json", {"model_max_length": 128})
    assert max_tokens(model) == 128


def test_a_model_without_any_limit_is_refused(model: Path) -> None:
    (model / "sentence_bert_config.json").unlink()
    write(model / "config.json", {})
    with pytest.raises(WeightsError, match="how many tokens"):
        max_tokens(model)


def test_the_newer_form_of_the_pooling_is_read_too(model: Path, exports: list[Path]) -> None:
    write(model / "1_Pooling" / "config.json", {"pooling_mode": "mean"})
    assert onnx_file(model).is_file()


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("1_Pooling/config.json", {"pooling_mode_cls_token": True}, "its pooling is cls"),
        ("1_Pooling/config.json", {"pooling_mode": "lasttoken"}, "its pooling is lasttoken"),
        ("1_Pooling/config.json", {"pooling_mode": ["mean", "max"]}, "its pooling is mean, max"),
        (
            "modules.json",
            [*MODULES[:2], {"path": "2", "type": "x.Dense"}],
            "its modules are Transformer, Pooling, Dense",
        ),
        ("config_sentence_transformers.json", {"default_prompt_name": "query"}, "it puts a prompt before each text"),
        ("sentence_bert_config.json", {"do_lower_case": True}, "it lowers the case"),
    ],
)
def test_a_model_of_another_kind_is_refused(model: Path, file: str, content: Any, message: str) -> None:
    write(model / file, content)
    with pytest.raises(WeightsError, match=f"{message}.*mean pooling"):
        onnx_file(model)


@pytest.mark.parametrize("file", ["modules.json", "model.safetensors"])
def test_a_folder_that_lacks_a_file_is_refused(model: Path, file: str) -> None:
    (model / file).unlink()
    with pytest.raises(WeightsError, match=r"no modules.json there|no \*.safetensors there"):
        onnx_file(model)


def test_a_model_without_a_fast_tokenizer_is_refused(model: Path) -> None:
    (model / "tokenizer.json").unlink()
    with pytest.raises(WeightsError, match=r"tokenizer.json is missing"):
        tokenizer_file(model)

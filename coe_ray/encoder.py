"""Texts to vectors: a sentence-transformers model, run by onnxruntime. Serving imports no torch."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from coe_ray.onnx_export import RECIPE, most_tokens, onnx_file, tokenizer_file

Vectors = npt.NDArray[np.float32]

THREADS = 2
"""Texts encoded at once. Each takes one thread: two threads on one text cost twice the work for a fifth of the time."""

_CHARACTERS_A_TOKEN = 200
"""No text has longer tokens on average: what comes behind that many characters for each token is never looked at."""


class Encoder(Protocol):
    """Texts to unit vectors, shape (len(texts), dimension)."""

    @property
    def name(self) -> str: ...

    def encode(self, texts: Sequence[str]) -> Vectors: ...


def encoder_name(hub: str) -> str:
    """What an index remembers of its encoder: the model, and how it is run."""
    return f"{hub} ({RECIPE})"


class SentenceEncoder:
    """all-MiniLM-L6-v2, or any other sentence-transformers model with mean pooling in `folder`.

    A text's vector does not depend on what it is encoded with. Raises `WeightsError`: a model of another kind.
    """

    def __init__(self, hub: str, folder: str) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        self.name = encoder_name(hub)
        place = Path(folder)
        self._characters = most_tokens(place) * _CHARACTERS_A_TOKEN
        self._tokenizer = Tokenizer.from_file(str(tokenizer_file(place)))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(most_tokens(place))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(onnx_file(place), options, providers=["CPUExecutionProvider"])
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="encoder")

    def encode(self, texts: Sequence[str]) -> Vectors:
        dimension = self._session.get_outputs()[0].shape[-1]
        # One text is encoded right here: to wake another thread costs part of a millisecond.
        vectors = self._threads.map(self._vector, texts) if len(texts) > 1 else map(self._vector, texts)
        return np.array(list(vectors), dtype=np.float32).reshape(-1, dimension)

    def _vector(self, text: str) -> Vectors:
        # A lone surrogate, which a JSON request may carry, is no text to the tokenizer.
        clean = text[: self._characters].encode("utf-8", "replace").decode()
        ids = np.array([self._tokenizer.encode(clean).ids], dtype=np.int64)
        vector: Vectors = self._session.run(None, {"input_ids": ids})[0][0]
        return vector

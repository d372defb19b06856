"""Bench-CoE, the trained rival of a classifier: a head on the encoder's embeddings, or the whole encoder fine-tuned.

The head learns from the labelled examples of this task list. Moved, it learned from another list's, and what it names
there is translated by the profile's `study.transfer`: a head for five tasks cannot name eight. Fine-tuning, as in
Bench-CoE's own paper, is an option: it takes minutes, and torch.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

from coe_ray.core.types import UNKNOWN, Question
from coe_ray.retrieval.encoder import Vectors

EPOCHS, BATCH, RATE, SEED = 8, 16, 5e-5, 0
TOKENS = 256


def trained_labels(known: Vectors, tasks: Sequence[str], vectors: Vectors) -> tuple[str, ...] | None:
    """The task that the head names for each of the `vectors`, learned from `known` ones with their `tasks`.

    `None` where there are fewer than two tasks to tell apart.
    """
    if len(set(tasks)) < 2:
        return None
    head = LogisticRegression(C=10.0, max_iter=2000)
    head.fit(np.asarray(known, dtype=np.float64), list(tasks))
    return tuple(map(str, head.predict(np.asarray(vectors, dtype=np.float64))))


def translated(labels: Sequence[str], transfer: Mapping[str, str]) -> tuple[str, ...]:
    """Another list's labels in this list's words; what has no word here is *unknown*."""
    return tuple(transfer.get(label, UNKNOWN) for label in labels)


def fine_tuned_labels(folder: Path, examples: Sequence[Question], questions: Sequence[Question]) -> dict[str, str]:
    """The task that an encoder trained on the examples names for each of the questions, by id.

    The whole encoder is trained, with a linear layer on the mean of its tokens (cross-entropy, AdamW, seeded).
    """
    import torch
    from transformers import AutoModel, AutoTokenizer

    torch.manual_seed(SEED)
    tasks = sorted({example.task or "" for example in examples})
    tokenizer = AutoTokenizer.from_pretrained(folder)
    encoder = AutoModel.from_pretrained(folder, dtype=torch.float32)
    head = torch.nn.Linear(encoder.config.hidden_size, len(tasks))
    optimizer = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], lr=RATE)

    def scores(batch: Sequence[Question]) -> torch.Tensor:
        texts = [question.full_text for question in batch]
        tokens = tokenizer(texts, padding=True, truncation=True, max_length=TOKENS, return_tensors="pt")
        states = encoder(**tokens).last_hidden_state
        mask = tokens["attention_mask"].unsqueeze(-1)
        pooled: torch.Tensor = head((states * mask).sum(dim=1) / mask.sum(dim=1))
        return pooled

    encoder.train()
    random = np.random.default_rng(SEED)
    for _ in range(EPOCHS):
        order = random.permutation(len(examples))
        for start in range(0, len(examples), BATCH):
            batch = [examples[place] for place in order[start : start + BATCH]]
            targets = torch.tensor([tasks.index(example.task or "") for example in batch])
            loss = torch.nn.functional.cross_entropy(scores(batch), targets)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    encoder.eval()
    labels = {}
    with torch.inference_mode():
        for start in range(0, len(questions), BATCH):
            rows = questions[start : start + BATCH]
            best = scores(rows).argmax(dim=1).tolist()
            labels.update({question.id: tasks[place] for question, place in zip(rows, best, strict=True)})
    return labels

"""Bench-CoE with the whole encoder fine-tuned, as an option: it takes minutes, and torch."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from coe_ray.core.types import Question

EPOCHS, BATCH, RATE, SEED = 8, 16, 5e-5, 0
TOKENS = 256


def fine_tuned_labels(folder: Path, known: Sequence[Question], asked: Sequence[Question]) -> dict[str, str]:
    """The task that an encoder trained on the `known` questions names for each of the `asked`, by id.

    The whole encoder is trained, with a linear layer on the mean of its tokens (cross-entropy, AdamW, seeded).
    """
    import torch
    from transformers import AutoModel, AutoTokenizer

    torch.manual_seed(SEED)
    tasks = sorted({each.task or "" for each in known})
    tokenizer = AutoTokenizer.from_pretrained(folder)
    encoder = AutoModel.from_pretrained(folder, dtype=torch.float32)
    head = torch.nn.Linear(encoder.config.hidden_size, len(tasks))
    optimizer = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], lr=RATE)

    def scores(questions: Sequence[Question]) -> torch.Tensor:
        texts = [each.full_text for each in questions]
        batch = tokenizer(texts, padding=True, truncation=True, max_length=TOKENS, return_tensors="pt")
        states = encoder(**batch).last_hidden_state
        mask = batch["attention_mask"].unsqueeze(-1)
        pooled: torch.Tensor = head((states * mask).sum(dim=1) / mask.sum(dim=1))
        return pooled

    encoder.train()
    for order in _orders(len(known)):
        for start in range(0, len(known), BATCH):
            part = [known[place] for place in order[start : start + BATCH]]
            wanted = torch.tensor([tasks.index(each.task or "") for each in part])
            loss = torch.nn.functional.cross_entropy(scores(part), wanted)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    encoder.eval()
    labels = {}
    with torch.inference_mode():
        for start in range(0, len(asked), BATCH):
            rows = asked[start : start + BATCH]
            best = scores(rows).argmax(dim=1).tolist()
            labels.update({each.id: tasks[place] for each, place in zip(rows, best, strict=True)})
    return labels


def _orders(size: int) -> list[np.ndarray[tuple[int], np.dtype[np.int64]]]:
    chance = np.random.default_rng(SEED)
    return [chance.permutation(size) for _ in range(EPOCHS)]

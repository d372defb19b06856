"""Bench-CoE with the whole encoder fine-tuned, as an option: it takes minutes, and torch."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from coe_ray.core.types import Question

EPOCHS, BATCH, RATE, SEED = 8, 16, 5e-5, 0
TOKENS = 256


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

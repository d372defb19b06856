"""Questions through Ray Data: read, examined on every node, written with a checkpoint a file."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.data import ActorPoolStrategy, DataContext
from ray.data.checkpoint import CheckpointConfig
from ray.exceptions import RayError

from coe_ray.bench.worker import EvalWorker, WorkerConfig
from coe_ray.core.errors import CoeError, DataError
from coe_ray.core.run_folder import RunFolder

BLOCKS_AT_ONCE = 8
"""In one examiner: so many that the last slow answers of one block never keep calls from being made."""


def stream_questions(assignment: WorkerConfig, folder: RunFolder, desk: Any) -> None:
    """Ask what is not yet checkpointed; the examiners tell `desk` how far they are. Raises `CoeError`."""
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.raise_original_map_exception = True  # or nothing is left of it but its traceback
    # The second kind of reader puts small files together, and what is written together is lost together in a crash.
    context.use_datasource_v2 = False
    context.checkpoint_config = CheckpointConfig(
        id_column="id",
        checkpoint_path=str(folder.checkpoint),
        delete_checkpoint_on_success=False,
    )
    try:
        files = len(list(folder.questions.glob("*.parquet")))
        questions = ray.data.read_parquet(str(folder.questions), override_num_blocks=files, concurrency=1)
        records = questions.map_batches(
            EvalWorker,
            fn_constructor_args=(assignment, desk),
            batch_size=None,  # a file as it is: up to a size, Ray Data would put many together into one task
            batch_format="pyarrow",
            compute=_examiners(files),
            num_cpus=0.5,
        )
        records.write_parquet(str(folder.rows), concurrency=1)
    finally:
        context.checkpoint_config = None


def _examiners(blocks: int) -> ActorPoolStrategy:
    """One a node, as Ray spreads them: its journal's index is the node's only one.

    None holds more than its share of the blocks: Ray Data gives them to whoever is near or up first, all of them.
    """
    nodes = _nodes()
    return ActorPoolStrategy(
        size=nodes,
        max_concurrent_calls_per_actor=BLOCKS_AT_ONCE,
        max_tasks_in_flight_per_actor=min(2 * BLOCKS_AT_ONCE, math.ceil(blocks / nodes)),
    )


def _nodes() -> int:
    """Nodes that can hold an examiner."""
    fit = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]
    return max(1, len(fit))


@contextmanager
def plain_errors(folder: RunFolder) -> Iterator[None]:
    """An error of ours, or of the system, wherever it was met: in one line, without what Ray wraps it in."""
    try:
        yield
    except (RayError, OSError) as error:
        for cause in _causes(error):
            if isinstance(cause, CoeError):
                cause.args = (_own_words(cause),)
                raise cause from None
            if isinstance(cause, OSError):
                kept = "what was written before is kept: see to it and run the same command again"
                raise DataError(f"{folder.root}: {_own_words(cause)}; {kept}") from error
        raise


def _own_words(error: Exception) -> str:
    """What an error says, without the advice that Ray Data writes into whatever passes through it."""
    words, advice, _ = str(error).partition("Failed to apply UDF")
    return words.rstrip(" :'\n") if advice else words


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Without Ray's own: they pass for what they wrap, with its traceback in their text."""
    cause: BaseException | None = error
    while cause is not None:
        if not isinstance(cause, RayError):
            yield cause
        cause = getattr(cause, "cause", None) or cause.__cause__

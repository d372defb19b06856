"""Stream of a bench's questions through Ray Data: read from files, evaluated by a worker on every node."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, DataContext
from ray.exceptions import RayError

from coe_ray.bench.worker import EvalWorker, WorkerConfig
from coe_ray.core.errors import CoeError, DataError
from coe_ray.core.run_folder import RunFolder

BLOCKS_PER_WORKER = 8
"""At once: so many that the last slow answers of one block never keep calls from being made."""


def stream_records(config: WorkerConfig, folder: RunFolder, tracker: Any) -> Iterator[pa.Table]:
    """Records of every question of the run, in no order, as they come; the workers report to `tracker`."""
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.raise_original_map_exception = True  # otherwise only its traceback is left of it
    context.use_datasource_v2 = False  # the second kind of reader puts small files together
    files = len(list(folder.questions.glob("*.parquet")))
    questions = ray.data.read_parquet(str(folder.questions), override_num_blocks=files, concurrency=1)
    records = questions.map_batches(
        EvalWorker,
        fn_constructor_args=(config, tracker),
        batch_size=None,  # a file as it is: up to a size, Ray Data would put many together into one task
        batch_format="pyarrow",
        compute=_worker_pool(files),
        num_cpus=0.5,
    )
    yield from records.iter_batches(batch_size=None, batch_format="pyarrow")


def _worker_pool(blocks: int) -> ActorPoolStrategy:
    """One worker a node, as Ray spreads them: more would only read the journal more often.

    None gets more than its share of the blocks: Ray Data gives all of them to whoever is near or up first.
    """
    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]
    workers = max(1, len(nodes))
    return ActorPoolStrategy(
        size=workers,
        max_concurrent_calls_per_actor=BLOCKS_PER_WORKER,
        max_tasks_in_flight_per_actor=min(2 * BLOCKS_PER_WORKER, math.ceil(blocks / workers)),
    )


@contextmanager
def plain_errors(folder: RunFolder) -> Iterator[None]:
    """Raises an error of ours or of the system, wherever it was met, without what Ray wraps around it."""
    try:
        yield
    except (RayError, OSError) as error:
        for cause in _causes(error):
            if isinstance(cause, CoeError):
                cause.args = (_own_message(cause),)
                raise cause from None
            if isinstance(cause, OSError):
                remedy = "what was written before is kept: see to it and run the same command again"
                raise DataError(f"{folder.root}: {_own_message(cause)}; {remedy}") from error
        raise


def _own_message(error: Exception) -> str:
    """The error's message without the advice that Ray Data adds to whatever passes through it."""
    message, advice, _ = str(error).partition("Failed to apply UDF")
    return message.rstrip(" :'\n") if advice else message


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The chain of causes without Ray's own errors, which pass for what they wrap, with its traceback in their text."""
    cause: BaseException | None = error
    while cause is not None:
        if not isinstance(cause, RayError):
            yield cause
        cause = getattr(cause, "cause", None) or cause.__cause__

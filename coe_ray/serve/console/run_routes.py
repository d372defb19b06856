"""Routes of bench runs: `/v1/runs` and below. Files are read in two threads beside the event loop."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from pyarrow import ArrowException
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from coe_ray.profile.profile import runs_folder
from coe_ray.serve.api.http import JsonResponse
from coe_ray.serve.api.openai import RequestError
from coe_ray.serve.console.run_prompts import find_prompts
from coe_ray.serve.console.run_rows import RowFilter, read_answers, read_classification, read_page, read_question
from coe_ray.serve.console.run_store import Run, RunStore

Result = TypeVar("Result")

# Not the event loop's own pool: reading runs must not hold up requests that need a thread.
_readers = ThreadPoolExecutor(2, thread_name_prefix="console")


def run_routes() -> list[Route]:
    return [
        Route("/v1/runs", runs),
        Route("/v1/runs/{run}", run),
        Route("/v1/runs/{run}/rows", rows),
        Route("/v1/runs/{run}/rows/{question}", row),
    ]


async def runs(_: Request) -> Response:
    """The runs in `COE_RAY_RUNS`, the latest first."""
    listed = await _read(lambda: [run.shown.model_dump(exclude={"summary"}) for run in RunStore(runs_folder()).runs()])
    return JsonResponse({"object": "list", "data": listed})


async def run(request: Request) -> Response:
    """One run with its progress or its summary."""
    run = await _read(lambda: _find_run(request))
    return JsonResponse(run.shown.model_dump())


async def rows(request: Request) -> Response:
    """A page of a run's rows, filtered by `task`, `expert`, `system` and `outcome`."""
    row_filter = _read_filter(request.query_params)
    return JsonResponse(await _read(lambda: _page(request, row_filter)))


async def row(request: Request) -> Response:
    """One question of a run: every answer as it was given, and the prompts as they were sent."""
    return JsonResponse(await _read(lambda: _question(request)))


def _page(request: Request, row_filter: RowFilter) -> dict[str, Any]:
    folder = _find_run(request).folder
    if not folder.answers.is_dir():
        raise _not_found("this run has no rows yet: they are written at its end")
    return read_page(folder, row_filter)


def _question(request: Request) -> dict[str, Any]:
    run, question_id = _find_run(request), request.path_params["question"]
    question = read_question(run.folder, question_id)
    if question is None:
        raise _not_found("this run has no such question")
    return {
        "question": question,
        "classification": read_classification(run.folder, question_id),
        "answers": read_answers(run.folder, question_id),
        "prompts": find_prompts(run.folder, run.card, question),
    }


def _find_run(request: Request) -> Run:
    run = RunStore(runs_folder()).run(request.path_params["run"])
    if run is None:
        raise _not_found("there is no such run here; COE_RAY_RUNS names the folder that runs are looked for in")
    return run


def _read_filter(query: Mapping[str, str]) -> RowFilter:
    try:
        return RowFilter.model_validate(dict(query))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        param = str(first["loc"][0])
        raise RequestError(400, f"{param}: {first['msg']}", param=param, code="invalid_value") from None


def _not_found(message: str) -> RequestError:
    return RequestError(404, message, code="not_found")


async def _read(read: Callable[[], Result]) -> Result:
    """The result of `read`, called in a thread. Files that are just being replaced give a 503."""
    try:
        return await asyncio.get_running_loop().run_in_executor(_readers, read)
    except (OSError, ArrowException):
        message = "this run's files cannot be read now; they may just be written anew"
        raise RequestError(503, message, code="not_readable", headers={"Retry-After": "1"}) from None

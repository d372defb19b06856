"""What the console asks about bench runs: `/v1/runs` and below. Files are read beside the event loop, two at a time."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from typing import Any, TypeVar

from pyarrow import ArrowException
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from coe_ray.profile.profile import runs_folder
from coe_ray.serve.api.openai import RequestError
from coe_ray.serve.api.responses import JsonResponse
from coe_ray.serve.console.run_prompts import find_prompts
from coe_ray.serve.console.run_rows import RowFilter, answers_to, classification_of, page_of, question_in
from coe_ray.serve.console.run_store import Run, RunStore

Result = TypeVar("Result")

# Not the event loop's own pool: who looks at runs must not hold up what a request needs a thread for.
_readers = ThreadPoolExecutor(2, thread_name_prefix="console")


def run_routes() -> list[Route]:
    return [
        Route("/v1/runs", runs),
        Route("/v1/runs/{run}", run),
        Route("/v1/runs/{run}/rows", rows),
        Route("/v1/runs/{run}/rows/{question}", row),
    ]


async def runs(_: Request) -> Response:
    """The runs that lie in `COE_RAY_RUNS`, the latest first."""
    found = await _beside(lambda: [each.listed() for each in RunStore(runs_folder()).runs()])
    return JsonResponse({"object": "list", "data": found})


async def run(request: Request) -> Response:
    """One run: how far it is, or what came of it."""
    return JsonResponse(await _beside(lambda: _found(request).whole()))


async def rows(request: Request) -> Response:
    """A page of its rows: `task`, `expert`, `system` and `outcome` filter them."""
    wanted = _wanted(request.query_params)
    return JsonResponse(await _beside(partial(_page, request, wanted)))


async def row(request: Request) -> Response:
    """One question of it: every answer as it was given, and the prompts as they were sent."""
    return JsonResponse(await _beside(partial(_whole, request)))


def _page(request: Request, wanted: RowFilter) -> dict[str, Any]:
    found = _found(request)
    if not found.folder.answers.is_dir():
        raise _nothing("this run has no rows yet: they are written at its end")
    return page_of(found.folder, wanted)


def _whole(request: Request) -> dict[str, Any]:
    found, asked = _found(request), request.path_params["question"]
    question = question_in(found.folder, asked)
    if question is None:
        raise _nothing("this run has no such question")
    return {
        "question": asdict(question),
        "classification": classification_of(found.folder, asked),
        "answers": answers_to(found.folder, asked),
        "prompts": [asdict(prompt) for prompt in find_prompts(found.folder, found.card, question)],
    }


def _found(request: Request) -> Run:
    found = RunStore(runs_folder()).run(request.path_params["run"])
    if found is None:
        raise _nothing("there is no such run here; COE_RAY_RUNS names the folder that runs are looked for in")
    return found


def _wanted(given: Mapping[str, str]) -> RowFilter:
    try:
        return RowFilter.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        param = str(first["loc"][0])
        raise RequestError(400, f"{param}: {first['msg']}", param=param, code="invalid_value") from None


def _nothing(message: str) -> RequestError:
    return RequestError(404, message, code="not_found")


async def _beside(read: Callable[[], Result]) -> Result:
    """What `read` finds, in a thread. A file that is just being replaced is not there for a moment: 503."""
    try:
        return await asyncio.get_running_loop().run_in_executor(_readers, read)
    except (OSError, ArrowException):
        message = "this run's files cannot be read now; they may just be written anew"
        raise RequestError(503, message, code="not_readable", headers={"Retry-After": "1"}) from None

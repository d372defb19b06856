"""The paper's experiments as one run: what is asked, what follows from it, and the files that say so.

    OUT/study.json        the order
    OUT/journal/          every call of every profile, so that none is made twice
    OUT/runs/<profile>/   a run folder a profile: questions, records, embeddings
    OUT/tables.md, tables.tex, figures/*.png and *.svg, findings.json

The tables follow from the records alone: they are made again without a call, a network or Ray.
"""

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from coe_ray.analysis.leaks import refuse_leaks
from coe_ray.analysis.matrix import Matrix
from coe_ray.bench.collect import ReportLine
from coe_ray.bench.results import current_commit
from coe_ray.core.errors import DataError
from coe_ray.core.files import write_atomic
from coe_ray.core.run_folder import RunFolder, read_questions
from coe_ray.paper.analyse import FINE_TUNED, Evidence, Findings, analyse
from coe_ray.paper.execute import read_embeddings, read_trained, run_folder
from coe_ray.paper.paper_tables import make_tables, summary
from coe_ray.paper.plan_calls import StudyPlan, StudyRequest, plan_calls
from coe_ray.paper.table_format import Table, latex, markdown, text

ORDER = "study.json"

Draw = Callable[[Findings, Path], list[Path]]
"""Draws a profile's figures into a folder; given by the job, as drawing takes a library that findings do not need."""


def plan_studies(order: StudyRequest) -> list[StudyPlan]:
    """Every profile's part. Raises `CoeError` before anything is asked."""
    made = [plan_calls(order, reference, order.out / "runs" / Path(reference).stem) for reference in order.profiles]
    names = [each.profile.name for each in made]
    if len(set(names)) < len(names):
        raise DataError(f"two of the profiles have one name ({', '.join(names)}); rename a file")
    return made


def write_order(order: StudyRequest) -> None:
    """Keep what was ordered, for a replay. Raises `DataError` where the folder holds another study."""
    content = orjson.dumps(_plain(order), option=orjson.OPT_INDENT_2)
    file = order.out / ORDER
    if file.is_file() and file.read_bytes() != content:
        raise DataError(f"{order.out}: holds another study; give another --out, or repeat the command that began it")
    order.out.mkdir(parents=True, exist_ok=True)
    write_atomic(file, content)


def read_order(out: Path) -> StudyRequest:
    """The order that began the study in `out`. Raises `DataError` where there is none."""
    file = out / ORDER
    if not file.is_file():
        raise DataError(f"{out}: no {ORDER} there; give the folder of a study (`coe-ray reproduce --out`)")
    told = orjson.loads(file.read_bytes())
    mapping = Path(told["mapping"]) if told["mapping"] else None
    return StudyRequest(**{**told, "profiles": tuple(told["profiles"]), "out": out, "mapping": mapping})


def _plain(order: StudyRequest) -> dict[str, Any]:
    return {**asdict(order), "out": "", "mapping": str(order.mapping) if order.mapping else None}


def conclude(order: StudyRequest, asked: list[StudyPlan], say: ReportLine, draw: Draw) -> list[Findings]:
    """Work the records out into tables, figures and findings.json. Raises `CoeError`."""
    every = [_found(order, each) for each in asked]
    shown = [(findings, make_tables(findings)) for findings in every]
    heading = f"# {order.data}, {order.scoring} scoring, {order.shots} shots\n\n"
    parts = [f"## {findings.profile}\n\n" + "\n".join(map(markdown, made)) for findings, made in shown]
    write_atomic(order.out / "tables.md", (heading + "\n".join(parts)).encode())
    write_atomic(order.out / "tables.tex", "\n".join(latex(table) for _, made in shown for table in made).encode())
    for findings, made in shown:
        short = [table for table in made if isinstance(table, Table)]  # the rest is for the files
        say(f"profile {findings.profile}\n\n" + "\n".join(map(text, short)))
    figures = [str(path.relative_to(order.out)) for each in every for path in draw(each, order.out / "figures")]
    content = {
        "order": _plain(order),
        "commit": current_commit(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "figures": figures,
        "profiles": {findings.profile: summary(findings) for findings in every},
    }
    write_atomic(order.out / "findings.json", orjson.dumps(content, option=_JSON))
    return every


_JSON = orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY


def _found(order: StudyRequest, asked: StudyPlan) -> Findings:
    folder = run_folder(order, asked)
    questions = {question.id: question for question in read_questions(folder.questions)}
    trained = read_trained(folder)
    return analyse(
        Evidence(
            profile=asked.profile,
            matrix=Matrix.from_records(questions, folder.records()),
            scenarios=asked.scenarios,
            examples=asked.benchmark.examples,
            vectors=read_embeddings(folder),
            trained=None if trained is None else {FINE_TUNED: trained},
            other=None if order.mapping is None else _other(order.mapping, asked),
        )
    )


def _other(run: Path, asked: StudyPlan) -> tuple[str, Matrix]:
    """The run that the held-out mapping is made of. Raises `DataError` where it holds a scored question."""
    folder = RunFolder(run)
    questions = {question.id: question for question in read_questions(folder.questions)}
    refuse_leaks(asked.questions, tuple(questions.values()), f"run {run}, which the held-out mapping is made of")
    matrix = Matrix.from_records(questions, folder.records()).complete()
    if missing := sorted(set(asked.profile.experts) - set(matrix.experts)):
        raise DataError(f"{run}: has no answers of {', '.join(missing)}; bench the same experts there")
    return run.name, matrix

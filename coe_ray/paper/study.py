"""A study: the paper's experiments as one run, and the files that it leaves.

    OUT/study.json        the request
    OUT/journal/          every call of every profile, so that none is made twice
    OUT/runs/<profile>/   a run folder for each profile: questions, records, embeddings
    OUT/tables.md, tables.tex, figures/*.png and *.svg, findings.json

Tables and figures follow from the records alone: they are made again without a call, a network or Ray.
"""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from coe_ray.analysis.leaks import refuse_leaks
from coe_ray.analysis.matrix import Matrix
from coe_ray.analysis.tables import format_markdown, format_text
from coe_ray.bench.collect import ReportLine
from coe_ray.bench.results import current_commit
from coe_ray.core.errors import DataError
from coe_ray.core.files import write_atomic
from coe_ray.core.run_folder import RunFolder, read_questions
from coe_ray.paper.findings import FINE_TUNED, Findings, StudyData, analyse
from coe_ray.paper.latex import format_latex
from coe_ray.paper.paper_tables import make_tables, summary
from coe_ray.paper.study_plan import StudyPlan, StudyRequest, plan_study
from coe_ray.paper.study_run import read_embeddings, read_trained, run_folder
from coe_ray.paper.system_table import COLUMNS

REQUEST_FILE = "study.json"

_JSON = orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY


def plan_studies(request: StudyRequest) -> list[StudyPlan]:
    """The plan of every profile. Raises `CoeError` before anything is asked."""
    folder = request.out / "runs"
    plans = [plan_study(request, reference, folder / Path(reference).stem) for reference in request.profiles]
    names = [plan.profile.name for plan in plans]
    if len(set(names)) < len(names):
        raise DataError(f"two of the profiles have one name ({', '.join(names)}); rename a file")
    return plans


def write_request(request: StudyRequest) -> None:
    """Keep the request, for a replay. Raises `DataError` where the folder holds another study."""
    content = orjson.dumps(_plain(request), option=orjson.OPT_INDENT_2)
    file = request.out / REQUEST_FILE
    if file.is_file() and file.read_bytes() != content:
        raise DataError(f"{request.out}: holds another study; give another --out, or repeat the command that began it")
    request.out.mkdir(parents=True, exist_ok=True)
    write_atomic(file, content)


def read_request(out: Path) -> StudyRequest:
    """The request that began the study in `out`. Raises `DataError` where there is none."""
    file = out / REQUEST_FILE
    if not file.is_file():
        raise DataError(f"{out}: no {REQUEST_FILE} there; give the folder of a study (`coe-ray reproduce --out`)")
    content = orjson.loads(file.read_bytes())
    mapping = Path(content["mapping"]) if content["mapping"] else None
    return StudyRequest(**{**content, "profiles": tuple(content["profiles"]), "out": out, "mapping": mapping})


def _plain(request: StudyRequest) -> dict[str, Any]:
    return {**asdict(request), "out": "", "mapping": str(request.mapping) if request.mapping else None}


def write_study(request: StudyRequest, plans: list[StudyPlan], say: ReportLine) -> list[Findings]:
    """Work the records out into tables, figures and findings.json. Raises `CoeError`."""
    from coe_ray.paper.paper_figures import draw_figures  # matplotlib takes a second

    studies = [_analyse_run(request, plan) for plan in plans]
    tables = {findings.profile: make_tables(findings) for findings in studies}
    heading = f"# {request.data}, {request.scoring} scoring, {request.shots} shots\n\n"
    parts = [f"## {profile}\n\n" + "\n".join(map(format_markdown, made)) for profile, made in tables.items()]
    write_atomic(request.out / "tables.md", (heading + "\n".join(parts)).encode())
    latex = (format_latex(table) for made in tables.values() for table in made)
    write_atomic(request.out / "tables.tex", "\n".join(latex).encode())
    for profile, made in tables.items():
        short = [table for table in made if table.columns == COLUMNS]  # the others are for the files
        say(f"profile {profile}\n\n" + "\n".join(map(format_text, short)))
    figures = [path for findings in studies for path in draw_figures(findings, request.out / "figures")]
    content = {
        "order": _plain(request),
        "commit": current_commit(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "figures": [str(path.relative_to(request.out)) for path in figures],
        "profiles": {findings.profile: summary(findings) for findings in studies},
    }
    write_atomic(request.out / "findings.json", orjson.dumps(content, option=_JSON))
    return studies


def _analyse_run(request: StudyRequest, plan: StudyPlan) -> Findings:
    folder = run_folder(request, plan)
    questions = {question.id: question for question in read_questions(folder.questions)}
    trained = read_trained(folder)
    return analyse(
        StudyData(
            profile=plan.profile,
            matrix=Matrix.from_records(questions, folder.records()),
            scenarios=plan.scenarios,
            examples=plan.benchmark.examples,
            vectors=read_embeddings(folder),
            trained=None if trained is None else {FINE_TUNED: trained},
            other=None if request.mapping is None else _other_run(request.mapping, plan),
        )
    )


def _other_run(run: Path, plan: StudyPlan) -> tuple[str, Matrix]:
    """The run that the held-out mapping is made of. Raises `DataError` where it holds a scored question."""
    folder = RunFolder(run)
    questions = {question.id: question for question in read_questions(folder.questions)}
    refuse_leaks(plan.questions, tuple(questions.values()), f"run {run}, which the held-out mapping is made of")
    matrix = Matrix.from_records(questions, folder.records()).complete()
    if missing := sorted(set(plan.profile.experts) - set(matrix.experts)):
        raise DataError(f"{run}: has no answers of {', '.join(missing)}; bench the same experts there")
    return run.name, matrix

"""A planted study and its findings, made once."""

import pytest

from coe_ray.analysis.matrix import Matrix
from coe_ray.bench.datasets.load import Benchmark
from coe_ray.core.types import Task
from coe_ray.paper import study_plan
from coe_ray.paper.findings import Findings, StudyData, analyse
from coe_ray.paper.study_plan import StudyPlan, StudyRequest, plan_study
from tests.paper import planted
from tests.paper.planted import CONTENT, PER_TASK, TASKS
from tests.support.profiles import write_profile


@pytest.fixture(scope="package")
def plan(tmp_path_factory: pytest.TempPathFactory) -> StudyPlan:
    folder = tmp_path_factory.mktemp("planted")
    content = {
        **CONTENT,
        "study": {
            **CONTENT["study"],
            "scenarios": {
                "fewer": {"change": {"experts": {"counter": None}}},
                "renamed": {
                    "change": {
                        "tasks": [{"name": f"{task} anew", "description": f"about {task}"} for task in TASKS],
                        "models": {"other": {"kind": "scripted", "rules": [{"pattern": ".", "reply": "no label"}]}},
                        "classifier": {"model": "other"},
                    },
                    "relabel": {task: f"{task} anew" for task in TASKS},
                },
            },
        },
    }
    benchmark = Benchmark(
        "planted", tuple(Task(task, f"about {task}") for task in TASKS), tuple(planted.questions(PER_TASK)), (), ()
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study_plan, "load_benchmark", lambda _, **__: benchmark)
        profile = write_profile(folder / "small.yaml", content)
        return plan_study(StudyRequest((), "planted", folder), str(profile), folder)


@pytest.fixture(scope="package")
def findings(plan: StudyPlan) -> Findings:
    everything = {name: each for name, each in plan.classifiers.items() if "renamed" not in name}
    records = planted.records(plan.run_profile, everything, plan.questions)
    matrix = Matrix.from_records({each.id: each for each in plan.questions}, records)
    return analyse(StudyData(plan.profile, matrix, tuple(each for each in plan.scenarios if each.name == "fewer")))

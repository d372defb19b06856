"""The public door: what coe_ray exports, what it does not load for it, and that documentation uses nothing else."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import coe_ray

ROOT = Path(__file__).parents[1]
PUBLIC = """
AppArgs Call CallError ChatModel CoeError Completion
CompositionOfExperts ConfigError DataError Delta Leaderboard Matrix
Message Profile Question Recording RunFolder SamplingParams
StudyData Task Usage analyse build_app count_scores
cross_fitted_map draw_figures format_markdown load_benchmark load_profile make_local_models
make_question make_tables open_profile_index paper_map question_oracle radar_chart
read_questions read_recordings routed_system save_chart split_options stream_completion
"""


def test_what_is_public_is_pinned() -> None:
    assert sorted(coe_ray.__all__) == PUBLIC.split()


@pytest.mark.parametrize("name", PUBLIC.split())
def test_a_public_name_is_there_and_says_what_it_is(name: str) -> None:
    thing: Any = getattr(coe_ray, name)
    assert thing.__doc__


def test_another_name_is_none() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        coe_ray.nothing  # type: ignore[attr-defined]  # noqa: B018  # it is not there


def texts() -> dict[str, str]:
    """README, documentation and the code of the notebooks."""
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    shown = {page.name: page.read_text("utf-8") for page in pages}
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        cells = json.loads(notebook.read_text("utf-8"))["cells"]
        shown[notebook.name] = "\n".join("".join(cell["source"]) for cell in cells)
    return shown


@pytest.mark.parametrize(("page", "text"), texts().items(), ids=lambda value: str(value)[:20])
def test_documentation_imports_public_names_only(page: str, text: str) -> None:
    assert re.findall(r"^\s*(?:from coe_ray\.|import coe_ray\.).*", text, re.MULTILINE) == []
    groups = re.findall(r"^\s*from coe_ray import (?:\(([^)]*)\)|(.*))", text, re.MULTILINE)
    names = re.findall(r"\w+", " ".join(map("".join, groups)))
    assert sorted(set(names) - set(coe_ray.__all__)) == []


def test_importing_coe_ray_loads_neither_ray_nor_an_engine() -> None:
    heavy = ["ray", "torch", "vllm", "transformers", "sentence_transformers"]
    modules = "coe_ray, coe_ray.llm.factory, coe_ray.core.run_folder"
    script = f"import sys, {modules}; print(sorted(sys.modules.keys() & {set(heavy)}))"
    asked = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert asked.stdout.strip() == "[]"


def test_the_help_of_a_ray_job_waits_for_nothing_heavy() -> None:
    heavy = ["ray", "torch", "lancedb", "pandas", "sklearn", "pyarrow"]
    script = f"import sys, jobs.bench, jobs.reproduce; print(sorted(sys.modules.keys() & {set(heavy)}))"
    asked = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert asked.stdout.strip() == "[]"

"""The public door: what coe_ray exports, and what it does not load for it."""

import subprocess
import sys

import coe_ray


def test_what_is_public_is_pinned() -> None:
    assert coe_ray.__all__ == ["CompositionOfExperts", "Leaderboard", "load_benchmark", "load_profile"]
    assert all(getattr(coe_ray, name).__doc__ for name in coe_ray.__all__)


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

"""`coe-ray init`: what it writes can be loaded, and what is there stays."""

from pathlib import Path

import pytest

from coe_ray.bench.datasets.load import load_benchmark
from coe_ray.cli.main import main
from coe_ray.profile.profile import load_profile


def test_the_profile_and_its_questions_load(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "team"
    assert main(["init", str(folder)]) == 0
    profile = load_profile(folder / "profile.yaml")
    benchmark = load_benchmark(folder / "questions", tasks=profile.task_list)
    assert [task.name for task in profile.task_list] == ["Kubernetes", "Incident Response"]
    assert benchmark.rejected == ()
    for questions in (benchmark.questions, benchmark.examples):
        assert {question.task for question in questions} == {task.name for task in profile.task_list}
    assert profile.path(profile.retrieval.examples) == folder / "questions"
    output = capsys.readouterr().out
    assert f"coe-ray serve --profile {folder}/profile.yaml" in output


def test_the_models_in_its_comments_load_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    main(["init", str(tmp_path)])
    path = tmp_path / "profile.yaml"
    lines = path.read_text("utf-8").splitlines()
    start = lines.index("# models:")
    block = [line.removeprefix("# ") if line.startswith("#") else line for line in lines[start:]]
    path.write_text("\n".join([*lines[:start], *block[: block.index("")], *lines[start:]]), "utf-8")
    assert "my-model" in load_profile(path).experts


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "profile.yaml").write_text("mine", "utf-8")
    assert main(["init", str(tmp_path)]) == 2
    assert "nothing is overwritten" in capsys.readouterr().err
    assert [path.read_text("utf-8") for path in tmp_path.iterdir()] == ["mine"]

"""The notebooks: cleared in the repository; executed here, each in a kernel of its own and an empty folder."""

import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
LIMIT_S = 300
"""Of one cell. All cells of one take less than half a minute where nothing else runs."""

SAYS = {
    "quickstart": [
        "Time Series Classification",
        "best on Time Series Classification",
        "the answer is (",
        "ServerFault",
    ],
    "results": ["timeseries", "Effectiveness", "question oracle", "bench: 280 questions of 13 tasks"],
    "own_experts": ["best on Subnets", "the answer is (C)", "First Steps", "task named right"],
}
"""What stands in the output of each, whatever the figures."""
PICTURES = {"quickstart": 1, "results": 3, "own_experts": 0}


def test_there_are_three() -> None:
    assert {path.stem for path in NOTEBOOKS} == set(SAYS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_cleared(path: Path) -> None:
    content = json.loads(path.read_text("utf-8"))
    nbformat.validate(content)
    assert content["metadata"]["kernelspec"]["name"] == "python3"
    code = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert all(cell["metadata"] == {} for cell in content["cells"])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_reads_and_plots_and_defines_nothing(path: Path) -> None:
    """But for what it writes to a file of its own, as a person would."""
    cells = [text for text in _cells(path, "code") if not text.startswith("%%writefile")]
    assert not [text for text in cells if re.search(r"^\s*(async def|def|class) ", text, re.MULTILINE)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_code_cell_is_led_to_by_prose(path: Path) -> None:
    kinds = [cell["cell_type"] for cell in json.loads(path.read_text("utf-8"))["cells"]]
    assert kinds[0] == "markdown"
    assert "code code code code" not in " ".join(kinds)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_its_links_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)[^)]*\)", "\n".join(_cells(path, "markdown")))
    assert links
    assert [link for link in links if not (FOLDER / link).exists()] == []


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("own_machine")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_ADDRESS", "PYTHONPATH"):
        monkeypatch.delenv(name, raising=False)
    for name in ("COE_RAY_HOME", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    work = tmp_path / "work"
    work.mkdir()
    notebook: Any = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    NotebookClient(notebook, timeout=LIMIT_S, resources={"metadata": {"path": str(work)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    printed = "\n".join(map(_text, outputs))
    assert [text for text in SAYS[path.stem] if text not in printed] == [], printed
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= PICTURES[path.stem]
    assert not list(work.iterdir()), "it writes only where it says"


def _cells(path: Path, kind: str) -> list[str]:
    cells = json.loads(path.read_text("utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == kind]


def _text(output: Any) -> str:
    """What a person reads of it."""
    if output.output_type == "stream":
        return str(output.text)
    data = output.get("data", {})
    return "\n".join(str(data[kind]) for kind in ("text/markdown", "text/html", "text/plain") if kind in data)

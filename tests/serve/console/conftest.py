"""A folder of bench runs, for all tests of the console."""

from pathlib import Path

import pytest

from tests.behaviour.console_world import build_runs, write_profile


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds a finished run, `sample-test-1`, and a stopped one, `night-shift`."""
    root = tmp_path_factory.mktemp("console")
    build_runs(root / "runs", write_profile(root))
    return root / "runs"

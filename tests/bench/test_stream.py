"""Errors of a stream: ours and the system's come out plain, without what Ray wraps around them."""

from pathlib import Path

import pytest
from ray.exceptions import RayError, RayTaskError

from coe_ray.bench.stream import plain_errors
from coe_ray.core.errors import DataError
from coe_ray.core.run_folder import RunFolder

ADVICE = ". Failed to apply UDF to data block of size 1. Consider increasing the number of blocks"


def task_error(cause: Exception) -> RayError:
    """The error of a task that died of `cause`, as `ray.get` raises it."""
    return RayTaskError("map", f"Traceback: {cause!r}", cause).as_instanceof_cause()


def test_an_error_of_ours_comes_out_as_it_was_raised(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught, plain_errors(RunFolder(tmp_path)):
        raise task_error(DataError("journal: no space is left" + ADVICE))
    assert str(caught.value) == "journal: no space is left."
    assert caught.value.__cause__ is None


def test_an_error_of_the_system_names_the_run_and_the_remedy(tmp_path: Path) -> None:
    full = pytest.raises(DataError, match=r"No space left on device; what was written before is kept")
    with full, plain_errors(RunFolder(tmp_path)):
        raise OSError(28, "No space left on device")
    with pytest.raises(DataError) as caught, plain_errors(RunFolder(tmp_path)):
        raise task_error(OSError("disk gone" + ADVICE))
    assert str(caught.value).startswith(f"{tmp_path}: disk gone.")
    assert "UDF" not in str(caught.value)


@pytest.mark.parametrize("error", [ZeroDivisionError("defect"), RayError("the node is lost")])
def test_any_other_error_passes_unchanged(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)) as caught, plain_errors(RunFolder(tmp_path)):
        raise error
    assert caught.value is error

"""What holds for all tests."""

import pytest
from hypothesis import settings

# Machines that run tests are busy with other things: a slow example is no fault.
settings.register_profile("busy", deadline=None)
settings.load_profile("busy")


@pytest.hookimpl(tryfirst=True)  # before xdist looks for groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests run one after the other, in one process, while another one does all the others.

    They kill processes and count what comes back: two of them at once would disturb each other.
    """
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.xdist_group("slow"))

"""What holds for all tests."""

from hypothesis import settings

pytest_plugins = ["tests.support.fixtures"]

# Machines that run tests are busy with other things: a slow example is no fault.
settings.register_profile("busy", deadline=None)
settings.load_profile("busy")

"""Packages that a test needs and a user may lack."""

from importlib.util import find_spec

import pytest


def need(package: str, reason: str = "") -> None:
    """Skips the test, or the module, where a package is not installed; looks for it without importing it."""
    if find_spec(package) is None:
        pytest.skip(reason or f"needs {package}", allow_module_level=True)

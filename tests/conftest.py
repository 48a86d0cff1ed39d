"""Fixtures that several test modules share; and, by being here, tests below import from here."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from workshop import CannotInstallError, Workshop

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """The one virtual environment that holds our wheel and the tools we are used in."""
    base: Path = tmp_path_factory.getbasetemp()
    # Processes of pytest-xdist share it.
    directory = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    made = Workshop(directory / "workshop")
    try:
        made.furnish()
    except CannotInstallError as reason:
        pytest.skip(str(reason))
    return made

"""What flake8 reads and prints where nobody configured it: known without asking it.

To load flake8 takes as long as to check a dozen files. Whatever could be configured is asked of
``flake8_config``; tests hold the two together.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from flake8.defaults import EXCLUDE

from flake8_task_refs.discovery import DEFAULT_STDIN_NAME, find_files
from flake8_task_refs.options import LintConfig, Settings
from flake8_task_refs.rules import RULES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_ISOLATED: Final = "--isolated"
_CONFIGURATION_FILES: Final = ("setup.cfg", "tox.ini", ".flake8")
_CODES: Final = tuple(rule.code for rule in RULES if rule.default)


class Unconfigured:
    """What ``flake8 PATHS`` would do, as ``flake8_config.Flake8`` tells it."""

    def __init__(self, paths: Sequence[str]) -> None:
        """Without ``paths``, the current directory is meant."""
        self._paths = paths
        self.config = LintConfig(
            settings=Settings(),
            jobs=max(1, os.cpu_count() or 1),
            color="auto",
            line_length=None,
            stdin_name=DEFAULT_STDIN_NAME,
        )

    def find_files(self) -> Iterator[tuple[list[str], bool]]:
        """Find the files to read, as ``discovery.find_files`` does."""
        return find_files(
            self._paths,
            stdin_display_name=self.config.stdin_name,
            filename_patterns=("*.py",),
            exclude=EXCLUDE,
        )

    def codes(self, name: str) -> tuple[str, ...]:
        """Return the codes that flake8 would print for the file ``name``, sorted."""
        del name  # it is the same for all
        return _CODES


def is_unconfigured(options: Sequence[str]) -> bool:
    """Tell whether ``options`` and files surely say nothing that flake8 would have to read.

    flake8 looks for its files in the current directory and in those above; one that is there may
    say nothing of flake8. Flake8-pyproject makes it look for another.
    """
    if any(option != _ISOLATED for option in options) or find_spec("flake8p") is not None:
        return False
    try:
        here = Path.cwd()
    except OSError:
        return False
    return _ISOLATED in options or not any(
        os.path.lexists(at / name) for at in (here, *here.parents) for name in _CONFIGURATION_FILES
    )

"""flake8's own configuration, read by flake8's own code, so that lint and fixer agree.

The options of flake8 that say *which files* and *which codes* mean here what they mean there,
on the command line and in ``setup.cfg``, ``tox.ini`` or ``.flake8``.
"""

from __future__ import annotations

import contextlib
import io
import os
from configparser import Error as ConfigSyntaxError
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flake8.discover_files import expand_paths
from flake8.exceptions import ExecutionError
from flake8.formatting.default import Nothing
from flake8.options.parse_args import parse_args
from flake8.style_guide import Decision, StyleGuideManager

from flake8_task_refs.options import settings_of
from flake8_task_refs.rules import RULES

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from flake8_task_refs.options import Settings

STDIN = "-"


class ConfigError(ValueError):
    """The options or a configuration file cannot be used. The text is one line."""


@dataclass(frozen=True)
class LintConfig:
    """What flake8 would do here: which files it reads and which codes it prints for each.

    ``options`` are flake8's, ``settings`` ours; ``jobs`` is the number of processes allowed.
    """

    options: argparse.Namespace
    settings: Settings
    guides: StyleGuideManager

    @property
    def jobs(self) -> int:
        """The number of processes that ``--jobs`` allows, at least one."""
        asked = self.options.jobs
        return max(1, (os.cpu_count() or 1) if asked.is_auto else asked.n_jobs)

    def files(self) -> list[str]:
        """Return the names of the files to read, sorted; ``-`` stands for standard input.

        A file that two names lead to is there once, by the first of them.
        """
        found = expand_paths(
            paths=self.options.filenames,
            stdin_display_name=self.options.stdin_display_name,
            filename_patterns=self.options.filename,
            exclude=(*self.options.exclude, *self.options.extend_exclude),
        )
        given = {os.path.normpath(path) for path in self.options.filenames}
        environments = _Environments(given)
        by_target: dict[str, str] = {}
        for name in sorted(found):
            if environments.hold(name):
                continue
            by_target.setdefault(name if name == STDIN else os.path.realpath(name), name)
        return list(by_target.values())

    def display_name(self, name: str) -> str:
        """Return what flake8 calls the file ``name`` in its output."""
        return str(self.options.stdin_display_name) if name == STDIN else name

    def codes(self, name: str) -> tuple[str, ...]:
        """Return our codes that flake8 would print for the file ``name``, sorted."""
        guide = self.guides.style_guide_for(self.display_name(name))
        return tuple(
            rule.code
            for rule in RULES
            if (rule.default or rule.code in self.settings.enabled_codes)
            and guide.should_report_error(rule.code) is Decision.Selected
        )


class _Environments:
    """Tells virtual environments: flake8 reads them, but nobody wants them repaired."""

    def __init__(self, given: set[str]) -> None:
        """``given`` are the paths that the user named; these are never passed over."""
        self._given = given
        self._known: dict[Path, bool] = {}

    def hold(self, name: str) -> bool:
        """Tell whether the file ``name`` lies in a virtual environment that was not named."""
        return os.path.normpath(name) not in self._given and self._is_inside(Path(name).parent)

    def _is_inside(self, directory: Path) -> bool:
        known = self._known.get(directory)
        if known is None:
            known = os.path.normpath(directory) not in self._given and (
                (directory / "pyvenv.cfg").exists()
                or (directory.parent != directory and self._is_inside(directory.parent))
            )
            self._known[directory] = known
        return known


def load(options_given: Sequence[str] = (), paths: Sequence[str] = ()) -> LintConfig:
    """Read flake8's configuration as ``flake8 OPTIONS PATHS`` would, from the current directory.

    Without ``paths``, the current directory is meant. Raises ``ConfigError``.
    """
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            _, options = parse_args(options_given)
        options.filenames = list(paths)
        settings = settings_of(options)
        guides = StyleGuideManager(options, Nothing(options))
    except SystemExit:
        # argparse has written its usage and then, last, what is wrong.
        lines = complaint.getvalue().splitlines() or ["cannot read the options"]
        raise ConfigError(lines[-1].removeprefix("flake8: error: ")) from None
    except (ExecutionError, ConfigSyntaxError, ValueError, OSError) as error:
        raise ConfigError(" ".join(str(error).split())) from None
    except Exception as error:  # noqa: BLE001 (flake8's plugins read their options here, too)
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigError(f"flake8 cannot read its options: {reason}") from None
    return LintConfig(options, settings, guides)

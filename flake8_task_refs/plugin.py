"""The flake8 door: options in, findings out."""

from __future__ import annotations

import contextlib
import gc
from typing import TYPE_CHECKING, Any, ClassVar, Final

from flake8.exceptions import ExecutionError

from flake8_task_refs import __version__
from flake8_task_refs.options import OPTIONS, Settings, settings_of

if TYPE_CHECKING:
    import ast
    from argparse import Namespace
    from collections.abc import Iterator, Sequence

    from flake8.options.manager import OptionManager

# Says that a file could not be checked: no rule, so nothing that the fixer knows.
NOT_CHECKED: Final = "TSK000"


@contextlib.contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Look for no garbage meanwhile: a check leaves none, and Python would go through flake8's."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class TaskRefsPlugin:
    """What flake8 makes for each file. Give it the file's lines; ``run`` yields the findings."""

    name = "flake8-task-refs"
    version = __version__
    settings: ClassVar[Settings] = Settings()

    def __init__(self, tree: ast.AST, lines: Sequence[str]) -> None:
        """Take the file's lines. flake8 calls a plugin with ``tree`` once a file; it is unused."""
        del tree
        self.source = "".join(lines)

    @classmethod
    def add_options(cls, manager: OptionManager) -> None:
        """Declare the ``--tsk-*`` options, for the command line and flake8's configuration."""
        for option in OPTIONS:
            kind: dict[str, Any] = {}
            if option.kind == "list":
                kind["comma_separated_list"] = True
            elif option.kind == "flag":
                kind["action"] = "store_true"
            manager.add_option(option.flag, parse_from_config=True, help=option.help, **kind)

    @classmethod
    def parse_options(cls, options: Namespace) -> None:
        """Keep what the user set. Raises ``ExecutionError`` for a value that cannot be used."""
        try:
            cls.settings = settings_of(options)
        except ValueError as error:
            raise ExecutionError(str(error)) from None

    def run(self) -> Iterator[tuple[int, int, str, type[TaskRefsPlugin]]]:
        """Yield (line, 0-based column, text, plugin) for each finding.

        Nothing of the analysis is imported for a source that cannot create a task.
        """
        from flake8_task_refs.analysis.sieve import may_create_tasks  # noqa: PLC0415

        if not may_create_tasks(self.source, self.settings):
            return
        from flake8_task_refs.analysis.check import check_source  # noqa: PLC0415
        from flake8_task_refs.analysis.finding import SourceError  # noqa: PLC0415

        try:
            with _without_garbage_collection():
                findings = check_source(self.source, self.settings)
        except SourceError as error:
            # flake8 asks only about what Python can parse, and reports the rest itself, as E999.
            reason = f"not checked: {' '.join(str(error).split())}"
            yield max(error.line, 1), 0, f"{NOT_CHECKED} {reason}", type(self)
            return
        except Exception as error:  # noqa: BLE001 (one file must not end flake8's run)
            from flake8_task_refs.scanning import internal_error  # noqa: PLC0415

            yield 1, 0, f"{NOT_CHECKED} {internal_error(error)}", type(self)
            return
        for finding in findings:
            text = f"{finding.code} {finding.message}"
            yield finding.line, finding.column - 1, text, type(self)

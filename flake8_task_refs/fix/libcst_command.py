"""The fixer as a command of libcst's own tool, for those who run their codemods with it.

``python -m libcst.tool codemod -x --no-format flake8_task_refs.fix.libcst_command.FixTasks PATHS``
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING

import libcst as cst
from libcst.codemod import CodemodCommand

from flake8_task_refs.analysis.finding import SourceError
from flake8_task_refs.fix.contract import NO_END_YET
from flake8_task_refs.fix.engine import FixSettings, fix_source
from flake8_task_refs.fix.other_files import is_asked_for, is_taken

if TYPE_CHECKING:
    import argparse

    from libcst.codemod import CodemodContext


class FixTasks(CodemodCommand):
    """Repair the tasks of one module, with the engine of ``python -m flake8_task_refs.fix``.

    flake8's configuration is not read here; use the fixer itself where that matters.
    """

    DESCRIPTION = "Give asyncio tasks that nobody references a registry and an end."

    def __init__(self, context: CodemodContext, *, unsafe_fixes: bool = False) -> None:
        """Repair in ``context``; ``unsafe_fixes`` allows changes that can alter behaviour."""
        super().__init__(context)
        self.settings = FixSettings(unsafe_fixes=unsafe_fixes)

    @staticmethod
    def add_args(arg_parser: argparse.ArgumentParser) -> None:
        """Declare the command's own options for libcst's tool."""
        arg_parser.add_argument(
            "--unsafe-fixes", action="store_true", help="also make changes that can alter behaviour"
        )

    def transform_module_impl(self, tree: cst.Module) -> cst.Module:
        """Return the repaired module; what is declined becomes a warning of libcst's tool."""
        file = self.context.filename or ""
        settings = replace(
            self.settings,
            keep_imports=PurePath(file).name in ("", "__init__.py"),
            is_taken=partial(is_taken, file),
            is_asked_for=partial(is_asked_for, file),
        )
        try:
            result = fix_source(tree.code, settings)
        except SourceError as error:
            self.warn(str(error))
            return tree
        for site, code in result.unended:
            self.warn(f"{site.line}:{site.column}: {site.code} fixed, {NO_END_YET} ({code})")
        for declined in result.declined:
            site = declined.finding
            self.warn(f"{site.line}:{site.column}: {site.code} declined: {declined.reason}")
        if result.text == tree.code:
            return tree
        return cst.parse_module(result.text, config=tree.config_for_parsing)

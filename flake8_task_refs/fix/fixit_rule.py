"""The rules as one rule of Fixit, for those who lint with it (https://fixit.readthedocs.io).

``enable = ["flake8_task_refs.fix.fixit_rule"]`` in ``[tool.fixit]`` of ``pyproject.toml``.
"""

from __future__ import annotations

from typing import ClassVar

import libcst as cst
from fixit import Invalid, LintRule, Valid
from libcst.metadata import CodePosition

from flake8_task_refs.analysis.check import check_source
from flake8_task_refs.analysis.finding import SourceError
from flake8_task_refs.fix.engine import FixSettings, fix_source
from flake8_task_refs.rules import BY_CODE


class TaskRefs(LintRule):
    """Find and repair asyncio tasks that nobody references, awaits or ends.

    flake8's configuration is not read here. A repair is made for a whole file.
    """

    VALID: ClassVar[list[str | Valid]] = [Valid(BY_CODE["TSK001"].use_instead)]
    INVALID: ClassVar[list[str | Invalid]] = [Invalid(BY_CODE["TSK001"].example)]
    AUTOFIX = True

    def visit_Module(self, node: cst.Module) -> None:  # noqa: N802 (libcst's name)
        """Report each finding of the module, all with the one repaired module."""
        try:
            findings = check_source(node.code)
            # Fixit does not say which file it is: another may import from it.
            settings = FixSettings(keep_imports=True)
            fixed = fix_source(node.code, settings) if findings else None
        except SourceError:
            # Fixit has parsed it: what we cannot read is no finding.
            return
        for finding in findings:
            repaired = fixed is not None and finding in fixed.fixed
            self.report(
                node,
                f"{finding.code} {finding.message}",
                position=CodePosition(finding.line, finding.column - 1),
                replacement=cst.parse_module(fixed.text) if fixed and repaired else None,
            )

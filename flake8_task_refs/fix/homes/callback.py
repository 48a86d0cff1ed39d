"""A done-callback that cannot work, because it was called instead of passed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.syntax import last_name
from flake8_task_refs.fix.contract import Context, Plan
from flake8_task_refs.fix.edits import Edit
from flake8_task_refs.fix.source import dotted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flake8_task_refs.fix.repair_sites import Site

_METHODS: Final = ("discard", "remove")

OTHER_CALLBACK: Final = "what this callback should do cannot be told from it: mend it by hand"
UNSAFE_CALLBACK: Final = "a callback that works changes what the program does (--unsafe-fixes)"


class BrokenCallbacks:
    """Passes ``container.discard`` instead of calling it, with ``unsafe_fixes``."""

    def __init__(self, context: Context) -> None:
        """Repair in ``context``."""
        self._context = context

    def accepts(self, site: Site) -> bool:
        """Take every callback that cannot work."""
        return site.code == "TSK102"

    def plan(self, sites: Sequence[Site]) -> Plan:
        """Mend the callbacks whose meaning is clear."""
        file, found = self._context.file, Plan()
        for site in sites:
            method = _method(site.call)
            if method is None:
                found.decline([site], OTHER_CALLBACK)
            elif not self._context.settings.unsafe_fixes:
                found.decline([site], UNSAFE_CALLBACK)
            else:
                start, end = file.span(site.call.args[0].value)
                found.edits.append(Edit(start, end, file.code(method)))
                found.fixed.append(site.finding)
        return found


def _method(call: syntax.Call) -> syntax.BaseExpression | None:
    """Return ``container.discard`` of ``container.discard(task)``, also inside a lambda."""
    if not isinstance(call.func, syntax.Attribute) or not call.args:
        return None
    callback = call.args[0].value
    if isinstance(callback, syntax.Lambda) and not callback.params.params:
        callback = callback.body
    if (
        isinstance(callback, syntax.Call)
        and last_name(callback.func) in _METHODS
        and len(callback.args) == 1
        and dotted(callback.args[0].value) == dotted(call.func.value)
    ):
        return callback.func
    return None

"""Endless tasks of a context manager: they end when what it lends is given back.

So do those of a fixture, or of a dependency. A registry would keep one more of them with each use,
for ever. Those of an application's lifespan are not among them.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.syntax import is_name, last_name
from flake8_task_refs.analysis.workers import Worker
from flake8_task_refs.fix.contract import Context, Plan
from flake8_task_refs.fix.lifespan_body import yields_of
from flake8_task_refs.fix.lifespan_by_name import end_by_name
from flake8_task_refs.fix.worker import LikelyWorker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flake8_task_refs.fix.repair_sites import Site

LENT: Final = (
    "the task goes on after the context manager: cancel it there when what it lends is given "
    "back, and wait for it"
)
# What makes a generator lend something to its caller, and go on afterwards.
_LENDS: Final = frozenset({"asynccontextmanager", "fixture"})


class ContextManagers:
    """Ends the task in a ``finally`` around the ``yield``."""

    def __init__(self, context: Context) -> None:
        """Repair in ``context``."""
        self._context = context

    def accepts(self, site: Site) -> bool:
        """Take what goes on until it is ended, and is made before the only ``yield``."""
        function = site.function
        return (
            site.code in ("TSK001", "TSK002")
            and site.form in ("discard", "assign")
            and isinstance(function, syntax.FunctionDef)
            and function.asynchronous
            and isinstance(site.coroutine, syntax.Call)
            and len(yields := yields_of(self._context, function)) == 1
            and self._context.tree.order[site.call] < self._context.tree.order[yields[0]]
            and self._lends(function)
            and self._context.judge.application(function) is None
            and Worker(self._context.judge.ownership, site.coroutine).runs_until_ended()
        )

    def plan(self, sites: Sequence[Site]) -> Plan:
        """End the tasks of ``sites``."""
        found = Plan()
        groups: dict[syntax.FunctionDef, list[Site]] = defaultdict(list)
        for site in sites:
            reason = LikelyWorker.of(self._context, site).unstoppable()
            if reason:
                found.decline([site], reason)
            elif isinstance(site.function, syntax.FunctionDef):
                groups[site.function].append(site)
        for function, group in groups.items():
            named = end_by_name(self._context, function, group)
            if named is None:
                found.decline(group, LENT)
            else:
                found.take(named)
        return found

    def _lends(self, function: syntax.FunctionDef) -> bool:
        """Tell whether ``function`` lends what it yields: FastAPI takes it undecorated."""
        if any(_is_lender(item.decorator) for item in function.decorators):
            return True
        return any(
            last_name(call.func) == "Depends"
            and call.args
            and is_name(call.args[0].value, function.name.value)
            for call in self._context.tree.calls
        )


def _is_lender(decorator: syntax.BaseExpression) -> bool:
    made = decorator.func if isinstance(decorator, syntax.Call) else decorator
    return last_name(made) in _LENDS

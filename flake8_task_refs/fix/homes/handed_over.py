"""``call_soon(create_task, work())``: whoever makes the task later drops it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import libcst as cst

from flake8_task_refs.fix.edits import Edit
from flake8_task_refs.fix.plan import Context, Plan
from flake8_task_refs.fix.source import dotted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flake8_task_refs.fix.sites import Site

LATE: Final = (
    "create_task is handed over as a callable: a function that keeps the task would evaluate the "
    "coroutine's arguments later (--unsafe-fixes)"
)
UNCLEAR: Final = "create_task is handed over as a callable: pass a function that keeps the task"


class HandedOver:
    """Hands over a lambda that keeps its task, instead of ``create_task`` and a coroutine."""

    def __init__(self, context: Context) -> None:
        """Repair in ``context``."""
        self._context = context

    def accepts(self, site: Site) -> bool:
        """Take the calls that are given a creator."""
        return site.is_handed_over

    def plan(self, sites: Sequence[Site]) -> Plan:
        """Replace the creator and its coroutine where that changes nothing else."""
        found = Plan()
        for site in sites:
            edits, reason = self._lambda(site)
            if reason:
                found.decline([site], reason)
            else:
                found.edits += edits
                found.fixed.append(site.finding)
        return found

    def _lambda(self, site: Site) -> tuple[list[Edit], str]:
        context, file, args = self._context, self._context.file, site.call.args
        creator = context.judge.ownership.sites.creator
        at = next((n for n, arg in enumerate(args) if creator(context.tree, arg.value)), -1)
        if at < 0 or at + 2 != len(args) or args[-1].keyword or args[-1].star:
            return [], UNCLEAR
        coroutine = args[-1].value
        harmless = isinstance(coroutine, cst.Call) and not coroutine.args and dotted(coroutine.func)
        if not harmless and not context.settings.unsafe_fixes:
            return [], LATE
        context.additions.defined_before(site.call)
        maker, track = file.code(args[at].value), context.additions.track()
        start, end = file.span(args[at].value).start, file.span(coroutine).end
        text = f"lambda: {track}({maker}({file.code(coroutine)}))"
        return context.writer.laid_out(site.statement, [Edit(start, end, text)]), ""

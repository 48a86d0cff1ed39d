"""A task without a name: it is called as its coroutine is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from flake8_task_refs.fix.contract import Context, Plan
from flake8_task_refs.fix.repair_sites import by_statement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flake8_task_refs.fix.repair_sites import Site

NAMELESS: Final = "no name follows from what runs here, or this call takes none: choose one"


class Unnamed:
    """Adds ``name=`` where the coroutine has a name."""

    def __init__(self, context: Context) -> None:
        """Repair in ``context``."""
        self._context = context

    def accepts(self, site: Site) -> bool:
        """Take every task that has no name."""
        return site.code == "TSK303"

    def plan(self, sites: Sequence[Site]) -> Plan:
        """Name the tasks of ``sites``."""
        writer, found = self._context.writer, Plan()
        for group in by_statement(sites):
            named = [site for site in group if writer.name_edit(site)]
            found.decline([site for site in group if site not in named], NAMELESS)
            if named:
                edits = [edit for site in named for edit in writer.name_edit(site)]
                found.edits += writer.laid_out(named[0].statement, edits)
                found.fixed += [site.finding for site in named]
        return found

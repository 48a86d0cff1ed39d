"""The home of last resort and of scripts: a registry of the module, with no shutdown of its own.

Its tasks need no callback that logs their errors: the registry lets go of a task that is done, and
asyncio then reports an exception that nobody has asked for, with its traceback. So no local may
hold the task for longer: in a function that goes on for ever, a helper takes it at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from flake8_task_refs.fix.contract import Context, Plan
from flake8_task_refs.fix.registration import Registry
from flake8_task_refs.fix.repair_sites import by_statement, is_declared_future
from flake8_task_refs.fix.task_names import local_lasts, task_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flake8_task_refs.fix.repair_sites import Site

# From here on, a helper function reads better than the same two lines at each site.
MANY_SITES: Final = 3


class ModuleRegistry:
    """One set of the module, with a helper function where a file has several sites."""

    def __init__(self, context: Context) -> None:
        """Repair in ``context``."""
        self._context = context

    def accepts(self, site: Site) -> bool:
        """Take every task that nobody keeps."""
        return site.code in {"TSK001", "TSK002"}

    def plan(self, sites: Sequence[Site]) -> Plan:
        """Keep the tasks of ``sites``."""
        return _plan(self._context, sites)


def _plan(context: Context, sites: Sequence[Site]) -> Plan:
    found = Plan(fixed=[site.finding for site in sites])
    for site in sites:
        context.additions.defined_before(site.call)
    statements = [site for site in sites if site.form in {"discard", "assign", "chain"}]
    plain = [site for site in statements if site.form == "discard"]
    lasting = [site for site in statements if site.form != "assign" and local_lasts(context, site)]
    with_helper = len(statements) < len(sites) or len(plain) >= MANY_SITES or bool(lasting)
    wrapped = [
        site
        for site in sites
        if site.form == "expression"
        or site in lasting
        or (with_helper and site.form == "discard" and context.writer.can_wrap(site, "_track"))
    ]
    for group in by_statement(sites=wrapped):
        found.edits += context.writer.wrap(group, context.additions.track())
    rest = [site for site in sites if site not in wrapped]
    for site in rest:
        is_future = is_declared_future(context.file, site)
        name = context.additions.futures("asyncio") if is_future else context.additions.registry()
        found.edits += context.writer.register(site, task_name(context, site), Registry(name))
    return found

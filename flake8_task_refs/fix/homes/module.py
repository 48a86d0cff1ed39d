"""The home of last resort and of scripts: a registry of the module, with no shutdown of its own."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

import libcst as cst

from flake8_task_refs.fix.edits import Edit
from flake8_task_refs.fix.plan import Context, Declined, Plan
from flake8_task_refs.fix.registration import Registry
from flake8_task_refs.fix.source import dotted, last_part

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flake8_task_refs.fix.sites import Site

# From here on, a helper function reads better than the same two lines at each site.
_MANY_SITES: Final = 3


def plan(context: Context, sites: Sequence[Site]) -> Plan:
    """Keep the tasks of ``sites`` in one set of the module."""
    found = Plan(fixed=[site.finding for site in sites])
    for site in sites:
        context.additions.defined_before(site.call)
    statements = [site for site in sites if site.form in {"discard", "assign", "chain"}]
    plain = [site for site in statements if site.form == "discard"]
    with_helper = len(statements) < len(sites) or len(plain) >= _MANY_SITES
    wrapped = [
        site
        for site in sites
        if site.form == "expression"
        or (with_helper and site.form == "discard" and context.writer.can_wrap(site, "_track"))
    ]
    for group in by_statement(sites=wrapped):
        found.edits += context.writer.wrap(group, context.additions.track())
    rest = [site for site in sites if site not in wrapped]
    registry = Registry(context.additions.registry()) if rest else None
    for site in rest:
        if registry is not None:
            task = site.target or context.locals.free("task", site.call)
            found.edits += context.writer.register(site, task, registry)
    return found


LATE: Final = (
    "create_task is handed over as a callable: a function that keeps the task would evaluate the "
    "coroutine's arguments later (--unsafe-fixes)"
)
UNCLEAR: Final = "create_task is handed over as a callable: pass a function that keeps the task"


def plan_handed_over(context: Context, site: Site) -> Plan:
    """Hand over a lambda that keeps its task, instead of ``create_task`` and a coroutine."""
    file = context.file
    args = site.call.args
    at = next((n for n, arg in enumerate(args[:-1]) if _is_creator(context, arg.value)), -1)
    if at < 0 or at + 2 != len(args) or args[-1].keyword or args[-1].star:
        return Plan(declined=[Declined(site.finding, UNCLEAR)])
    coroutine = args[-1].value
    harmless = isinstance(coroutine, cst.Call) and not coroutine.args and dotted(coroutine.func)
    if not harmless and not context.settings.unsafe_fixes:
        return Plan(declined=[Declined(site.finding, LATE)])
    context.additions.defined_before(site.call)
    creator, track = file.code(args[at].value), context.additions.track()
    start, end = file.span(args[at].value).start, file.span(coroutine).end
    text = f"lambda: {track}({creator}({file.code(coroutine)}))"
    edits = context.writer.laid_out(site.statement, [Edit(start, end, text)])
    return Plan(edits=edits, fixed=[site.finding])


def _is_creator(context: Context, node: cst.CSTNode) -> bool:
    origin = context.names.canonical(node)
    assigned = context.names.module_assignments.get(origin)
    if assigned is not None:
        origin = context.names.canonical(assigned)
    return last_part(origin) in {"create_task", "ensure_future"}


def by_statement(sites: Sequence[Site]) -> list[list[Site]]:
    """Group ``sites`` by the statement they stand in; one that has none stands alone."""
    groups: dict[cst.CSTNode, list[Site]] = defaultdict(list)
    for site in sites:
        groups[site.statement or site.call].append(site)
    return list(groups.values())

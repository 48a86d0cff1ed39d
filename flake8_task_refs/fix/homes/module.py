"""The home of last resort and of scripts: a registry of the module, with no shutdown of its own."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from flake8_task_refs.fix.plan import Context, Plan
from flake8_task_refs.fix.registration import Registry

if TYPE_CHECKING:
    from collections.abc import Sequence

    import libcst as cst

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


def by_statement(sites: Sequence[Site]) -> list[list[Site]]:
    """Group ``sites`` by the statement they stand in; one that has none stands alone."""
    groups: dict[cst.CSTNode, list[Site]] = defaultdict(list)
    for site in sites:
        groups[site.statement or site.call].append(site)
    return list(groups.values())

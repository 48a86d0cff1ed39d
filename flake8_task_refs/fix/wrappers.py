"""The file's own ``create_task``: the task that all its callers drop is kept where it is made."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.helpers import likely_function
from flake8_task_refs.fix.homes.startup import is_started_by_application
from flake8_task_refs.fix.lifespan_body import lifespan_around
from flake8_task_refs.fix.repair_sites import Site, form_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flake8_task_refs.analysis.finding import Finding
    from flake8_task_refs.analysis.sites import CreationSite
    from flake8_task_refs.fix.contract import Context

_CREATORS: Final = ("asyncio.create_task", "asyncio.ensure_future", "loop.create_task")


def inside_wrappers(context: Context, sites: Sequence[Site]) -> dict[Finding, Site]:
    """Return the site in the wrapper for each finding of a call that drops a wrapper's task.

    Left out are wrappers of which any caller of the file keeps the task, and tasks that an
    application ends: both are the callers' business.
    """
    droppers: dict[syntax.FunctionDef, list[Site]] = defaultdict(list)
    for site in sites:
        wrapper = _wrapper(context, site.made) if site.code in ("TSK001", "TSK002") else None
        if wrapper is not None:
            droppers[wrapper].append(site)
    if not droppers:
        return {}
    made = context.judge.ownership.sites.find(context.tree)
    found: dict[Finding, Site] = {}
    for wrapper, dropping in droppers.items():
        calls = {site.call for site in dropping}
        if any(_wrapper(context, one) is wrapper and one.call not in calls for one in made):
            continue
        if any(_is_of_application(context, site) for site in dropping):
            continue
        inside = _site_in(context, wrapper, made, dropping[0])
        if inside is not None:
            found.update({site.finding: inside for site in dropping})
    return found


def _wrapper(context: Context, made: CreationSite | None) -> syntax.FunctionDef | None:
    """Return the function of the file that makes the task of ``made``, if it is one that does."""
    if made is None or made.path != "wrapper" or made.kind != "task":
        return None
    return likely_function(context.tree, made.call)


def _is_of_application(context: Context, site: Site) -> bool:
    return lifespan_around(context, site) is not None or is_started_by_application(context, site)


def _site_in(
    context: Context, wrapper: syntax.FunctionDef, made: Sequence[CreationSite], caller: Site
) -> Site | None:
    """Return where ``wrapper`` makes its task: once, to return it at once or by its name."""
    tree, file = context.tree, context.file
    inside = [one for one in made if file.within(one.call, wrapper)]
    if len(inside) != 1 or inside[0].path not in _CREATORS:
        return None
    if wrapper.asynchronous and (caller.made is None or caller.made.awaited is None):
        return None
    call = inside[0].call
    if tree.function_around(call) is not wrapper:
        return None
    statement = file.statement(call)
    form, target = form_of(file, call, statement)
    returned = [jump.value for jump in tree.jumps(wrapper.body) if isinstance(jump, syntax.Return)]
    if form == "assign":
        is_given = any(isinstance(one, syntax.Name) and one.value == target for one in returned)
        if not is_given or len(tree.inner[wrapper].stores.get(target, ())) != 1:
            return None
    elif not any(one is call for one in returned):
        return None
    return Site(caller.finding, call, form, statement, wrapper, target, inside[0])

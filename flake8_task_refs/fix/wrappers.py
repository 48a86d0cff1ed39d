"""The file's own ``create_task``: where it makes its task, and whether it surely gives that back.

A task that all its callers drop is kept where it is made.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.from_python import expression_of
from flake8_task_refs.analysis.helpers import likely_function
from flake8_task_refs.analysis.names import assigned_value
from flake8_task_refs.analysis.sites import AGGREGATES
from flake8_task_refs.analysis.syntax import last_name
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


def gives_only_tasks(context: Context, site: Site) -> bool:
    """Tell whether the call of ``site`` gives back what it is said to make, whichever way it goes.

    On another way, a helper of the file may give back None, or a future of another kind.
    """
    made = site.made
    wrapper = context.judge.ownership.sites.wrapper
    if made is None or made.kind == "deferred" or not wrapper(context.tree, site.call.func):
        return True
    name = last_name(site.call.func)
    return all(
        _is_said_to_give(function, "Future" if made.kind == "aggregate" else "Task")
        and _never_falls_through(context, function.body)
        and all(
            _is_made_by(context, jump.value, made.path)
            for jump in context.tree.jumps(function.body)
            if isinstance(jump, syntax.Return)
        )
        for function in context.file.functions()
        if function.name.value == name
    )


def _is_made_by(context: Context, value: syntax.BaseExpression | None, path: str) -> bool:
    """Tell whether ``value`` is surely a new task, or an aggregate of ``path``."""
    tree = context.tree
    if isinstance(value, syntax.IfExp):
        return _is_made_by(context, value.body, path) and _is_made_by(context, value.orelse, path)
    if isinstance(value, syntax.Name):
        scope = tree.scope[value].owner(value.value)
        stores = scope.stores.get(value.value, ()) if scope is not None else ()
        made = [assigned_value(tree, store) for store in stores]
        return bool(made) and all(
            isinstance(item, syntax.Call) and _is_made_by(context, item, path) for item in made
        )
    if not isinstance(value, syntax.Call):
        return False
    sites = context.judge.ownership.sites
    if path in AGGREGATES:
        return sites.aggregate(tree, value.func) == path
    made_by = value.func
    if sites.is_context_run(tree, made_by) and value.args:
        made_by = value.args[0].value
    return sites.creator(tree, made_by) is not None


def _is_said_to_give(function: syntax.FunctionDef, kind: str) -> bool:
    """Tell whether the annotation of ``function`` agrees; a type checker believes nothing else."""
    if function.returns is None:
        return True
    said: syntax.BaseExpression = function.returns.annotation
    if isinstance(said, syntax.SimpleString) and isinstance(said.evaluated_value, str):
        with contextlib.suppress(SyntaxError, ValueError):
            said = expression_of(said.evaluated_value)
    return last_name(said.value if isinstance(said, syntax.Subscript) else said) in (kind, "Any")


def _never_falls_through(context: Context, body: syntax.BaseSuite) -> bool:
    """Tell whether ``body`` surely ends in a return or a raise."""
    last = body.body[-1]
    match last:
        case syntax.SimpleStatementLine():
            return isinstance(last.body[-1], (syntax.Return, syntax.Raise))
        case syntax.If():
            return (
                _never_falls_through(context, last.body)
                and last.orelse is not None
                and (
                    _never_falls_through(context, last.orelse.body)
                    if isinstance(last.orelse, syntax.Else)
                    else _never_falls_through(context, syntax.IndentedBlock([last.orelse]))
                )
            )
        case syntax.Try():
            tried = last.orelse.body if last.orelse is not None else last.body
            return _never_falls_through(context, tried) and all(
                _never_falls_through(context, handler.body) for handler in last.handlers
            )
        case syntax.With():
            return not any(
                _suppresses(context, item.item) for item in last.items
            ) and _never_falls_through(context, last.body)
    return isinstance(last, (syntax.Return, syntax.Raise))


def _suppresses(context: Context, manager: syntax.BaseExpression) -> bool:
    """Tell whether a context manager of the standard library or this file may swallow errors."""
    if not isinstance(manager, syntax.Call):
        return False
    if last_name(manager.func) == "suppress":
        return True
    owners = [
        owner
        for owner in context.file.all(syntax.ClassDef)
        if owner.name.value == last_name(manager.func)
    ]
    if any(
        isinstance(jump, syntax.Return) and jump.value is not None
        for method in context.file.functions()
        if method.name.value in {"__exit__", "__aexit__"}
        and context.file.method_class(method) in owners
        for jump in context.tree.jumps(method.body)
    ):
        return True
    function = likely_function(context.tree, manager)
    return function is not None and any(
        isinstance(outer, syntax.Try) and outer.handlers
        for jump in context.tree.jumps(function.body)
        if isinstance(jump, syntax.Yield)
        for outer in context.tree.ancestors(jump)
    )

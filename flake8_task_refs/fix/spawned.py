"""What runs as a task, and by which names a shutdown could talk to it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.cancellation import swallowers
from flake8_task_refs.analysis.from_python import expression_of
from flake8_task_refs.analysis.helpers import likely_function
from flake8_task_refs.analysis.lifetime import is_main
from flake8_task_refs.analysis.names import assigned_value
from flake8_task_refs.analysis.sites import AGGREGATES
from flake8_task_refs.analysis.syntax import last_name
from flake8_task_refs.fix.free_names import names_in
from flake8_task_refs.fix.repair_sites import shows_locals
from flake8_task_refs.fix.source import dotted, last_part

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flake8_task_refs.fix.contract import Context
    from flake8_task_refs.fix.repair_sites import Site

# What every worker of an application is given.
EVERYWHERE: Final = frozenset(
    {"self", "cls", "asyncio", "app", "application", "state", "request", "logger", "logging"}
)

# How many calls deep a worker is looked into.
_DEPTH: Final = 3


def worker_of(context: Context, site: Site) -> syntax.FunctionDef | None:
    """Return the function of this file that ``site`` starts, if it is known."""
    coroutine = site.coroutine
    if not isinstance(coroutine, syntax.Call):
        return None
    return likely_function(context.tree, coroutine)


def calls_of(context: Context, worker: syntax.FunctionDef) -> Iterator[syntax.Call]:
    """Yield the calls in ``worker`` and in the functions of the file that it calls."""
    seen, todo = {worker}, [worker]
    for _ in range(_DEPTH):
        deeper: list[syntax.FunctionDef] = []
        for function in todo:
            for node in context.file.inside(function.body):
                if isinstance(node, syntax.Call):
                    yield node
                    called = likely_function(context.tree, node)
                    if called is not None and called not in seen:
                        seen.add(called)
                        deeper.append(called)
        todo = deeper


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


def task_name(context: Context, site: Site) -> str:
    """Return the local that is to hold the task of ``site``: the user's, or a free one.

    One of ours is bound again where a type checker does not mind: nobody reads it in between.
    """
    return site.target or context.locals.again("task", site.call, _type_of_task(context, site))


def local_lasts(context: Context, site: Site) -> bool:
    """Tell whether a local of the function around ``site`` would hold the task, done or not.

    Nobody would hear of its failure for as long.
    """
    function = site.function
    return isinstance(function, syntax.FunctionDef) and (
        context.judge.ownership.flow.never_leaves(site.call)
        or (function.asynchronous and is_main(context.tree, function))
        or shows_locals(context.file, function)
    )


def _type_of_task(context: Context, site: Site) -> str:
    """Return what tells the type of the task from others in the function, ``""`` if nothing."""
    around = site.function
    if isinstance(around, syntax.FunctionDef) and around.returns is None:
        params = around.params
        if not any(p.annotation for p in (*params.params, *params.kwonly_params)):
            return "untyped"  # its body is not checked
    worker = worker_of(context, site)
    if worker is None or worker.returns is None or not worker.asynchronous:
        return ""
    return context.file.code(worker.returns.annotation)


def unstoppable(context: Context, site: Site) -> str:
    """Return why no shutdown could end the task of ``site`` by cancelling it, or ``""``."""
    worker = worker_of(context, site)
    if worker is None or not any(swallowers(context.tree, worker)):
        return ""
    return (
        f"{worker.name.value}() catches CancelledError in its loop and goes on, so that a shutdown "
        "could not end it: let it re-raise first"
    )


def owner_mark(path: str) -> str:
    """Return what stands in ``used_names`` for an object whose method runs as the task."""
    return f"{last_part(path)}." if path else ""


def used_names(context: Context, site: Site) -> frozenset[str]:
    """Return the names by which a shutdown could talk to the task that ``site`` starts.

    Those are the names in the spawned call, what its variables were made of in the same function,
    and what the coroutine's body mentions, if it is in this file. The object whose method is
    spawned is in it by its ``owner_mark``, too.
    """
    file, coroutine = context.file, site.coroutine
    if coroutine is None:
        return frozenset()
    found = set(names_in(file, coroutine))
    if site.function is not None:
        for node in file.inside(site.function):
            if isinstance(node, syntax.Assign) and any(
                dotted(target.target) in found for target in node.targets
            ):
                found |= names_in(file, node.value)
    function = worker_of(context, site)
    if function is not None:
        found |= names_in(file, function.body)
    path = dotted(coroutine.func) if isinstance(coroutine, syntax.Call) else ""
    owner = path.rpartition(".")[0]
    own = {path.partition(".")[0]} - {""}
    if last_part(owner) not in EVERYWHERE:
        own.add(owner_mark(owner))
    return (frozenset(found) - EVERYWHERE - {context.names.module_alias("asyncio")}) | own

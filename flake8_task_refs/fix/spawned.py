"""What runs as a task, and by which names a shutdown could talk to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import libcst as cst

from flake8_task_refs.analysis.cancellation import swallowers
from flake8_task_refs.analysis.helpers import likely_function
from flake8_task_refs.fix.free_names import names_in
from flake8_task_refs.fix.source import dotted

if TYPE_CHECKING:
    from flake8_task_refs.fix.contract import Context
    from flake8_task_refs.fix.repair_sites import Site

_EVERYWHERE: Final = frozenset(
    {"self", "cls", "asyncio", "app", "application", "state", "request", "logger", "logging"}
)


def worker_of(context: Context, site: Site) -> cst.FunctionDef | None:
    """Return the function of this file that ``site`` starts, if it is known."""
    coroutine = site.coroutine
    if not isinstance(coroutine, cst.Call):
        return None
    return likely_function(context.tree, coroutine)


def task_name(context: Context, site: Site) -> str:
    """Return the local that is to hold the task of ``site``: the user's, or a free one.

    One of ours is bound again where a type checker does not mind: nobody reads it in between.
    """
    return site.target or context.locals.again("task", site.call, _type_of_task(context, site))


def _type_of_task(context: Context, site: Site) -> str:
    """Return what tells the type of the task from others in the function, ``""`` if nothing."""
    around = site.function
    if isinstance(around, cst.FunctionDef) and around.returns is None:
        params = around.params
        if not any(p.annotation for p in (*params.params, *params.kwonly_params)):
            return "untyped"  # its body is not checked
    worker = worker_of(context, site)
    if worker is None or worker.returns is None or worker.asynchronous is None:
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


def used_names(context: Context, site: Site) -> frozenset[str]:
    """Return the names by which a shutdown could talk to the task that ``site`` starts.

    Those are the names in the spawned call, what its variables were made of in the same function,
    and what the coroutine's body mentions, if it is in this file.
    """
    file, coroutine = context.file, site.coroutine
    if coroutine is None:
        return frozenset()
    found = set(names_in(file, coroutine))
    if site.function is not None:
        for node in file.inside(site.function):
            if isinstance(node, cst.Assign) and any(
                dotted(target.target) in found for target in node.targets
            ):
                found |= names_in(file, node.value)
    function = worker_of(context, site)
    if function is not None:
        found |= names_in(file, function.body)
    owner = dotted(coroutine.func).partition(".")[0] if isinstance(coroutine, cst.Call) else ""
    own = frozenset({owner}) if owner else frozenset()
    return (frozenset(found) - _EVERYWHERE - {context.names.module_alias("asyncio")}) | own

"""What runs as a task, and by which names a shutdown could talk to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.cancellation import swallowers
from flake8_task_refs.analysis.helpers import likely_function
from flake8_task_refs.fix.free_names import names_in
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

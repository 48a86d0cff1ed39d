"""The local that holds a task until it is kept, and whether it would hold it for too long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.lifetime import is_main
from flake8_task_refs.fix.repair_sites import shows_locals
from flake8_task_refs.fix.worker import LikelyWorker

if TYPE_CHECKING:
    from flake8_task_refs.fix.contract import Context
    from flake8_task_refs.fix.repair_sites import Site


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
    worker = LikelyWorker.of(context, site).function
    if worker is None or worker.returns is None or not worker.asynchronous:
        return ""
    return context.file.code(worker.returns.annotation)

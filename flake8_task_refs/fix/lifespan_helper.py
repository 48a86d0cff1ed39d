"""Functions of the file that a lifespan gives its application, for them to start tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.helpers import Helper, parameter_of
from flake8_task_refs.fix import app_state

if TYPE_CHECKING:
    from flake8_task_refs.fix.contract import Context
    from flake8_task_refs.fix.repair_sites import Site


@dataclass(frozen=True, slots=True)
class LifespanHelper:
    """``call``, in ``lifespan``, runs a function that knows the application as ``application``."""

    lifespan: syntax.FunctionDef
    call: syntax.Call
    application: str


def helper_of(context: Context, site: Site) -> LifespanHelper | None:
    """Return how a lifespan calls the function of ``site``, if nothing else does.

    What other files call as well, a test for example, has a name without an underscore.
    """
    function = site.function
    if not isinstance(function, syntax.FunctionDef) or function.decorators:
        return None
    if not function.name.value.startswith("_"):
        return None
    call = _only_call(context, function)
    lifespan = context.file.function(call) if call is not None else None
    if call is None or not isinstance(lifespan, syntax.FunctionDef):
        return None
    if function.asynchronous and not isinstance(context.file.parent(call), syntax.Await):
        return None
    application = context.judge.application(lifespan)
    if application is None or not application.yields or not app_state.has_state(context, lifespan):
        return None
    name = _given(context, function, lifespan, call)
    return LifespanHelper(lifespan, call, name) if name else None


def _only_call(context: Context, function: syntax.FunctionDef) -> syntax.Call | None:
    """Return the call of ``function``, one of the module, if it is named nowhere else."""
    scope, name = context.tree.scope[function], function.name.value
    if scope.kind != "module" or len(scope.stores.get(name, ())) != 1:
        return None
    uses = list(scope.uses(name))
    call = context.file.parent(uses[0]) if len(uses) == 1 else None
    return call if isinstance(call, syntax.Call) and call.func is uses[0] else None


def _given(
    context: Context, function: syntax.FunctionDef, lifespan: syntax.FunctionDef, call: syntax.Call
) -> str:
    """Return the parameter of ``function`` that is the application of ``lifespan``, or ``""``."""
    own = app_state.parameter_of(context, lifespan)
    for arg in call.args:
        if own is None or not isinstance(arg.value, syntax.Name) or arg.star:
            continue
        name = parameter_of(Helper(context.tree, function, bound=False), call, arg) or ""
        if arg.value.value == own.name.value and _is_bound_once(context, lifespan, arg.value.value):
            return name if _is_bound_once(context, function, name) else ""
    return ""


def _is_bound_once(context: Context, function: syntax.FunctionDef, name: str) -> bool:
    return len(context.tree.inner[function].stores.get(name, ())) == 1

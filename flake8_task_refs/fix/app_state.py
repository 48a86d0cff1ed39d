"""Where an application has a ``state`` that takes any attribute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.syntax import last_name
from flake8_task_refs.fix.source import dotted, last_part

if TYPE_CHECKING:
    from flake8_task_refs.fix.contract import Context

_HAVE_STATE: Final = frozenset({"FastAPI", "Starlette", "Litestar"})
_USUAL_NAMES: Final = frozenset({"app", "application", "api"})


def replaces_state(context: Context) -> bool:
    """Tell whether the file gives an application a ``state`` of its own: ``app.state = State()``.

    That may have no room for another attribute, or come after one has been set.
    """
    targets = [
        target.target
        for assign in context.file.assignments()
        for target in (assign.targets if isinstance(assign, syntax.Assign) else [assign])
    ]
    return any(
        isinstance(target, syntax.Attribute)
        and target.attr.value == "state"
        and _is_application(context, target.value)
        for target in targets
    )


def _is_application(context: Context, node: syntax.BaseExpression) -> bool:
    """Tell whether ``node`` is an application, by what makes it, by its annotation or by name."""
    name = last_name(node)
    if name in _USUAL_NAMES or name.endswith("_app"):
        return True
    if not isinstance(node, syntax.Name):
        return False
    if name == "self":
        around = context.tree.class_around(node)
        bases = around.bases if around is not None else ()
        return any(last_part(context.names.canonical(base.value)) in _HAVE_STATE for base in bases)
    scope = context.tree.scope[node].owner(name)
    holders = [
        context.tree.parent[store] for store in (scope.stores.get(name, ()) if scope else ())
    ]
    return any(_says_application(context, holder) for holder in holders)


def _says_application(context: Context, holder: syntax.Node) -> bool:
    """Tell whether what binds a name says that it is an application."""
    if isinstance(holder, syntax.AssignTarget):
        holder = context.tree.parent[holder]
    annotation = getattr(holder, "annotation", None)
    said = annotation.annotation if isinstance(annotation, syntax.Annotation) else None
    value = getattr(holder, "value", None)
    made = value.func if isinstance(value, syntax.Call) else None
    return any(
        last_part(context.names.canonical(node)) in _HAVE_STATE for node in (said, made) if node
    )


def _is_passed_as_lifespan(context: Context, name: str) -> bool:
    """Tell whether an application that has a ``.state`` gets ``name`` as its ``lifespan=``."""
    for node in context.tree.calls:
        if last_part(context.names.canonical(node.func)) not in _HAVE_STATE:
            continue
        for arg in node.args:
            if arg.keyword is None or arg.keyword.value != "lifespan":
                continue
            values = [arg.value]
            if isinstance(arg.value, (syntax.List, syntax.Tuple)):
                values = [element.value for element in arg.value.elements]
            if any(last_part(dotted(value)) == name for value in values):
                return True
    return False


def parameter_of(context: Context, function: syntax.FunctionDef) -> syntax.Param | None:
    """Return the first parameter after ``self``."""
    params = [*function.params.posonly_params, *function.params.params]
    if context.file.method_class(function) is not None and params:
        params = params[1:]
    return params[0] if params else None


def _annotated(context: Context, function: syntax.FunctionDef) -> str:
    """Return the kind of application that the parameter is annotated with, or ``""``."""
    parameter = parameter_of(context, function)
    if parameter is None or parameter.annotation is None:
        return ""
    annotation = parameter.annotation.annotation
    if isinstance(annotation, syntax.SimpleString):
        name = last_part(str(annotation.evaluated_value))
    else:
        name = last_part(context.names.canonical(annotation))
    return name if name in _HAVE_STATE else ""


def has_state(context: Context, function: syntax.FunctionDef) -> bool:
    """Tell whether the parameter is an application that has a ``.state`` as it was made with."""
    parameter = parameter_of(context, function)
    if parameter is None or parameter.name.value.strip("_") == "" or replaces_state(context):
        return False
    if parameter.annotation is not None:
        return bool(_annotated(context, function))
    return _is_passed_as_lifespan(context, function.name.value)

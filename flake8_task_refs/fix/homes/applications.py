"""Which functions are lifespans, and what their application can hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import libcst as cst

from flake8_task_refs.fix.source import dotted, last_part

if TYPE_CHECKING:
    from flake8_task_refs.fix.plan import Context

_APPLICATIONS: Final = frozenset({"FastAPI", "Starlette", "Litestar"})


def is_lifespan(context: Context, function: cst.FunctionDef) -> bool:
    """Tell whether ``function`` is an application's lifespan, or an aiohttp ``cleanup_ctx``."""
    if function.asynchronous is None or not yields_of(context, function):
        return False
    name = function.name.value
    if _is_cleanup_context(context, name):
        return True
    if not any(
        last_part(context.names.canonical(decorator.decorator)) == "asynccontextmanager"
        for decorator in function.decorators
    ):
        return False
    return (
        "lifespan" in name.lower()
        or _application(context, function) != ""
        or _is_passed_as_lifespan(context, name)
    )


def yields_of(context: Context, function: cst.FunctionDef) -> list[cst.Yield]:
    """Return the ``yield`` expressions of ``function`` itself."""
    return [
        node
        for node in context.file.inside(function.body, into_scopes=False)
        if isinstance(node, cst.Yield)
    ]


def _is_cleanup_context(context: Context, name: str) -> bool:
    for node in context.file.all(cst.Call):
        if not isinstance(node.func, cst.Attribute):
            continue
        owner = node.func.value
        if isinstance(owner, cst.Attribute) and owner.attr.value == "cleanup_ctx":
            given = [
                element.value
                for arg in node.args
                for element in (
                    arg.value.elements if isinstance(arg.value, (cst.List, cst.Tuple)) else [arg]
                )
            ]
            if any(last_part(dotted(value)) == name for value in given):
                return True
    return False


def _is_passed_as_lifespan(
    context: Context, name: str, owners: frozenset[str] | None = None
) -> bool:
    """Tell whether a call (of one of ``owners``, if given) gets ``name`` as its ``lifespan=``."""
    for node in context.file.all(cst.Call):
        if owners is not None and last_part(context.names.canonical(node.func)) not in owners:
            continue
        for arg in node.args:
            if arg.keyword is None or arg.keyword.value != "lifespan":
                continue
            values = [arg.value]
            if isinstance(arg.value, (cst.List, cst.Tuple)):
                values = [element.value for element in arg.value.elements]
            if any(last_part(dotted(value)) == name for value in values):
                return True
    return False


def parameter_of(context: Context, function: cst.FunctionDef) -> cst.Param | None:
    """Return the first parameter after ``self``."""
    params = [*function.params.posonly_params, *function.params.params]
    if context.file.method_class(function) is not None and params:
        params = params[1:]
    return params[0] if params else None


def _application(context: Context, function: cst.FunctionDef) -> str:
    """Return the kind of application that the parameter is annotated with, or ``""``."""
    parameter = parameter_of(context, function)
    if parameter is None or parameter.annotation is None:
        return ""
    annotation = parameter.annotation.annotation
    if isinstance(annotation, cst.SimpleString):
        name = last_part(str(annotation.raw_value))
    else:
        name = last_part(context.names.canonical(annotation))
    return name if name in _APPLICATIONS else ""


def has_state(context: Context, function: cst.FunctionDef) -> bool:
    """Tell whether the parameter is an application that has a ``.state``."""
    parameter = parameter_of(context, function)
    if parameter is None or parameter.name.value.strip("_") == "":
        return False
    if parameter.annotation is not None:
        return bool(_application(context, function))
    return _is_passed_as_lifespan(context, function.name.value, _APPLICATIONS)

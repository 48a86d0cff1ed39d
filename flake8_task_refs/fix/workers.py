"""What runs as a task: the coroutine function in the same file, what it uses, how it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import libcst as cst

from flake8_task_refs.fix.names import FileNames, last_name_of, names_in
from flake8_task_refs.fix.source import SourceFile, dotted, last_part

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flake8_task_refs.fix.sites import Site

_EVERYWHERE: Final = frozenset(
    {"self", "cls", "asyncio", "app", "application", "state", "request", "logger", "logging"}
)
_LEAVES: Final = (cst.Raise, cst.Return, cst.Break)


def definition(file: SourceFile, site: Site) -> cst.FunctionDef | None:
    """Return the function of this file that ``site`` starts, if it is known."""
    coroutine = site.coroutine
    if not isinstance(coroutine, cst.Call):
        return None
    return called_function(file, coroutine, site.call)


def called_function(file: SourceFile, call: cst.Call, where: cst.CSTNode) -> cst.FunctionDef | None:
    """Return the function of this file that ``call``, which stands near ``where``, calls."""
    path = dotted(call.func)
    if not path:
        return None
    name = last_part(path)
    named = [function for function in file.functions() if function.name.value == name]
    if "." not in path:
        named = [function for function in named if file.method_class(function) is None]
        return named[-1] if named else None
    owner = path.rpartition(".")[0]
    if owner in {"self", "cls"}:
        classes = [outer for outer in file.ancestors(where) if isinstance(outer, cst.ClassDef)]
        named = [f for f in named if classes and file.method_class(f) is classes[0]]
    else:
        named = [f for f in named if file.method_class(f) is not None]
    return named[0] if len(named) == 1 else None


def used_names(file: SourceFile, names: FileNames, site: Site) -> frozenset[str]:
    """Return the names by which a shutdown could talk to the task that ``site`` starts.

    Those are the names in the spawned call, what its variables were made of in the same function,
    and what the coroutine's body mentions, if it is in this file.
    """
    coroutine = site.coroutine
    if coroutine is None:
        return frozenset()
    found = set(names_in(file, coroutine))
    if site.function is not None:
        for node in file.inside(site.function):
            if isinstance(node, cst.Assign) and any(
                dotted(target.target) in found for target in node.targets
            ):
                found |= names_in(file, node.value)
    function = definition(file, site)
    if function is not None:
        found |= names_in(file, function.body)
    owner = dotted(coroutine.func).partition(".")[0] if isinstance(coroutine, cst.Call) else ""
    own = frozenset({owner}) if owner else frozenset()
    return (frozenset(found) - _EVERYWHERE - {names.module_alias("asyncio")}) | own


def swallows_cancellation(file: SourceFile, names: FileNames, function: cst.FunctionDef) -> bool:
    """Tell whether ``function`` catches ``CancelledError`` in a loop and goes on."""
    for loop in file.inside(function.body, into_scopes=False):
        if not isinstance(loop, cst.While) and not (
            isinstance(loop, cst.For) and loop.asynchronous
        ):
            continue
        for node in file.inside(loop.body, into_scopes=False):
            if isinstance(node, (cst.Try, cst.TryStar)) and _goes_on(file, names, node):
                return True
            if isinstance(node, cst.With) and any(
                _suppresses(names, item.item) for item in node.items
            ):
                return True
    return False


def _goes_on(file: SourceFile, names: FileNames, node: cst.Try | cst.TryStar) -> bool:
    if not any(isinstance(inner, cst.Await) for inner in file.inside(node.body)):
        return False
    for handler in node.handlers:
        kinds = list(_kinds(names, handler.type))
        if handler.type is not None and not set(kinds) & {"CancelledError", "BaseException"}:
            continue
        # The first handler that takes a cancellation decides.
        leaves = any(
            isinstance(inner, _LEAVES) for inner in file.inside(handler.body, into_scopes=False)
        )
        return not leaves and not _awaits_cancelled(file, node)
    return False


def _awaits_cancelled(file: SourceFile, node: cst.Try | cst.TryStar) -> bool:
    """Tell whether the body awaits a task that this function itself cancels."""
    function = file.function(node)
    return function is not None and any(
        isinstance(inner, cst.Call) and last_name_of(inner.func) == "cancel"
        for inner in file.inside(function)
    )


def _suppresses(names: FileNames, item: cst.BaseExpression) -> bool:
    return (
        isinstance(item, cst.Call)
        and last_name_of(item.func) == "suppress"
        and any(
            last_part(names.canonical(arg.value)) in {"CancelledError", "BaseException"}
            for arg in item.args
        )
    )


def _kinds(names: FileNames, node: cst.BaseExpression | None) -> Iterator[str]:
    if isinstance(node, cst.Tuple):
        for element in node.elements:
            yield from _kinds(names, element.value)
    elif node is not None:
        yield last_part(names.canonical(node))


def runs_for_ever(file: SourceFile, function: cst.FunctionDef) -> bool:
    """Tell whether ``function`` loops without a visible end: ``while True`` or ``async for``."""
    return any(
        (isinstance(node, cst.For) and node.asynchronous is not None)
        or (isinstance(node, cst.While) and dotted(node.test) not in {"", "False"})
        or (isinstance(node, cst.While) and isinstance(node.test, cst.UnaryOperation))
        for node in file.inside(function.body, into_scopes=False)
    )

"""Functions that an application runs when it starts and when it stops, and how they are registered.

For those who have the whole file as one tree and want to write a hook, or into one. Whether one
function is a hook, ``applications`` tells from the text alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.syntax import dotted_text, last_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flake8_task_refs.analysis.names import Names
    from flake8_task_refs.analysis.tree import Scope, Tree

STARTUP: Final = "startup"
# aiohttp's two: shutdown handlers run before clean-up handlers.
STOPS: Final = ("shutdown", "cleanup")
_EVENTS: Final = (STARTUP, *STOPS)

# How a hook is registered.
DECORATOR: Final = "decorator"  # @app.on_event("startup")
HANDLER: Final = "handler"  # app.add_event_handler("startup", start)
ARGUMENT: Final = "argument"  # FastAPI(on_startup=[start])
SIGNAL: Final = "signal"  # app.on_startup.append(start)


@dataclass(frozen=True, eq=False)
class Hook:
    """One registration of a hook.

    ``app`` is the application as the registering code writes it (``""`` for an application that
    gets no name), ``function`` is None if it is not a function of this file. ``node`` is the
    decorator, the call or the argument that registers.
    """

    event: str
    how: str
    app: str
    function: syntax.FunctionDef | None
    node: syntax.Node


def hooks(tree: Tree) -> list[Hook]:
    """Return the hooks that ``tree``, that of a whole file, registers, in source order."""
    found: list[Hook] = []
    for call in tree.calls:
        found += _registered(tree, call)
    return found


def made_by(
    tree: Tree, names: Names, app: str, near: syntax.Node
) -> tuple[syntax.Call, str] | None:
    """Return the call that makes the application ``app``, as seen from ``near``, and what it calls.

    The latter is a canonical name, or the name as it is written. None unless ``app`` is a variable
    that is assigned once, by a call.
    """
    scope = tree.scope[near].owner(app)
    stores = scope.stores.get(app, ()) if scope is not None else ()
    if len(stores) != 1:
        return None
    holder = tree.parent[stores[0]]
    assign = tree.parent[holder] if isinstance(holder, syntax.AssignTarget) else holder
    value = assign.value if isinstance(assign, (syntax.Assign, syntax.AnnAssign)) else None
    if not isinstance(value, syntax.Call):
        return None
    return value, names.canonical(tree, value.func) or dotted_text(value.func) or ""


def _registered(tree: Tree, call: syntax.Call) -> Iterator[Hook]:
    method = last_name(call.func)
    owner = call.func.value if isinstance(call.func, syntax.Attribute) else None
    values = [arg.value for arg in call.args if arg.keyword is None and not arg.star]
    if method == "on_event" and owner is not None and values:
        decorator = tree.parent[call]
        function = tree.parent[decorator] if isinstance(decorator, syntax.Decorator) else None
        event = _text(values[0])
        if event in _EVENTS and isinstance(function, syntax.FunctionDef):
            yield Hook(event, DECORATOR, dotted_text(owner) or "", function, decorator)
    elif method == "add_event_handler" and owner is not None and len(values) == 2:
        event = _text(values[0])
        if event in _EVENTS:
            app = dotted_text(owner) or ""
            yield Hook(event, HANDLER, app, _named(tree, values[1]), call)
    elif method in ("append", "extend") and isinstance(owner, syntax.Attribute):
        event = owner.attr.value.removeprefix("on_")
        if owner.attr.value.startswith("on_") and event in _EVENTS:
            app = dotted_text(owner.value) or ""
            for value in values:
                for item in _items(value):
                    yield Hook(event, SIGNAL, app, _named(tree, item), call)
    for arg in call.args:
        event = arg.keyword.value.removeprefix("on_") if arg.keyword is not None else ""
        if arg.keyword is not None and arg.keyword.value.startswith("on_") and event in _EVENTS:
            for item in _items(arg.value):
                yield Hook(event, ARGUMENT, _assigned_to(tree, call), _named(tree, item), arg)


def _text(node: syntax.BaseExpression) -> str:
    value = node.evaluated_value if isinstance(node, syntax.SimpleString) else None
    return value if isinstance(value, str) else ""


def _items(node: syntax.BaseExpression) -> list[syntax.BaseExpression]:
    if isinstance(node, (syntax.List, syntax.Tuple)):
        return [element.value for element in node.elements]
    return [node]


def _named(tree: Tree, node: syntax.BaseExpression) -> syntax.FunctionDef | None:
    """Return the function that ``node`` names, None if that is not one of this file."""
    if not isinstance(node, syntax.Name):
        return None
    scope: Scope | None = tree.scope[node].owner(node.value)
    stores = scope.stores.get(node.value, ()) if scope is not None else ()
    holder = tree.parent[stores[0]] if len(stores) == 1 else None
    return holder if isinstance(holder, syntax.FunctionDef) else None


def _assigned_to(tree: Tree, call: syntax.Call) -> str:
    """Return the name that the value of ``call`` is assigned to, or ``""``."""
    assign = tree.parent[call]
    if isinstance(assign, syntax.Assign) and len(assign.targets) == 1:
        target: syntax.Node = assign.targets[0].target
    elif isinstance(assign, syntax.AnnAssign):
        target = assign.target
    else:
        return ""
    return target.value if isinstance(target, syntax.Name) else ""

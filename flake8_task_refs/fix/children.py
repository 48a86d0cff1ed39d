"""What a worker runs in tasks of its own and waits for, and may end the worker's object.

Such a child is not the worker itself: a close method that it calls would wait for the worker, which
waits for the child.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.helpers import likely_function
from flake8_task_refs.analysis.names import assigned_value
from flake8_task_refs.analysis.syntax import last_name
from flake8_task_refs.fix.plain_class import methods
from flake8_task_refs.fix.source import dotted
from flake8_task_refs.fix.spawned import calls_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flake8_task_refs.fix.contract import Context

# What somebody may have set, for it to be called when all is over.
_HOOK: Final = re.compile(
    r"(?:\A|_)(?:error|exception|fail|failure|failed|lost|close|closed|disconnect|disconnected"
    r"|shutdown|exit|stop|stopped)(?:_|\Z)"
)
# What tells another object of something that has happened, and may so come back to its own.
_TELLS_OTHERS: Final = re.compile(
    r"_?(?:dispatch|notify|emit|fire|trigger|handle|invoke|callback|on)(?:_\w+)?\Z"
)
# These hand a cancellation on to what they wait for; `shield()` and `wait()` do not.
_WAITS: Final = frozenset({"gather", "wait_for"})
_SPAWNS: Final = frozenset({"create_task", "ensure_future", "start_soon"})
# Methods that read or write, and call nobody.
_TRANSPORT: Final = re.compile(
    r"(?:a?recv|receive|read|get|accept|wait|next|join|acquire|sleep|fetch|pop|consume|listen"
    r"|send|write|put|ping|drain|flush|close|aclose|cancel)(?:_?\w+)?\Z|__anext__\Z"
)


def calls_hook(context: Context, owner: syntax.ClassDef, worker: syntax.FunctionDef) -> bool:
    """Tell whether ``worker`` calls what was given to its object, and may close that.

    ``owner`` is the class of the object. The close method would wait for the task that waits for
    it.
    """
    own = _methods_of(context, owner)
    if _waits_for_strangers(context, worker, own):
        return True
    for call in calls_of(context, worker):
        if context.tree.class_around(call) not in _related(context, owner):
            continue  # it speaks of another object
        path = dotted(call.func)
        name = path.removeprefix("self.")
        if path == name or "." in name or name in own:
            continue
        if _HOOK.search(name) or any(dotted(arg.value) == "self" for arg in call.args):
            return True
    return False


def runs_what_it_is_given(
    context: Context, owner: syntax.ClassDef, worker: syntax.FunctionDef
) -> bool:
    """Tell whether ``worker`` runs anything that was given to it or to its object."""
    own = _methods_of(context, owner)
    return any(_is_handed(context, call, own) for call in calls_of(context, worker))


def may_come_back(context: Context, worker: syntax.FunctionDef) -> bool:
    """Tell whether ``worker`` tells another object of itself or its own, which may stop it then."""
    for call in calls_of(context, worker):
        receiver = dotted(call.func.value) if isinstance(call.func, syntax.Attribute) else ""
        if receiver in ("", "self", "cls"):
            continue
        if _TELLS_OTHERS.match(last_name(call.func)) or any(
            dotted(arg.value) == "self" for arg in call.args
        ):
            return True
    return False


def _related(context: Context, owner: syntax.ClassDef) -> list[syntax.ClassDef]:
    lineage = context.file.lineage(owner.name.value)
    return [one for one in context.file.all(syntax.ClassDef) if one.name.value in lineage]


def _methods_of(context: Context, owner: syntax.ClassDef) -> set[str]:
    return {method.name.value for one in _related(context, owner) for method in methods(one)}


def _waits_for_strangers(context: Context, worker: syntax.FunctionDef, own: set[str]) -> bool:
    """Tell whether ``worker`` waits for children that run what was given to its object.

    ``own`` are the names of the methods of its class.
    """
    return any(
        _is_stranger(context, call, own) or _leads_to_strangers(context, call, own)
        for spawning in calls_of(context, worker)
        if _makes_children(context, spawning)
        for call in _given(context, spawning)
    )


def _makes_children(context: Context, call: syntax.Call) -> bool:
    """Tell whether the function around ``call`` waits for tasks that run what ``call`` is given."""
    name = last_name(call.func)
    if name in _WAITS:
        return True
    if name not in _SPAWNS:
        return False
    receiver = dotted(call.func.value) if isinstance(call.func, syntax.Attribute) else "asyncio"
    in_group = receiver != "asyncio" and "loop" not in receiver.lower()
    return in_group or isinstance(context.file.parent(call), syntax.Await)


def _given(context: Context, spawning: syntax.Call) -> Iterator[syntax.Call]:
    """Yield the calls that make the coroutines for ``spawning``."""
    for arg in spawning.args:
        for made in _values(context, arg.value):
            for node in context.file.inside(made):
                if isinstance(node, syntax.Call) and last_name(node.func) not in _WAITS | _SPAWNS:
                    yield node


def _values(context: Context, node: syntax.BaseExpression) -> list[syntax.BaseExpression]:
    """Return ``node``, and what is assigned to it if it is a variable."""
    found = [node]
    if isinstance(node, syntax.Name):
        scope = context.tree.scope[node].owner(node.value)
        for store in scope.stores.get(node.value, ()) if scope is not None else ():
            value = assigned_value(context.tree, store)
            found += [value] if value is not None else []
    return found


def _is_stranger(context: Context, call: syntax.Call, own: set[str]) -> bool:
    """Tell whether ``call`` runs something that is known only to who made the object."""
    if _is_handed(context, call, own):
        return True
    root: syntax.Node = call.func
    while isinstance(root, (syntax.Attribute, syntax.Subscript)):
        root = root.value
    return (
        isinstance(call.func, syntax.Attribute)
        and not _TRANSPORT.match(call.func.attr.value)
        and isinstance(root, syntax.Name)
        and root.value not in ("self", "cls")
        and _is_variable(context, root)
    )


def _is_handed(context: Context, call: syntax.Call, own: set[str]) -> bool:
    """Tell whether ``call`` calls a variable, an item, or an attribute of its object."""
    called = call.func
    if isinstance(called, syntax.Attribute):
        return dotted(called.value) == "self" and called.attr.value not in own
    return not isinstance(called, syntax.Name) or _is_variable(context, called)


def _leads_to_strangers(context: Context, call: syntax.Call, own: set[str]) -> bool:
    function = likely_function(context.tree, call)
    return function is not None and any(
        _is_handed(context, inner, own) for inner in calls_of(context, function)
    )


def _is_variable(context: Context, name: syntax.Name) -> bool:
    """Tell whether ``name`` is a variable of a function, and no function or import in it."""
    tree = context.tree
    scope = tree.scope[name].owner(name.value)
    if scope is None or scope.kind == "module":
        return False
    return any(
        not isinstance(tree.parent[store], (syntax.FunctionDef, syntax.ClassDef))
        for store in scope.stores.get(name.value, ())
    )

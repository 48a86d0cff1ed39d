"""Whether every instance of a class gets what its ``__init__`` makes, once, and nobody minds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.syntax import last_name
from flake8_task_refs.fix.source import body_of, dotted, has_docstring, last_part

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flake8_task_refs.fix.contract import Context

_PLAIN_BASES: Final = frozenset({"builtins.object", "abc.ABC", "typing.Generic", "Generic", "ABC"})
# What a class has that cares which attributes its instances have.
_SHOWS_ATTRIBUTES: Final = frozenset(
    {"__slots__", "__getstate__", "__reduce__", "__setattr__", "__getattribute__", "__dict__"}
)
# Modules that copy an instance with all it has.
_COPIES: Final = frozenset(
    {"copy", "pickle", "cloudpickle", "dill", "deepcopy", "jsonpickle", "multiprocessing", "shelve"}
)
# What lists the attributes of an instance, or sends it to another process.
_LISTS: Final = frozenset({"__dict__", "asdict", "ProcessPoolExecutor", "multiprocessing"})
_INIT: Final = "__init__"


def is_plain(context: Context, owner: syntax.ClassDef) -> bool:
    """Tell whether an attribute more, set in ``__init__``, is there and does no harm."""
    return (
        not owner.decorators
        and not owner.keywords
        and _is_run_once(context, owner)
        and not names_of_body(context, owner) & _SHOWS_ATTRIBUTES
        and all(_is_plain_base(context, base.value) for base in owner.bases)
        and all(_calls_base(context, below) for below in _may_be_below(context, owner))
        and not _shows_attributes(context)
        and not _makes_past_init(context)
    )


def init_of(owner: syntax.ClassDef) -> syntax.FunctionDef | None:
    """Return the ``__init__`` of ``owner`` itself, if it is one that statements can be added to."""
    for method in methods(owner):
        if method.name.value == _INIT:
            plain = not method.decorators and self_of(method) == "self" and body_of(method)
            return method if plain else None
    return None


def methods(owner: syntax.ClassDef) -> Iterator[syntax.FunctionDef]:
    """Yield the methods of ``owner`` itself."""
    return (item for item in body_of(owner) if isinstance(item, syntax.FunctionDef))


def self_of(function: syntax.FunctionDef) -> str:
    """Return the name of the first parameter, ``""`` if there is none."""
    params = [*function.params.posonly_params, *function.params.params]
    return params[0].name.value if params else ""


def names_of_body(context: Context, owner: syntax.ClassDef) -> set[str]:
    """Return the names that stand in the body of ``owner``, outside of its methods."""
    return {
        node.value if isinstance(node, syntax.Name) else node.name.value
        for statement in body_of(owner)
        for node in (
            [statement]
            if isinstance(statement, syntax.FunctionDef)
            else context.file.inside(statement, into_scopes=False)
        )
        if isinstance(node, (syntax.Name, syntax.FunctionDef))
    }


def _is_run_once(context: Context, owner: syntax.ClassDef) -> bool:
    """Tell whether ``owner`` has an ``__init__`` that does not look as if it ran again.

    One that returns early has seen its instance before.
    """
    init = init_of(owner)
    return init is not None and not any(
        isinstance(jump, syntax.Return) for jump in context.tree.jumps(init.body)
    )


def _shows_attributes(context: Context) -> bool:
    """Tell whether the file copies instances, lists what they have, or has processes for them."""
    file, names = context.file, context.names
    origins = names.imports.values()
    return (
        any(origin.partition(".")[0] in _COPIES for origin in origins)
        or any(last_part(origin) in _LISTS for origin in origins)
        or any(node.attr.value in _LISTS for node in file.all(syntax.Attribute))
        or any(
            node.value == "vars" and names.canonical(node) == "builtins.vars"
            for node in file.all(syntax.Name)
        )
        or any(_runs_elsewhere(context, call) for call in context.tree.calls)
    )


def _runs_elsewhere(context: Context, call: syntax.Call) -> bool:
    """Tell whether an executor, perhaps one of processes, gets a method to run."""
    if last_name(call.func) != "run_in_executor" or len(call.args) < 2:
        return False
    pool, work = call.args[0].value, call.args[1].value
    return (
        dotted(pool) != "None"
        and dotted(work).startswith("self.")
        and "ThreadPoolExecutor" not in context.tree.outline.source
    )


def _makes_past_init(context: Context) -> bool:
    """Tell whether the file makes instances without ``__init__``, or calls it or sets it itself."""
    file = context.file
    return (
        any(function.name.value == "__new__" for function in file.functions())
        or any(
            node.attr.value == "__new__"
            or (node.attr.value == _INIT and not _is_of_base(context, node))
            for node in file.all(syntax.Attribute)
        )
        # `mock.patch.object(Store, "__init__")`
        or any(node.value.rstrip("'\"").endswith(_INIT) for node in file.all(syntax.SimpleString))
        or any(
            dotted(call.func) == "type" and len(call.args) > 1  # it makes a class
            for call in context.tree.calls
        )
    )


def _is_of_base(context: Context, node: syntax.Attribute) -> bool:
    """Tell whether ``node`` is what an ``__init__`` runs of a base: ``super().__init__()``."""
    call = context.tree.parent[node]
    if not isinstance(call, syntax.Call) or call.func is not node:
        return False
    if isinstance(node.value, syntax.Call):
        return last_name(node.value.func) == "super"
    function, around = context.file.function(node), context.tree.class_around(node)
    return (
        isinstance(function, syntax.FunctionDef)
        and function.name.value == _INIT
        and around is not None
        and dotted(node.value) in {dotted(base.value) for base in around.bases}
    )


def _may_be_below(context: Context, owner: syntax.ClassDef) -> Iterator[syntax.ClassDef]:
    """Yield the classes of the file that have ``owner`` as a base, or may have it."""
    below = context.file.subclasses(owner.name.value)
    for node in context.file.all(syntax.ClassDef):
        if node in below or any(_may_be_any(context, base.value) for base in node.bases):
            yield node


def _may_be_any(context: Context, base: syntax.BaseExpression) -> bool:
    """Tell whether ``base`` is a variable of a function, or another name of a class."""
    scope = context.tree.scope[base].owner(base.value) if isinstance(base, syntax.Name) else None
    if scope is None or not isinstance(base, syntax.Name):
        return False
    for store in scope.stores.get(base.value, ()):
        holder = context.tree.parent[store]
        if isinstance(holder, syntax.AssignTarget):
            holder = context.tree.parent[holder]
        if scope.kind == "function" and not isinstance(holder, syntax.ClassDef):
            return True
        if isinstance(holder, syntax.Assign) and dotted(holder.value) in {
            node.name.value for node in context.file.all(syntax.ClassDef)
        }:
            return True
    return False


def _calls_base(context: Context, below: syntax.ClassDef) -> bool:
    """Tell whether a class leaves it to its base to make an instance, or has it done first."""
    if below.decorators or names_of_body(context, below) & _SHOWS_ATTRIBUTES:
        return False
    for method in methods(below):
        if method.name.value == _INIT:
            body = list(body_of(method))
            first = body[1 if has_docstring(method) else 0 :][:1]
            return any(
                isinstance(node, syntax.Call) and last_name(node.func) == _INIT
                for item in first
                for node in context.file.inside(item)
            )
    return _INIT not in names_of_body(context, below)


def _is_plain_base(
    context: Context, base: syntax.BaseExpression, seen: frozenset[str] = frozenset()
) -> bool:
    """Tell whether ``base`` and its own bases, all of this file, do not mind an attribute more.

    ``seen`` are the classes below it.
    """
    if isinstance(base, syntax.Subscript):
        base = base.value
    if context.names.canonical(base) in _PLAIN_BASES:
        return True
    name = dotted(base)
    local = [
        node
        for node in context.file.module.body
        if isinstance(node, syntax.ClassDef) and node.name.value == name
    ]
    return (
        len(local) == 1
        and name not in seen
        and not local[0].decorators
        and not local[0].keywords
        and not names_of_body(context, local[0]) & _SHOWS_ATTRIBUTES
        and all(_is_plain_base(context, item.value, seen | {name}) for item in local[0].bases)
    )

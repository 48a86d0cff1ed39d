"""The file's own functions, as their callers see them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.inherited import bases_of, heirs
from flake8_task_refs.analysis.syntax import dotted_text, is_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from flake8_task_refs.analysis.outline import Definition, Outline
    from flake8_task_refs.analysis.tree import Tree


# What a method calls its object, or its class.
_OWN_CLASS: Final = ("self", "cls")
_MAX_DEPTH: Final = 10  # of classes


@dataclass(frozen=True, eq=False)
class Helper:
    """A function of the same file. ``bound`` tells that a call fills its first parameter."""

    tree: Tree
    function: syntax.FunctionDef
    bound: bool


def find_helper(
    tree: Tree, func: syntax.BaseExpression, parse: Callable[[int], Tree | None]
) -> Helper | None:
    """Return the module function or method of the same class that ``func`` names, if there is one.

    ``parse`` returns the tree around an offset of the source. A class has the methods of its first
    base as well, if that is of this file. Of another class of the file, static and class methods
    are returned as well. A name that is defined twice is left out.
    """
    outline = tree.outline
    if isinstance(func, syntax.Name):
        if not _is_of_module(tree, func):
            return None
        found, owner = outline.functions(func.value), ""
    elif isinstance(func, syntax.Attribute) and isinstance(func.value, syntax.Name):
        owner = func.value.value
        if owner in _OWN_CLASS:
            around = tree.class_around(func)
            found = _methods(outline, around.name.value, func.attr.value) if around else []
        elif _is_of_module(tree, func.value) and len(outline.top_level(owner)) == 1:
            found = outline.functions(func.attr.value, owner)
        else:
            return None
    elif isinstance(func, syntax.Attribute) and _is_super(func.value):
        owner, around = "self", tree.class_around(func)
        bases = bases_of(outline, around.name.value)[:1] if around else []
        found = _inherited(outline, bases[0], func.attr.value) if bases else []
    else:
        return None
    home = parse(found[0].header) if len(found) == 1 else None
    if home is None:
        return None
    line = home.outline.position(found[0].header)[0]
    for node in home.inner:
        if (
            isinstance(node, syntax.FunctionDef)
            and node.name.value == found[0].name
            and home.position(node.name)[0] == line
        ):
            kind = _kind(home, node)
            # What is called through its class has to be told its object.
            if kind is None or (kind == "method" and owner != "self") or _is_stub(home, node):
                return None
            return Helper(home, node, bound=kind in ("method", "classmethod"))
    return None


def _methods(outline: Outline, owner: str, name: str) -> list[Definition]:
    """Return the methods ``name`` that ``self`` has in the class ``owner``.

    One that it inherits is left out if a class below has another.
    """
    own = outline.functions(name, owner)
    if own or not outline.count(name) or _is_overridden(outline, owner, name):
        return own
    return _inherited(outline, owner, name)


def _is_overridden(outline: Outline, owner: str, name: str) -> bool:
    """Tell whether a class that derives from ``owner`` has a method ``name`` of its own."""
    key = (f"overridden below {owner}", name)
    known = outline.answers.get(key)
    if known is None:
        known = any(outline.functions(name, heir) for heir in heirs(outline, owner))
        outline.answers[key] = known
    return known


def _inherited(outline: Outline, owner: str, name: str) -> list[Definition]:
    """Return the methods ``name`` of the class ``owner``, or of the first base that has any."""
    for _ in range(_MAX_DEPTH):
        found = outline.functions(name, owner)
        bases = [] if found else bases_of(outline, owner)
        if not bases or len(outline.top_level(bases[0])) != 1:
            return found
        owner = bases[0]
    return []


def _is_super(node: syntax.BaseExpression) -> bool:
    return isinstance(node, syntax.Call) and is_name(node.func, "super") and not node.args


def find_coroutine(
    tree: Tree, call: syntax.Call, parse: Callable[[int], Tree | None]
) -> tuple[Tree, syntax.FunctionDef] | None:
    """Return the function of this file that ``call`` makes a coroutine of, if it is here.

    Unlike ``find_helper`` it finds what is defined in a function as well.
    """
    if isinstance(call.func, syntax.Name):
        scope = tree.scope[call.func].owner(call.func.value)
        if scope is not None and scope.kind == "function":
            for store in scope.stores.get(call.func.value, ()):
                holder = tree.parent[store]
                if isinstance(holder, syntax.FunctionDef):
                    return tree, holder
    helper = find_helper(tree, call.func, parse)
    return (helper.tree, helper.function) if helper is not None else None


def _is_of_module(tree: Tree, name: syntax.Name) -> bool:
    scope = tree.scope[name].owner(name.value)
    return scope is None or scope.kind == "module"


def _kind(home: Tree, function: syntax.FunctionDef) -> str | None:
    """Return what ``function`` is: function, method, staticmethod or classmethod.

    None if a decorator may change what is called. An own ``staticmethod`` is nobody's habit.
    """
    if not function.decorators:
        return "method" if home.method_class(function) is not None else "function"
    names = [dotted_text(item.decorator) for item in function.decorators]
    return names[0] if names in (["staticmethod"], ["classmethod"]) else None


def likely_function(tree: Tree, call: syntax.Call) -> syntax.FunctionDef | None:
    """Return the function of ``tree``, that of a whole file, which ``call`` probably runs.

    ``find_helper`` answers what is certain. This is for those who would rather look into a
    function too many: decorators do not matter, and ``anything.method()`` is the only method of
    that name.
    """
    if isinstance(call.func, syntax.Name):
        scope = tree.scope[call.func].owner(call.func.value)
        stores = scope.stores.get(call.func.value, ()) if scope is not None else ()
        defined = [
            holder
            for store in stores
            if isinstance(holder := tree.parent[store], syntax.FunctionDef)
        ]
        return defined[-1] if defined else None
    path = dotted_text(call.func)
    if path is None:
        return None
    owner, _, name = path.rpartition(".")
    named = [
        node
        for node in tree.inner
        if isinstance(node, syntax.FunctionDef) and node.name.value == name
    ]
    classes = {function: tree.method_class(function) for function in named}
    if owner in ("self", "cls"):
        around = tree.class_around(call)
        named = [f for f in named if around is not None and classes[f] is around]
    else:
        named = [f for f in named if classes[f] is not None]
    return named[0] if len(named) == 1 else None


def _is_stub(home: Tree, function: syntax.FunctionDef) -> bool:
    """Tell whether a body is only ``...``, ``pass``, a docstring or ``raise``."""
    home.steering()  # An excerpt shows a `raise` then; of the rest it tells whether there is any.
    return all(
        isinstance(small, (syntax.Pass, syntax.Raise))
        or (
            isinstance(small, syntax.Expr)
            and isinstance(
                small.value, (syntax.Ellipsis, syntax.SimpleString, syntax.ConcatenatedString)
            )
        )
        for line in function.body.body
        for small in (line.body if isinstance(line, syntax.SimpleStatementLine) else [line])
    )


def parameter_of(helper: Helper, call: syntax.Call, arg: syntax.Arg) -> str | None:
    """Return the name of the parameter that ``arg`` of ``call`` fills, None if it is not clear."""
    params = helper.function.params
    if arg.keyword is not None:
        names = [param.name.value for param in (*params.params, *params.kwonly_params)]
        return arg.keyword.value if arg.keyword.value in names else None
    at = int(helper.bound)
    for other in call.args:
        if other is arg:
            break
        if other.star:
            return None
        at += other.keyword is None
    positional = [*params.posonly_params, *params.params]
    return positional[at].name.value if at < len(positional) else None

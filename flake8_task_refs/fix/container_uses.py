"""Where a file mentions a container of tasks, and whether it counts them there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.syntax import last_name
from flake8_task_refs.fix.source import dotted, last_part

if TYPE_CHECKING:
    from flake8_task_refs.analysis.tree import Scope
    from flake8_task_refs.fix.source import SourceFile

_OWN: Final = frozenset({"self", "cls"})
# What gives on the elements of a container, of which some have them all first.
_COPIES: Final = frozenset({"frozenset", "list", "set", "sorted", "tuple"})
_PASSED_THROUGH: Final = _COPIES | {"enumerate", "iter", "reversed", "zip"}
_VIEWS: Final = frozenset({"copy", "items", "keys", "values"})
_WAITS: Final = frozenset({"as_completed", "gather", "shield", "wait", "wait_for"})


def uses_of(file: SourceFile, container: str, near: syntax.Node) -> list[syntax.Node]:
    """Return where ``file`` mentions what is called ``container`` at ``near``, in source order.

    An attribute of that name counts wherever it stands, but that of another class by its methods.
    """
    tree, name, home = file.tree, last_part(container), home_of(file, container, near)
    if "." not in container:
        return [
            node
            for node in file.all(syntax.Name)
            if node.value == name
            and not _is_attribute(file, node)
            and tree.scope[node].owner(name) is home
        ]
    owner = home if isinstance(home, syntax.ClassDef) else None
    return [
        node
        for node in file.all(syntax.Attribute)
        if node.attr.value == name
        and (
            owner is None
            or dotted(node.value) not in _OWN
            or _are_related(file, owner, tree.class_around(node))
        )
    ]


def home_of(file: SourceFile, container: str, near: syntax.Node) -> Scope | syntax.ClassDef | None:
    """Return what ``container``, as it is called at ``near``, belongs to: a scope, or a class.

    None for what is an attribute of any other object.
    """
    if "." not in container:
        return file.tree.scope[near].owner(container)
    return file.tree.class_around(near) if container.startswith("self.") else None


def _is_attribute(file: SourceFile, node: syntax.Name) -> bool:
    holder = file.parent(node)
    return isinstance(holder, syntax.Attribute) and holder.attr is node


def _are_related(file: SourceFile, owner: syntax.ClassDef, other: syntax.ClassDef | None) -> bool:
    """Tell whether one of two classes is the other, or has it as a base."""
    return other is not None and (
        owner.name.value in file.lineage(other.name.value)
        or other.name.value in file.lineage(owner.name.value)
    )


def whole(file: SourceFile, use: syntax.Node) -> tuple[syntax.Node, bool]:
    """Return what stands for all of the container at ``use``, and whether it is a copy.

    ``list(tasks)`` is one, ``tasks.values()`` is not.
    """
    node, copied = use, False
    while True:
        holder = file.parent(node)
        if isinstance(holder, syntax.Arg):
            call = file.parent(holder)
            if not isinstance(call, syntax.Call) or dotted(call.func) not in _PASSED_THROUGH:
                return node, copied
            copied |= dotted(call.func) in _COPIES
            node = call
        elif isinstance(holder, syntax.Attribute) and holder.attr.value in _VIEWS:
            copied |= holder.attr.value == "copy"
            node = file.parent(holder)
        else:
            return node, copied


def length_of(file: SourceFile, use: syntax.Node) -> syntax.Call | None:
    """Return the call of ``len()`` that counts the container at ``use``, if there is one."""
    arg = file.parent(whole(file, use)[0])
    call = file.parent(arg)
    if isinstance(arg, syntax.Arg) and isinstance(call, syntax.Call) and dotted(call.func) == "len":
        return call
    return None


def is_counted(file: SourceFile, use: syntax.Node) -> bool:
    """Tell whether ``len()`` of the container at ``use`` says more than whether it is empty."""
    length = length_of(file, use)
    return length is not None and not is_truth_test(file, length)


def is_truth_test(file: SourceFile, value: syntax.Node) -> bool:
    """Tell whether only the truth of ``value`` counts: ``if tasks``, ``len(tasks) > 0``."""
    holder = file.parent(value)
    if isinstance(holder, syntax.Comparison):
        others = [target.comparator for target in holder.comparisons]
        return (
            holder.left is value
            and len(others) == 1
            and isinstance(others[0], syntax.Integer)
            and others[0].evaluated_value == 0
        )
    while isinstance(holder, (syntax.BooleanOperation, syntax.UnaryOperation)):
        value, holder = holder, file.parent(holder)
    return (
        isinstance(holder, (syntax.If, syntax.While, syntax.IfExp)) and holder.test is value
    ) or isinstance(holder, syntax.CompIf)


def mentions(file: SourceFile, node: syntax.Node, names: set[str]) -> bool:
    """Tell whether one of the dotted ``names`` occurs in ``node``."""
    return any(
        isinstance(inner, (syntax.Name, syntax.Attribute)) and dotted(inner) in names
        for inner in file.inside(node)
    )


def is_wait(call: syntax.Call) -> bool:
    """Tell whether ``call`` waits for the tasks that it is given."""
    return last_name(call.func) in _WAITS

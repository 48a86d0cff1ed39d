"""What a test asserts of its tasks: where it is not so, the test fails, and nobody is misled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.syntax import is_name, last_name
from flake8_task_refs.analysis.tree import last_small

if TYPE_CHECKING:
    from flake8_task_refs.analysis.names import Names
    from flake8_task_refs.analysis.tree import Tree

# What a test says of itself when it fails.
_FAILURES: Final = ("fail(", "AssertionError")


def is_asserted(tree: Tree, condition: syntax.Node) -> bool:
    """Tell whether a test fails unless ``condition``, a call or a comparison, is true."""
    at = condition
    while _is_true_only_with(tree, at):
        at = tree.parent[at]
        if isinstance(at, syntax.Arg):
            at = tree.parent[at]
    outer = tree.parent[at]
    if isinstance(outer, syntax.Arg):
        asserts = tree.parent[outer]
        return isinstance(asserts, syntax.Call) and (
            last_name(asserts.func) == "assertTrue"
            or (
                last_name(asserts.func) in ("assertIs", "assertEqual")
                and any(is_name(arg.value, "True") for arg in asserts.args)
            )
        )
    if isinstance(outer, syntax.UnaryOperation) and outer.operator == "not":
        test = tree.parent[outer]
        if not isinstance(test, syntax.If) or not tree.outline.mentions(_FAILURES):
            return False
        tree.whole()
        return test.test is outer and _fails(test.body)
    return isinstance(outer, syntax.Assert) and outer.test is at


def is_asked_in_assert(tree: Tree, call: syntax.Call) -> bool:
    """Tell whether a test comes to an error unless ``call``, of ``result()``, has an answer.

    So it does in ``assert task.result() == 1``, unless that depends on a condition.
    """
    at: syntax.Node = call
    asserts: syntax.Node | None = None
    for outer in tree.ancestors(call):
        match outer:
            case syntax.FunctionDef():
                return asserts is not None
            case syntax.Assert():
                if outer.test is not at:
                    return False
                asserts = outer
            case syntax.BooleanOperation():
                if outer.left is not at:
                    return False
            case syntax.If() | syntax.IfExp() | syntax.While() | syntax.For() | syntax.Match():
                return False
            case syntax.ExceptHandler() | syntax.Lambda() | syntax.ListComp() | syntax.SetComp():
                return False
            case syntax.GeneratorExp() | syntax.DictComp() | syntax.ClassDef():
                return False
        at = outer
    return False


def _is_true_only_with(tree: Tree, node: syntax.Node) -> bool:
    """Tell whether what ``node`` is a part of is true only if it is: ``node and other``."""
    outer = tree.parent[node]
    match outer:
        case syntax.BooleanOperation():
            return outer.operator == "and"
        case syntax.Comparison(left=left, comparisons=[target]):
            other = target.comparator if left is node else left
            return target.operator in ("is", "==") and is_name(other, "True")
        case syntax.ComparisonTarget():
            return True
        case syntax.Element() | syntax.List() | syntax.Tuple():
            return _is_given_to_all(tree, node)
        case syntax.GeneratorExp() | syntax.ListComp():
            return outer.elt is node
        case syntax.Arg():
            return _is_given_to_all(tree, node)
        case _:
            return False


def _is_given_to_all(tree: Tree, node: syntax.Node) -> bool:
    """Tell whether ``node`` is what ``all(...)`` is given, or an item of it."""
    while isinstance(tree.parent[node], (syntax.Element, syntax.List, syntax.Tuple)):
        node = tree.parent[node]
    arg = tree.parent[node]
    call = tree.parent[arg] if isinstance(arg, syntax.Arg) else None
    return isinstance(call, syntax.Call) and is_name(call.func, "all")


def _fails(body: syntax.BaseSuite) -> bool:
    """Tell whether a block ends a test: ``self.fail()``, ``raise AssertionError``."""
    last = last_small(body)
    if isinstance(last, syntax.Raise):
        error = last.exc.func if isinstance(last.exc, syntax.Call) else last.exc
        return error is not None and last_name(error) == "AssertionError"
    return (
        isinstance(last, syntax.Expr)
        and isinstance(last.value, syntax.Call)
        and last_name(last.value.func) == "fail"
    )


def is_asserted_empty(tree: Tree, names: Names, container: syntax.Name) -> bool:
    """Tell whether the function asserts that nothing is in what it calls ``container``."""
    for use in tree.scope[container].uses(container.value):
        at = tree.parent[use]
        says_so = isinstance(at, syntax.UnaryOperation) and at.operator == "not"
        if isinstance(at, syntax.Arg) and isinstance(call := tree.parent[at], syntax.Call):
            at = tree.parent[call]
            says_so = (
                isinstance(at, syntax.Comparison)
                and names.canonical(tree, call.func) == "builtins.len"
                and holds_while_empty(at) is True
            )
        while says_so and _is_true_only_with(tree, at):
            at = tree.parent[at]
        outer = tree.parent[at]
        if says_so and isinstance(outer, syntax.Assert) and outer.test is at:
            return True
    return False


def holds_while_empty(comparison: syntax.Comparison) -> bool | None:
    """Tell whether ``len(x) == 0`` or such is true of what is empty; None of other comparisons."""
    [target, *others] = comparison.comparisons
    if others or not isinstance(target.comparator, syntax.Integer):
        return None
    asked = (target.comparator.value, target.operator)
    if asked in (("0", ">"), ("0", "!="), ("1", ">=")):
        return False
    if asked in (("0", "=="), ("1", "<")):
        return True
    return None

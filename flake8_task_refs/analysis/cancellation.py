"""Code that meets a CancelledError: what catches it, what goes on, what raises it anew.

``except Exception`` does not catch a cancellation (since Python 3.8); a bare ``except``,
``BaseException``, ``suppress(CancelledError)`` and a ``continue`` in a ``finally`` do.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import libcst as cst

from flake8_task_refs.analysis.tree import Tree, dotted_text, last_name, last_small

if TYPE_CHECKING:
    from collections.abc import Iterator


_RESULT: Final = re.compile(r"\.\s*(?:result|exception)\b")


def swallower(tree: Tree, node: cst.CSTNode) -> cst.CSTNode | None:
    """Return the part of ``node``, a statement in a loop, that swallows a cancellation, if any."""
    if isinstance(node, cst.With):
        entered = any(_names_cancellation(tree, item.item) for item in node.items)
        swallows = entered and _awaits(tree, node.body) and not _is_last_try(node.body)
        return node.items[0].item if swallows else None
    if not isinstance(node, (cst.Try, cst.TryStar)) or not _awaits(tree, node.body):
        return None
    if _is_last_try(node.body) or (node.orelse is not None and _is_last_try(node.orelse.body)):
        return None
    if node.finalbody is not None and any(
        isinstance(inner, cst.Continue) for inner in tree.walk(node.finalbody)
    ):
        return node.finalbody
    # Only the first handler that fits is run.
    first = next((handler for handler in node.handlers if _catches(handler)), None)
    if first is None or _leaves(tree, first.body):
        return None
    return first


def swallowers(
    tree: Tree, function: cst.FunctionDef
) -> Iterator[tuple[cst.While | cst.For, cst.CSTNode]]:
    """Yield the loops of ``function`` that go on after a cancellation, each with what caught it.

    A loop whose body cancels something itself may catch just that, and is passed over.
    """
    for loop in tree.walk(function.body):
        if not isinstance(loop, (cst.While, cst.For)) or cancels(tree, loop.body):
            continue
        if isinstance(loop, cst.For) and loop.asynchronous is None:
            continue
        for node in tree.walk(loop.body):
            catcher = swallower(tree, node)
            if catcher is not None:
                yield loop, catcher


def _is_last_try(body: cst.BaseSuite) -> bool:
    """Tell whether a loop is left as soon as ``body`` is through: it only tries again."""
    last = body.body[-1] if body.body else None
    small = last.body[-1] if isinstance(last, cst.SimpleStatementLine) else last
    return isinstance(small, (cst.Break, cst.Return))


def is_wide(handler: cst.ExceptHandler) -> bool:
    """Tell whether ``handler`` catches every error."""
    kind = handler.type
    if kind is None:
        return True
    kinds = [element.value for element in kind.elements] if isinstance(kind, cst.Tuple) else [kind]
    return any(last_name(item) in ("Exception", "BaseException") for item in kinds)


def _catches(handler: cst.ExceptHandler | cst.ExceptStarHandler) -> bool:
    """Tell whether ``handler`` catches a CancelledError."""
    kind = handler.type
    if kind is None:
        return True
    kinds = [element.value for element in kind.elements] if isinstance(kind, cst.Tuple) else [kind]
    return any(last_name(item) in ("CancelledError", "BaseException") for item in kinds)


def _may_hold_any(tree: Tree, errors: cst.CSTNode | None) -> bool:
    """Tell whether ``errors`` names a constant, such as ``ERRORS``, and no class of errors."""
    return errors is not None and any(
        isinstance(node, cst.Name) and node.value.isupper() and len(node.value) > 1
        for node in tree.walk(errors)
    )


def _names_cancellation(tree: Tree, manager: cst.BaseExpression) -> bool:
    """Tell whether a context manager is ``suppress(CancelledError)``."""
    return (
        isinstance(manager, cst.Call)
        and last_name(manager.func) == "suppress"
        and any(
            last_name(node) in ("CancelledError", "BaseException") for node in tree.walk(manager)
        )
    )


def _awaits(tree: Tree, body: cst.CSTNode) -> bool:
    """Tell whether ``body`` awaits anything but a bare name: that may be somebody else's task."""
    return any(
        isinstance(node, cst.Await) and not isinstance(node.expression, (cst.Name, cst.Attribute))
        for node in tree.walk(body)
    )


def _leaves(tree: Tree, body: cst.CSTNode) -> bool:
    leaving = (cst.Raise, cst.Return, cst.Break)
    return any(isinstance(node, leaving) for node in tree.walk(body))


def cancels(tree: Tree, body: cst.CSTNode) -> bool:
    """Tell whether ``body`` cancels something itself: the handler may be for that."""
    return any(
        isinstance(node, cst.Call) and last_name(node.func) == "cancel" and not node.args
        for node in tree.walk(body)
    )


def unguarded_results(tree: Tree, callback: cst.FunctionDef | cst.Lambda) -> list[cst.Call]:
    """Return where a done-callback asks a task that may be cancelled for its result: TSK302."""
    params = [*callback.params.posonly_params, *callback.params.params]
    if not params:
        return []
    name = params[-1].name.value
    if not _RESULT.search(tree.outline.source, tree.region.start, tree.region.end):
        return []
    asks: list[cst.Call] = []
    for node in tree.walk(callback.body):
        if not isinstance(node, cst.Call) or not isinstance(node.func, cst.Attribute):
            continue
        if dotted_text(node.func.value) != name:
            continue
        if node.func.attr.value == "cancelled":
            return []
        if node.func.attr.value in ("result", "exception"):
            asks.append(node)
    return [
        ask
        for at, ask in enumerate(asks)
        if not _is_guarded(tree, ask) and not any(_settles(tree, one, ask) for one in asks[:at])
    ]


def _settles(tree: Tree, before: cst.Call, ask: cst.Call) -> bool:
    """Tell whether nobody comes to ``ask`` if the task was cancelled, as ``before`` asked it, too.

    It has raised then, and who caught that, has left, or has told what is asked before ``ask``.
    """
    at: cst.CSTNode = before
    for outer in tree.ancestors(before):
        together = tree.holds(outer, ask)
        if not _always_runs(outer, at):
            return False
        if isinstance(outer, cst.Try):
            catcher = next((handler for handler in outer.handlers if _catches(handler)), None)
            if together:
                # Only the first handler that fits is run.
                return not any(
                    part is not None and tree.holds(part, ask)
                    for part in (catcher, outer.finalbody)
                )
            if (
                catcher is not None
                and not _surely_leaves(tree, catcher.body, ask)
                and not _is_told(tree, outer, ask)
            ):
                return False
        elif isinstance(outer, cst.With) and not together:
            if any(_names_cancellation(tree, item.item) for item in outer.items):
                return False
        elif together:
            return True
        at = outer
    return False


def _always_runs(outer: cst.CSTNode, part: cst.CSTNode) -> bool:
    """Tell whether ``part`` of ``outer`` runs whenever that does, and before the rest of it."""
    match outer:
        case cst.BooleanOperation() | cst.Comparison():
            return outer.left is part
        case cst.If() | cst.IfExp() | cst.While() | cst.Assert():
            return outer.test is part
        case cst.For():
            return outer.iter is part
        case cst.Try():
            return outer.body is part
        case cst.Match():
            return outer.subject is part
        case cst.CompFor() | cst.FunctionDef() | cst.Lambda() | cst.TryStar() | cst.MatchCase():
            return False
        case cst.GeneratorExp() | cst.ListComp() | cst.SetComp() | cst.DictComp():
            return False
    return True


def _surely_leaves(tree: Tree, body: cst.BaseSuite, ask: cst.CSTNode) -> bool:
    """Tell whether control never runs from the end of ``body`` to the later ``ask``."""
    small = last_small(body)
    if isinstance(small, cst.If):
        return _each_way_leaves(tree, small, ask)
    if isinstance(small, (cst.Break, cst.Continue)):
        loops = (at.body for at in tree.ancestors(body) if isinstance(at, (cst.While, cst.For)))
        return tree.holds(next(loops, tree.module), ask)
    if isinstance(small, cst.Expr) and isinstance(small.value, cst.Call):
        return last_name(small.value.func) in ("exit", "_exit", "abort")
    return isinstance(small, (cst.Return, cst.Raise))


def _each_way_leaves(tree: Tree, node: cst.If, ask: cst.CSTNode) -> bool:
    rest = node.orelse
    if rest is None or not _surely_leaves(tree, node.body, ask):
        return False
    if isinstance(rest, cst.If):
        return _each_way_leaves(tree, rest, ask)
    return _surely_leaves(tree, rest.body, ask)


def _is_told(tree: Tree, around: cst.Try, ask: cst.Call) -> bool:
    """Tell whether a condition of ``ask`` looks at a name that ``around``, before it, binds.

    ``error = None`` in a handler, then ``if error:`` or ``if error is None: return``.
    """
    bound = {
        target.target.value
        for node in tree.walk(around)
        if isinstance(node, cst.Assign)
        for target in node.targets
        if isinstance(target.target, cst.Name)
    }
    conditions: list[cst.CSTNode] = []
    for block, statement in tree.blocks(ask):
        for other in getattr(block, "body", ()):
            if other is statement:
                break
            if isinstance(other, cst.If) and _surely_leaves(tree, other.body, ask):
                conditions.append(other.test)
        holder = tree.parent.get(block)
        if isinstance(holder, cst.If):
            conditions.append(holder.test)
    return any(
        isinstance(node, cst.Name) and node.value in bound
        for condition in conditions
        for node in tree.walk(condition)
    )


def _is_guarded(tree: Tree, node: cst.CSTNode) -> bool:
    """Tell whether a try statement or ``suppress`` around ``node`` catches CancelledError.

    A constant of the file that holds classes of errors may hold this one.
    """
    for outer in tree.ancestors(node):
        if isinstance(outer, (cst.FunctionDef, cst.Lambda)):
            break
        if isinstance(outer, cst.Try) and tree.holds(outer.body, node):
            guarded = any(
                _catches(handler) or _may_hold_any(tree, handler.type) for handler in outer.handlers
            )
        elif isinstance(outer, cst.With):
            guarded = any(
                _names_cancellation(tree, item.item)
                or (isinstance(item.item, cst.Call) and _may_hold_any(tree, item.item))
                for item in outer.items
            )
        else:
            continue
        if guarded:
            return True
    return False

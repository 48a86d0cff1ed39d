"""Code that meets a CancelledError: what catches it, what goes on, what raises it anew.

``except Exception`` does not catch a cancellation (since Python 3.8); a bare ``except``,
``BaseException``, ``suppress(CancelledError)`` and a ``continue`` in a ``finally`` do.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.syntax import dotted_text, last_name
from flake8_task_refs.analysis.tree import Tree, last_small

if TYPE_CHECKING:
    from collections.abc import Iterator


# What catches the error of a task that was cancelled, and that of a future of another thread:
# the latter is `concurrent.futures.CancelledError`, an Exception.
_OF_TASKS: Final = ("CancelledError", "BaseException")
_OF_THREADS: Final = (*_OF_TASKS, "Exception", "Error")
_RESULT: Final = re.compile(r"\.\s*(?:result|exception)\b")


def swallower(tree: Tree, node: syntax.Node) -> syntax.Node | None:
    """Return the part of ``node``, a statement in a loop, that swallows a cancellation, if any."""
    if isinstance(node, syntax.With):
        entered = any(_names_cancellation(tree, item.item) for item in node.items)
        swallows = entered and _awaits(tree, node.body) and not _is_last_try(node.body)
        return node.items[0].item if swallows else None
    if not isinstance(node, (syntax.Try, syntax.TryStar)) or not _awaits(tree, node.body):
        return None
    if _is_last_try(node.body) or (node.orelse is not None and _is_last_try(node.orelse.body)):
        return None
    if node.finalbody is not None and any(
        isinstance(inner, syntax.Continue) for inner in tree.walk(node.finalbody)
    ):
        return node.finalbody
    # Only the first handler that fits is run.
    first = next((handler for handler in node.handlers if _catches(handler)), None)
    if first is None or _leaves(tree, first.body):
        return None
    return first


def swallowers(
    tree: Tree, function: syntax.FunctionDef
) -> Iterator[tuple[syntax.While | syntax.For, syntax.Node]]:
    """Yield the loops of ``function`` that go on after a cancellation, each with what caught it.

    A loop whose body cancels something itself may catch just that, and is passed over.
    """
    for loop in tree.walk(function.body):
        if not isinstance(loop, (syntax.While, syntax.For)) or cancels(tree, loop.body):
            continue
        if isinstance(loop, syntax.For) and not loop.asynchronous:
            continue
        for node in tree.walk(loop.body):
            catcher = swallower(tree, node)
            if catcher is not None:
                yield loop, catcher


def _is_last_try(body: syntax.BaseSuite) -> bool:
    """Tell whether a loop is left as soon as ``body`` is through: it only tries again."""
    last = body.body[-1] if body.body else None
    small = last.body[-1] if isinstance(last, syntax.SimpleStatementLine) else last
    return isinstance(small, (syntax.Break, syntax.Return))


def is_wide(handler: syntax.ExceptHandler) -> bool:
    """Tell whether ``handler`` catches every error."""
    return _names_one_of(handler.type, "Exception", "BaseException")


def _catches(
    handler: syntax.ExceptHandler | syntax.ExceptStarHandler, errors: tuple[str, ...] = _OF_TASKS
) -> bool:
    """Tell whether ``handler`` catches a CancelledError."""
    return _names_one_of(handler.type, *errors)


def _names_one_of(kind: syntax.BaseExpression | None, *errors: str) -> bool:
    """Tell whether a handler of the type ``kind`` is for one of ``errors``, or for all."""
    if kind is None:
        return True
    kinds = [item.value for item in kind.elements] if isinstance(kind, syntax.Tuple) else [kind]
    return any(last_name(item) in errors for item in kinds)


def _may_hold_any(tree: Tree, errors: syntax.Node | None) -> bool:
    """Tell whether ``errors`` names a constant, such as ``ERRORS``, and no class of errors."""
    return errors is not None and any(
        isinstance(node, syntax.Name) and node.value.isupper() and len(node.value) > 1
        for node in tree.walk(errors)
    )


def _names_cancellation(
    tree: Tree, manager: syntax.BaseExpression, errors: tuple[str, ...] = _OF_TASKS
) -> bool:
    """Tell whether a context manager is ``suppress(CancelledError)``."""
    return (
        isinstance(manager, syntax.Call)
        and last_name(manager.func) == "suppress"
        and any(last_name(node) in errors for node in tree.walk(manager))
    )


def _awaits(tree: Tree, body: syntax.Node) -> bool:
    """Tell whether ``body`` awaits anything but a bare name: that may be somebody else's task."""
    return any(
        isinstance(node, syntax.Await)
        and not isinstance(node.expression, (syntax.Name, syntax.Attribute))
        for node in tree.walk(body)
    )


def _leaves(tree: Tree, body: syntax.Node) -> bool:
    leaving = (syntax.Raise, syntax.Return, syntax.Break)
    return any(isinstance(node, leaving) for node in tree.walk(body))


def cancels(tree: Tree, body: syntax.Node) -> bool:
    """Tell whether ``body`` cancels something itself: the handler may be for that."""
    return any(
        isinstance(node, syntax.Call) and last_name(node.func) == "cancel" and not node.args
        for node in tree.walk(body)
    )


def ends_quietly(tree: Tree, function: syntax.FunctionDef) -> bool:
    """Tell whether ``function`` ends without an error where it is cancelled as it waits.

    So a task of it is hardly ever a cancelled one.
    """
    tree.whole()
    waits = [node for node in tree.walk(function.body) if _waits(node)]
    return bool(waits) and all(_is_caught_for_good(tree, wait) for wait in waits)


def _waits(node: syntax.Node) -> bool:
    if isinstance(node, (syntax.For, syntax.With, syntax.CompFor)):
        return bool(node.asynchronous)
    return isinstance(node, syntax.Await)


def _is_caught_for_good(tree: Tree, wait: syntax.Node) -> bool:
    """Tell whether a handler around ``wait`` catches a CancelledError, and raises none itself.

    What waits in such a handler, is cancelled a second time.
    """
    for outer in tree.ancestors(wait):
        if isinstance(outer, syntax.FunctionDef):
            return False
        if isinstance(outer, syntax.ExceptHandler) and _catches(outer):
            return True
        if isinstance(outer, syntax.With):
            caught = tree.holds(outer.body, wait) and any(
                _names_cancellation(tree, item.item) for item in outer.items
            )
            if caught:
                return True
        if not isinstance(outer, syntax.Try) or not tree.holds(outer.body, wait):
            continue
        # Only the first handler that fits is run.
        first = next((handler for handler in outer.handlers if _catches(handler)), None)
        if first is not None:
            return not any(isinstance(at, syntax.Raise) for at in tree.walk(first.body))
    return False


def unguarded_results(
    tree: Tree,
    callback: syntax.FunctionDef | syntax.Lambda,
    task: str,
    *,
    of_thread: bool = False,
) -> list[syntax.Call]:
    """Return where a done-callback asks a task that may be cancelled for its result: TSK302.

    ``task`` is the parameter that the task becomes; ``of_thread`` tells that this is a future of
    ``run_coroutine_threadsafe``.
    """
    errors = _OF_THREADS if of_thread else _OF_TASKS
    if not _RESULT.search(tree.outline.source, tree.region.start, tree.region.end):
        return []
    asks: list[syntax.Call] = []
    looks: list[syntax.Call] = []
    for node in tree.walk(callback.body):
        if not isinstance(node, syntax.Call) or not isinstance(node.func, syntax.Attribute):
            continue
        if dotted_text(node.func.value) != task:
            continue
        if node.func.attr.value == "cancelled":
            looks.append(node)
        elif node.func.attr.value in ("result", "exception"):
            asks.append(node)
    return [
        ask
        for at, ask in enumerate(asks)
        if all(_comes_first(tree, ask, look) for look in looks)
        and not _is_guarded(tree, ask, errors)
        and not any(_settles(tree, one, ask, errors) for one in asks[:at])
    ]


def _comes_first(tree: Tree, ask: syntax.Call, look: syntax.Call) -> bool:
    """Tell whether nobody comes to ``look``, a later ``cancelled()``, but by way of ``ask``."""
    at: syntax.Node = ask
    for outer in tree.ancestors(ask):
        if not _always_runs(outer, at):
            return False
        if tree.holds(outer, look):
            return tree.order[ask] < tree.order[look]
        at = outer
    return False


def _settles(tree: Tree, before: syntax.Call, ask: syntax.Call, errors: tuple[str, ...]) -> bool:
    """Tell whether nobody comes to ``ask`` if the task was cancelled, as ``before`` asked it, too.

    It has raised then, and who caught that, has left, or has told what is asked before ``ask``.
    """
    at: syntax.Node = before
    for outer in tree.ancestors(before):
        together = tree.holds(outer, ask)
        if not _always_runs(outer, at):
            return False
        if isinstance(outer, syntax.Try):
            catcher = next((one for one in outer.handlers if _catches(one, errors)), None)
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
        elif isinstance(outer, syntax.With) and not together:
            if any(_names_cancellation(tree, item.item, errors) for item in outer.items):
                return False
        elif together:
            return True
        at = outer
    return False


def _always_runs(outer: syntax.Node, part: syntax.Node) -> bool:
    """Tell whether ``part`` of ``outer`` runs whenever that does, and before the rest of it."""
    match outer:
        case syntax.BooleanOperation() | syntax.Comparison():
            return outer.left is part
        case syntax.If() | syntax.IfExp() | syntax.While() | syntax.Assert():
            return outer.test is part
        case syntax.For():
            return outer.iter is part
        case syntax.Try():
            return outer.body is part
        case syntax.Match():
            return outer.subject is part
        case (
            syntax.CompFor()
            | syntax.FunctionDef()
            | syntax.Lambda()
            | syntax.TryStar()
            | syntax.MatchCase()
        ):
            return False
        case syntax.GeneratorExp() | syntax.ListComp() | syntax.SetComp() | syntax.DictComp():
            return False
    return True


def _surely_leaves(tree: Tree, body: syntax.BaseSuite, ask: syntax.Node) -> bool:
    """Tell whether control never runs from the end of ``body`` to the later ``ask``."""
    small = last_small(body)
    if isinstance(small, syntax.If):
        return _each_way_leaves(tree, small, ask)
    if isinstance(small, (syntax.Break, syntax.Continue)):
        loops = (
            at.body for at in tree.ancestors(body) if isinstance(at, (syntax.While, syntax.For))
        )
        return tree.holds(next(loops, tree.module), ask)
    if isinstance(small, syntax.Expr) and isinstance(small.value, syntax.Call):
        return last_name(small.value.func) in ("exit", "_exit", "abort")
    return isinstance(small, (syntax.Return, syntax.Raise))


def _each_way_leaves(tree: Tree, node: syntax.If, ask: syntax.Node) -> bool:
    rest = node.orelse
    if rest is None or not _surely_leaves(tree, node.body, ask):
        return False
    if isinstance(rest, syntax.If):
        return _each_way_leaves(tree, rest, ask)
    return _surely_leaves(tree, rest.body, ask)


def _is_told(tree: Tree, around: syntax.Try, ask: syntax.Call) -> bool:
    """Tell whether a condition of ``ask`` looks at a name that ``around``, before it, binds.

    ``error = None`` in a handler, then ``if error:`` or ``if error is None: return``.
    """
    bound = {
        target.target.value
        for node in tree.walk(around)
        if isinstance(node, syntax.Assign)
        for target in node.targets
        if isinstance(target.target, syntax.Name)
    }
    conditions: list[syntax.Node] = []
    for block, statement in tree.blocks(ask):
        for other in getattr(block, "body", ()):
            if other is statement:
                break
            if isinstance(other, syntax.If) and _surely_leaves(tree, other.body, ask):
                conditions.append(other.test)
        holder = tree.parent.get(block)
        if isinstance(holder, syntax.If):
            conditions.append(holder.test)
    return any(
        isinstance(node, syntax.Name) and node.value in bound
        for condition in conditions
        for node in tree.walk(condition)
    )


def _is_guarded(tree: Tree, node: syntax.Node, errors: tuple[str, ...]) -> bool:
    """Tell whether a try statement or ``suppress`` around ``node`` catches CancelledError.

    A constant of the file that holds classes of errors may hold this one.
    """
    for outer in tree.ancestors(node):
        if isinstance(outer, (syntax.FunctionDef, syntax.Lambda)):
            break
        if isinstance(outer, syntax.Try) and tree.holds(outer.body, node):
            guarded = any(
                _catches(handler, errors) or _may_hold_any(tree, handler.type)
                for handler in outer.handlers
            )
        elif isinstance(outer, syntax.With):
            guarded = any(
                _names_cancellation(tree, item.item, errors)
                or (isinstance(item.item, syntax.Call) and _may_hold_any(tree, item.item))
                for item in outer.items
            )
        else:
            continue
        if guarded:
            return True
    return False

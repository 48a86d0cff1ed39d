"""How long the locals of a function live: not long, but for a few kinds of function."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import libcst as cst

from flake8_task_refs.analysis.tree import last_name

if TYPE_CHECKING:
    from flake8_task_refs.analysis.flow import Flow
    from flake8_task_refs.analysis.tree import Scope, Tree

# asyncio.run, Runner.run, run_until_complete, uvloop.run, anyio.run, and helpers named like them.
_RUNNERS: Final = r"\b(?:\w+_)?run(?:_\w+)?"

# Decorators that make a coroutine of a generator: Tornado's, types', Twisted's.
_DRIVERS: Final = ("coroutine", "inlineCallbacks")


def locals_outlive(flow: Flow, scope: Scope, start: cst.CSTNode, name: str) -> bool:
    """Tell whether local ``name`` of ``scope`` lives as long as a task bound at ``start`` matters.

    They do in a function that cannot end after ``start``, in one that runs the event loop, in a
    generator that is suspended later (a lifespan, a fixture), in the coroutine that this file runs
    as its main program, and wherever ``locals()`` may hand them on.
    """
    function = scope.function.node
    if scope.loads.get("locals") or scope.loads.get("vars"):
        return True
    if not isinstance(function, cst.FunctionDef):
        return False
    return (
        # Whoever calls it `_` does not mean to hold it until the generator ends.
        (name != "_" and _yields_after(flow.tree, function, start))
        or flow.never_leaves(start)
        or (name != "_" and _runs_the_loop(flow.tree, function, start))
        or is_main(flow.tree, function)
    )


def _yields_after(tree: Tree, function: cst.FunctionDef, start: cst.CSTNode) -> bool:
    """Tell whether a generator is suspended after ``start``, its locals alive."""
    if any(last_name(item.decorator) in _DRIVERS for item in function.decorators):
        return False  # its yield is an await
    return tree.last_yield(function) > tree.order[start]


def _runs_the_loop(tree: Tree, function: cst.FunctionDef, start: cst.CSTNode) -> bool:
    """Tell whether a plain function runs the loop itself: its locals outlive what runs in there."""
    if function.asynchronous is not None:
        return False
    after = tree.order[start]
    return any(
        isinstance(node, cst.Call)
        and isinstance(node.func, cst.Attribute)
        and node.func.attr.value in ("run_until_complete", "run_forever", "run_app")
        and tree.order[node] > after
        for node in tree.walk(function.body)
    )


def is_main(tree: Tree, function: cst.FunctionDef) -> bool:
    """Tell whether this file hands ``function()`` to asyncio.run or its like."""
    name = function.name.value
    pattern = rf"{_RUNNERS}\(\s*(?:main\s*=\s*)?(?:\w+\.)*{name}\b"
    return re.search(pattern, tree.outline.code) is not None

"""Queues of the file: which of them never make anybody wait who puts something in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.names import assigned_value
from flake8_task_refs.analysis.outline import ANNOTATION
from flake8_task_refs.analysis.syntax import dotted_text

if TYPE_CHECKING:
    from flake8_task_refs.analysis.names import Names
    from flake8_task_refs.analysis.tree import Tree

_QUEUES: Final = frozenset({"asyncio.Queue", "asyncio.LifoQueue", "asyncio.PriorityQueue"})
_WITHOUT_LIMIT: Final = re.compile(
    r"(?P<module>\w+)(?P<rest>(?:\.\w+)*)(?:\[[^\n]*\])?"
    r"\([ \t]*(?:(?:maxsize[ \t]*=[ \t]*)?0)?[ \t]*\)\s*"
)


def is_put_at_once(names: Names, tree: Tree, call: syntax.Node) -> bool:
    """Tell whether ``call`` is ``put`` of a queue of this file that has no limit.

    It has nothing to wait for: its task is over when its turn has come, and till then the loop
    holds it.
    """
    if not isinstance(call, syntax.Call) or not isinstance(call.func, syntax.Attribute):
        return False
    queue = call.func.value
    if call.func.attr.value != "put":
        return False
    if isinstance(queue, syntax.Attribute) and _is_of_this_file(queue):
        return _is_always_made_so(names, rf"\.{queue.attr.value}")
    if not isinstance(queue, syntax.Name):
        return False
    scope = tree.scope[queue].owner(queue.value)
    if scope is None or scope.kind == "module":
        return _is_always_made_so(names, rf"^[ \t]*{queue.value}")
    made = [assigned_value(tree, store) for store in scope.stores.get(queue.value, ())]
    return bool(made) and all(
        value is not None and _is_without_limit(names, tree.code_of(value)) for value in made
    )


def _is_of_this_file(queue: syntax.Attribute) -> bool:
    """Tell whether the object of ``queue`` is of this file: nobody else knows private names."""
    return dotted_text(queue.value) in ("self", "cls") or queue.attr.value.startswith("_")


def _is_always_made_so(names: Names, target: str) -> bool:
    """Tell whether what the file gives ``target``, a pattern, are queues without a limit."""
    bound = rf"{target}[ \t]*{ANNOTATION}=(?!=)[ \t]*([^\n]*)"
    values = re.findall(bound, names.outline.code, re.MULTILINE)
    made = [value for value in values if value.strip() != "None"]
    return bool(made) and all(_is_without_limit(names, value) for value in made)


def _is_without_limit(names: Names, value: str) -> bool:
    made = _WITHOUT_LIMIT.fullmatch(value)
    return made is not None and f"{names.module_origin(made['module'])}{made['rest']}" in _QUEUES

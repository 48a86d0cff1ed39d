"""Tasks that a task group starts: it keeps them, waits for them and hears their errors."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.names import assigned_value
from flake8_task_refs.analysis.sieve import word_offsets
from flake8_task_refs.analysis.syntax import last_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flake8_task_refs.analysis.outline import Outline
    from flake8_task_refs.analysis.tree import Tree

# asyncio's and quattro's class, aiotools' class, anyio's function.
_GROUPS: Final = ("TaskGroup", "PersistentTaskGroup", "create_task_group")
_MAKES_GROUP: Final = rf"[\w.]*\b(?:{'|'.join(_GROUPS)})\("
_STARTERS: Final = ("create_task", "start_soon")


_GROUP_BYTES: Final = tuple(word.encode() for word in _GROUPS)
_STARTER_BYTES: Final = tuple(word.encode() for word in _STARTERS)


def may_hold_groups(data: bytes) -> bool:
    """Tell whether a file may start a task in a group."""
    return any(word in data for word in _STARTER_BYTES) and any(
        word in data for word in _GROUP_BYTES
    )


def may_start(source: str) -> list[int]:
    """Return where ``source`` may start a task in a group, as offsets."""
    if not any(word in source for word in _GROUPS):
        return []
    return sorted(at for word in _STARTERS for at in word_offsets(source, word))


def started(tree: Tree) -> Iterator[tuple[syntax.Call, syntax.Node]]:
    """Yield the calls of ``tree`` that start a task in a group, each with where the group is made.

    A group is known by how its name is bound: ``async with TaskGroup() as group``, an annotation,
    or an attribute that this file fills with one.
    """
    for call in tree.calls:
        func = call.func
        if isinstance(func, syntax.Attribute) and func.attr.value in _STARTERS:
            group = _group(tree, func.value)
            if group is not None:
                yield call, group


def _group(tree: Tree, receiver: syntax.BaseExpression) -> syntax.Node | None:
    if isinstance(receiver, syntax.Attribute):
        return receiver if _holds_group(tree.outline, receiver.attr.value) else None
    if not isinstance(receiver, syntax.Name):
        return None
    scope = tree.scope[receiver].owner(receiver.value)
    for store in scope.stores.get(receiver.value, ()) if scope is not None else ():
        note = tree.annotation(tree.parent[store])
        if note is not None and "TaskGroup" in tree.code_of(note):
            return store
        made = _bound(tree, store)
        if isinstance(made, syntax.Call) and last_name(made.func) in _GROUPS:
            return made
    return None


def _bound(tree: Tree, store: syntax.Name) -> syntax.BaseExpression | None:
    """Return what is bound to ``store`` by an assignment, a ``with`` or an exit stack."""
    holder = tree.parent[store]
    outer = tree.parent[holder]
    if isinstance(holder, syntax.AsName) and isinstance(outer, syntax.WithItem):
        return outer.item
    value = assigned_value(tree, store)
    if not isinstance(value, syntax.Await):
        return value
    entered = value.expression
    if isinstance(entered, syntax.Call) and last_name(entered.func) == "enter_async_context":
        return entered.args[0].value if entered.args else None
    return None


def _holds_group(outline: Outline, attribute: str) -> bool:
    """Tell whether the file fills an attribute of that name with a task group."""
    some = r"[^=\n]{0,500}"
    pattern = rf"\.{attribute}\b{some}(?:={some}{_MAKES_GROUP}|:{some}\bTaskGroup\b)"
    return re.search(pattern, outline.code) is not None

"""Coroutines that keep the task that runs them: ``self._task = asyncio.current_task()``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis.helpers import find_coroutine
from flake8_task_refs.analysis.ownership import How
from flake8_task_refs.analysis.syntax import last_name

if TYPE_CHECKING:
    from flake8_task_refs.analysis import syntax
    from flake8_task_refs.analysis.ownership import Hold, Ownership
    from flake8_task_refs.analysis.tree import Tree

_ASKED: Final = "current_task"
# What outlives the frame of the coroutine, which only its task holds.
_LASTING: Final = (How.STORED, How.CONTAINER)


def holds_of_itself(ownership: Ownership, call: syntax.Call) -> list[tuple[Tree, Hold]]:
    """Return who holds the task of ``call``, a coroutine of this file, by what the coroutine does.

    What it waits for before, such as a lock, is taken to hold it till then.
    """
    # Most files do not even mention it: that is found out faster than what is code.
    outline = ownership.tree.outline
    if not outline.mentions((_ASKED,)) or not outline.has(rf"\b{_ASKED}[ \t]*\("):
        return []
    found = find_coroutine(ownership.tree, call, ownership.parse)
    if found is None:
        return []
    home, function = found
    inner = ownership.of(home)
    # What is noted of this handle is not said of the one that is being followed.
    bound, noted = inner.was_bound, len(inner.observed)
    holds = [
        (home, hold)
        for asked in home.calls
        if last_name(asked.func) == _ASKED
        and home.function_around(asked) is function
        and inner.names.canonical(home, asked.func) == "asyncio.current_task"
        for hold in inner.holds(asked)
        if hold.how in _LASTING
    ]
    inner.was_bound = bound
    del inner.observed[noted:]
    return holds

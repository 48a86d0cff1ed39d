"""What a function adds its tasks to, and what their callbacks take them out of."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.syntax import dotted_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flake8_task_refs.analysis.tree import Tree

_FILLERS: Final = ("add", "append")
_CALLBACK: Final = "add_done_callback"
# The function around a call, None at module level, and what it calls the task: ``self.task``.
_Key: TypeAlias = tuple[syntax.Node | None, str]


class Registration(NamedTuple):
    """What is done with one task: ``added_to`` containers, and given ``callbacks``.

    ``paths`` are the containers as they are written, None among them for what is no plain name.
    """

    added_to: list[syntax.BaseExpression]
    paths: set[str | None]
    callbacks: list[syntax.BaseExpression]


_NONE: Final = Registration([], set(), [])


class Registrations:
    """The registrations in one region, read once however many tasks it makes.

    Of an excerpt, those in the statements that it shows: whoever asks sees to it that it shows all
    that use the task.
    """

    def __init__(self, tree: Tree) -> None:
        """Read the calls of ``tree``."""
        self._found = _read(tree)

    def of(self, function: syntax.Node | None, task: str) -> Registration:
        """Return what ``function``, None for the module, does with what it calls ``task``."""
        return self._found.get((function, task), _NONE)


def _read(tree: Tree) -> Mapping[_Key, Registration]:
    found: dict[_Key, Registration] = defaultdict(lambda: Registration([], set(), []))
    for call in tree.marked_calls():
        if not isinstance(call.func, syntax.Attribute) or not call.args:
            continue
        method, given = call.func.attr.value, call.args[0].value
        if method == _CALLBACK:
            task = dotted_text(call.func.value)
            if task is not None:
                found[tree.function_around(call), task].callbacks.append(given)
        elif method in _FILLERS and len(call.args) == 1:
            task = dotted_text(given)
            if task is not None:
                registration = found[tree.function_around(call), task]
                registration.added_to.append(call.func.value)
                registration.paths.add(dotted_text(call.func.value))
    return found

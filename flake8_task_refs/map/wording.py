"""What the table and the page say of holders, ends and listeners: the same words in both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flake8_task_refs.analysis.task import Holder, Task

NOBODY: Final = "nobody"
NOT_SEEN: Final = "not seen here"
ITSELF: Final = "itself, when done"
_LISTENERS: Final = {
    "awaited": "{} (awaits)",
    "result": "{} (asks)",
    "callback": "callback {name}",
    "handler": "its own except in {}",
    "group": "its task group",
    "collector": "asyncio's log, once collected",
}
_HOLDERS: Final = {
    "attribute": "{name}",
    "variable": "{name}",
    "container": "{name}",
    "local": "local {name}",
    "group": "task group {name}",
    "factory": "the task factory",
    "loop": "the event loop of {name}",
    "returned": "the caller of {owner}",
    "passed": "{name}(…)",
    "captured": "a closure in {owner}",
    "unclear": "not clear",
}
_DOES: Final = {
    "cancelled": "cancels",
    "awaited": "awaits",
    "replaced": "replaces",
    "group": "awaits",
    "runner": "cancels",
}


def where(function: str) -> str:
    """Return how ``function`` is called: ``Service.close()``, or the module."""
    return f"{function}()" if function else "the module"


def title(task: Task) -> str:
    """Return what a task runs, as well as the source tells."""
    return task.coroutine or f"{task.creator}(…)"


def holder(held: Holder) -> str:
    """Return one holder in words."""
    if held.kind == "local" and not held.name:
        return f"a local of {where(held.owner)}"
    return _HOLDERS[held.kind].format(name=held.name, owner=where(held.owner))


def holders(task: Task) -> list[str]:
    """Return who holds ``task``, each once."""
    return _each(map(holder, task.held_by)) or [NOBODY]


def endings(task: Task) -> dict[str, str]:
    """Return who ends ``task``, each with what it does to it; ``""`` for what needs no word."""
    does: dict[str, list[str]] = {}
    for end in task.ended_by:
        who = where(end.function)
        if end.kind == "group":
            who = f"its task group in {who}"
        elif end.kind == "runner":
            who = f"asyncio.run, after {who}"
        does.setdefault(who, []).append(_DOES[end.kind])
    if does:
        return {who: ", ".join(_each(words)) for who, words in does.items()}
    if task.endless is False:
        return {ITSELF: ""}
    return {NOBODY if task.in_sight else NOT_SEEN: ""}


def ends(task: Task) -> list[str]:
    """Return who ends ``task``, each with what it does to it."""
    return [f"{who} ({does})" if does else who for who, does in endings(task).items()]


def listeners(task: Task) -> list[str]:
    """Return who hears the errors of ``task``, each once."""
    found = [
        _LISTENERS[heard.kind].format(where(heard.function), name=heard.name)
        for heard in task.heard_by
    ]
    return _each(found) or [NOBODY if task.in_sight else NOT_SEEN]


def printable(text: str) -> str:
    """Return ``text`` with control characters, and what cannot be encoded, as escapes."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def _each(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))

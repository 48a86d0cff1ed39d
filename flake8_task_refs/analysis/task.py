"""What the survey tells of a source: each task, its holders, its ends, its listeners."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flake8_task_refs.analysis.finding import Finding


@dataclass(frozen=True, slots=True, order=True)
class Holder:
    """What holds a handle.

    ``kind``: "attribute", "variable" (of the module, or one that functions share), "container",
    "local" (a local that is awaited, cancelled, or lives as long as the task), "group" (a task
    group), "factory" (the file's task factory keeps every task), "loop" (MicroPython's event loop
    does, that of Temporal's workflows, or asyncio's for a task that never waits), "returned" (to
    the caller), "passed" (to a call that may keep it), "captured" (by a function that is kept),
    "unclear".
    ``name`` is the holder as the source writes it, ``""`` for what has no name. ``owner`` is the
    class or function that it belongs to, the object for an attribute of another one, ``""`` for
    the module.
    """

    kind: str
    name: str
    owner: str


@dataclass(frozen=True, slots=True, order=True)
class End:
    """Where something ends a task, or waits for its end.

    ``line`` and ``column`` are 1-based. ``function`` is the dotted function or class around it,
    ``""`` at module level. ``kind``: "cancelled", "awaited", "replaced" (the function that starts
    it ends the one before), "group" (its task group waits for it), "runner" (``asyncio.run``
    cancels it when ``function`` returns).
    """

    line: int
    column: int
    function: str
    kind: str


@dataclass(frozen=True, slots=True, order=True)
class Listener:
    """Where something hears of a task's exception.

    ``line``, ``column`` and ``function`` are as of ``End``. ``kind``: "awaited" (the await raises
    it), "result" (``result()`` or ``exception()`` is asked), "callback" (``name`` is the
    done-callback), "handler" (the coroutine's own ``except Exception``), "group", "collector"
    (nothing asks, but it is let go when done: asyncio logs the exception once it is collected).
    """

    line: int
    column: int
    function: str
    kind: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """One call that creates a task (or an aggregate of tasks), and what becomes of its handle.

    ``line`` and ``column`` are the call's, 1-based; ``function`` is the dotted function or class
    around it, ``""`` at module level. ``kind``: "task", "mapped" (``map`` over a creator),
    "aggregate" (``gather`` and its like), "deferred" (a scheduler creates it later), "group" (a
    task group starts it), "managed" (a call that ``--tsk-managed-spawners`` names).
    ``creator`` is the callee as written, ``coroutine`` what it runs (``"self.poll()"``), ``name``
    the task's name as written, each ``""`` where the source does not tell. ``endless`` tells
    whether the coroutine loops for ever, by its code or, if that is elsewhere, by its name;
    ``None`` if neither tells. ``in_sight`` tells whether the file shows all that is done with the
    handle: if not, empty ``ended_by`` and ``heard_by`` mean that nothing was seen, not that
    nothing is done.
    """

    line: int
    column: int
    function: str
    kind: str
    creator: str
    coroutine: str
    name: str
    endless: bool | None
    in_sight: bool
    held_by: tuple[Holder, ...]
    ended_by: tuple[End, ...]
    heard_by: tuple[Listener, ...]
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Survey:
    """The tasks of one source in source order, and findings that belong to no single task."""

    tasks: tuple[Task, ...] = ()
    other_findings: tuple[Finding, ...] = ()

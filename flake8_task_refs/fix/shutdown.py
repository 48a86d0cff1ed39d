"""When a shutdown may cancel its tasks, and the lines that do it.

The order decides whether a repaired program still stops. A resource that is closed must outlive the
workers that use it: cancel before. A worker that is told to finish and then waited for must not be
cancelled before it has: cancel after.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.helpers import likely_function
from flake8_task_refs.analysis.syntax import last_name
from flake8_task_refs.fix.free_names import names_in
from flake8_task_refs.fix.source import SourceFile, dotted, last_part

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flake8_task_refs.fix.layout import Layout

GRACEFUL: Final = "graceful"
CLOSE: Final = "close"

CONFLICT: Final = (
    "the shutdown closes a resource that the task may need, "
    "and no place to cancel it before that is clearly right"
)

_GRACEFUL: Final = re.compile(
    r"(?:join|wait|put|put_nowait|set|send_nowait|(?:stop|drain|shutdown)(?:_\w+)?)\Z"
)
_CLOSE_WORD: Final = re.compile(
    r"(^|_)(close|aclose|closed|dispose|disconnect|shutdown|stop|cleanup|teardown|terminate|"
    r"release|destroy|quit|exit)(_|$)"
)


def events(
    file: SourceFile, used: frozenset[str], node: syntax.Node, depth: int = 1
) -> Iterator[str]:
    """Yield ``GRACEFUL`` and ``CLOSE`` for what ``node`` does at shutdown, in source order.

    ``used`` are the names by which the workers are known. A called function of the same file is
    looked into, ``depth`` calls deep.
    """
    for inner in file.inside(node, into_scopes=False):
        if isinstance(inner, syntax.Call):
            yield from _event(file, used, inner, depth)
        elif (
            isinstance(inner, syntax.While) and _waits(file, inner) and used & names_in(file, inner)
        ):
            yield GRACEFUL  # `while worker.busy: await asyncio.sleep(1)`


def _event(file: SourceFile, used: frozenset[str], call: syntax.Call, depth: int) -> Iterator[str]:
    name = last_name(call.func)
    receiver = dotted(call.func.value) if isinstance(call.func, syntax.Attribute) else ""
    own = receiver in {"self", "cls"}
    function = likely_function(file.tree, call) if depth else None
    inside = [] if function is None else list(events(file, used, function.body, depth - 1))
    if isinstance(call.func, syntax.Attribute) and not own and _GRACEFUL.match(name):
        known = {receiver, last_part(receiver)} if receiver else names_in(file, call.func.value)
        if known & used:
            yield CLOSE if _only_closes(file, call, receiver) else GRACEFUL
            return
    if inside:
        yield from inside
        return
    if own and receiver in used and _GRACEFUL.match(name):
        yield GRACEFUL
        return
    if _CLOSE_WORD.search(name):
        yield CLOSE


def _only_closes(file: SourceFile, call: syntax.Call, receiver: str) -> bool:
    """Tell whether a method of a class of this file closes things and waits for nothing else.

    A worker that uses them had better end before.
    """
    method = likely_function(file.tree, call)
    owner = file.method_class(method) if method is not None else None
    if method is None or owner is None or not receiver:
        return False
    is_its_own = any(
        isinstance(node.value, syntax.Call)
        and last_name(node.value.func) == owner.name.value
        and any(dotted(target.target) == receiver for target in node.targets)
        for node in file.all(syntax.Assign)
    )
    waits = [node for node in file.inside(method.body) if isinstance(node, syntax.Await)]
    return (
        is_its_own
        and bool(waits)
        and not any(
            isinstance(node, (syntax.While, syntax.For)) for node in file.inside(method.body)
        )
        and all(
            isinstance(wait.expression, syntax.Call)
            and _CLOSE_WORD.search(last_name(wait.expression.func))
            and not _GRACEFUL.match(last_name(wait.expression.func))
            for wait in waits
        )
    )


def _waits(file: SourceFile, loop: syntax.While) -> bool:
    return any(isinstance(node, syntax.Await) for node in file.inside(loop.body))


def place(kinds: Sequence[Sequence[str]]) -> int | None:
    """Return how many of the shutdown's statements come before the cancellation.

    ``kinds`` holds the events of each statement. ``None`` if a resource is closed before the last
    wait for a worker.
    """
    last = max((i for i, found in enumerate(kinds) if GRACEFUL in found), default=-1)
    earlier = [kind for found in kinds[: last + 1] for kind in found]
    return None if CLOSE in earlier[: _last(earlier, GRACEFUL)] else _checked(kinds, last)


def _checked(kinds: Sequence[Sequence[str]], last: int) -> int | None:
    # A statement that waits and then closes leaves no line between the two.
    return None if last >= 0 and CLOSE in kinds[last] else last + 1


def _last(items: Sequence[str], wanted: str) -> int:
    return max((i for i, item in enumerate(items) if item == wanted), default=0)


@dataclass(frozen=True, slots=True)
class Ending:
    """The lines that end tasks which are known by name: ``handles`` are expressions.

    ``timeout`` is in seconds; ``None`` waits for ever.
    """

    handles: tuple[str, ...]
    asyncio: str
    timeout: float | None

    def lines(self, indent: str, layout: Layout) -> list[str]:
        """Return the lines, each with ``indent`` before it, without line ends."""
        lines = [f"{indent}{handle}.cancel()" for handle in self.handles]
        every = ", ".join(self.handles)
        wait = f"{self.asyncio}.gather({every}, return_exceptions=True)"
        if self.timeout is not None:
            wait = f"{self.asyncio}.wait([{every}], timeout={self.timeout:g})"
        return lines + layout.best(f"await {wait}", indent)


@dataclass(frozen=True, slots=True)
class Cancellation:
    """The names and settings of the lines that end the tasks of a registry.

    ``tasks`` is the expression that copies the registry; ``logger`` the expression of a logger,
    which takes ``%``-style arguments if ``percent``. ``timeout`` is in seconds; ``None`` waits for
    ever.
    """

    tasks: str
    asyncio: str
    logger: str
    percent: bool
    timeout: float | None
    taken: frozenset[str]
    annotation: str = ""

    def lines(self, indent: str, layout: Layout) -> list[str]:
        """Return the lines, each with ``indent`` before it, without line ends."""
        pending, task, stuck = (
            self._free("pending"),
            self._free("background_task"),
            self._free("stuck"),
        )
        step = layout.step
        first = f"{pending}{self.annotation} = {self.tasks}"
        loop = f"for {task} in {pending}:"
        lines = [*layout.best(first, indent), indent + loop, f"{indent}{step}{task}.cancel()"]
        if self.timeout is None:
            gather = f"await {self.asyncio}.gather(*{pending}, return_exceptions=True)"
            return lines + layout.best(gather, indent)
        done = "_" if "_" not in self.taken else self._free("_done")
        wait = f"{done}, {stuck} = await {self.asyncio}.wait({pending}, timeout={self.timeout:g})"
        lines += [f"{indent}if {pending}:", *layout.best(wait, indent + step)]
        lines += [f"{indent}{step}for {task} in {stuck}:"]
        return lines + layout.best(self._complaint(task), indent + 2 * step)

    def _free(self, name: str) -> str:
        if name not in self.taken:
            return name
        return next(f"{name}_{n}" for n in range(2, 1000) if f"{name}_{n}" not in self.taken)

    def _complaint(self, task: str) -> str:
        if self.percent:
            text = '"Background task %r ignored cancellation"'
            return f"{self.logger}.error({text}, {task}.get_name())"
        text = f'f"Background task {{{task}.get_name()!r}} ignored cancellation"'
        return f"{self.logger}.error({text})"

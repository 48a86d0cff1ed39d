"""When a shutdown may cancel its tasks, and the lines that do it.

The order decides whether a repaired program still stops. A resource that is closed must outlive the
workers that use it: cancel before. A worker that is told to finish and then waited for must not be
cancelled before it has: cancel after.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.effects import LOG_METHODS
from flake8_task_refs.analysis.helpers import likely_function
from flake8_task_refs.analysis.syntax import last_name
from flake8_task_refs.fix.free_names import fresh, names_in
from flake8_task_refs.fix.source import SourceFile, dotted, last_part
from flake8_task_refs.fix.worker import EVERYWHERE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from flake8_task_refs.fix.contract import Context
    from flake8_task_refs.fix.layout import Layout
    from flake8_task_refs.fix.worker import Used

# What a statement does, as far as the order matters.
GRACEFUL: Final = "graceful"  # waits for a worker, or tells it to finish
CLOSE: Final = "close"  # closes something
# What becomes one of the above, or nothing, once it is known what comes before and after.
ASKS: Final = "asks"  # awaits something of what a worker uses, which may have to answer
TELLS: Final = "tells"  # assigns what a worker reads, or calls what it uses without awaiting it
PAUSES: Final = "pauses"  # sleeps, or awaits anything else for its own sake

CONFLICT: Final = (
    "the shutdown closes a resource that the task may need, "
    "and no place to cancel it before that is clearly right"
)

_SETATTR: Final = 3  # its arguments
# How many calls deep a shutdown is looked into.
_DEPTH: Final = 3
_GRACEFUL: Final = re.compile(
    r"(?:join|wait|put|put_nowait|set|send_nowait|(?:stop|drain|shutdown)(?:_\w+)?)\Z"
)
_CLOSE_WORD: Final = re.compile(
    r"(^|_)(close|aclose|closed|dispose|disconnect|shutdown|stop|cleanup|teardown|terminate|"
    r"release|destroy|quit|exit|aexit|kill|finalize|deinit|unload|abort)(_|$)"
)
# What an object is told whose method runs as the task: `pool.terminate()` closes what it only uses.
_ENDS_ITSELF: Final = re.compile(r"(?!__)(?:\w*_)?(?:stop|shutdown|terminate|quit|exit)(?:_|\Z)")
# `request_exit()` only speaks of an end.
_SPEAKS: Final = re.compile(r"_*(request|signal|ask|tell|notify|send|publish|announce|mark)_")
# These go with a close, and seldom wait for an answer that a worker has to deliver.
_LEAVES: Final = frozenset({"unsubscribe", "punsubscribe", "unlisten", "unregister", "deregister"})
_PAUSES: Final = frozenset({"sleep", "wait", "wait_for", "gather", "shield"})


def events(
    file: SourceFile,
    used: Used,
    node: syntax.Node,
    after: int = -1,
    path: tuple[syntax.Node, ...] = (),
) -> Iterator[str]:
    """Yield what ``node`` does at shutdown, in source order: ``GRACEFUL``, ``CLOSE`` and so on.

    ``used`` are the names by which the workers are known (``worker.used_by``). A called
    function of the same file is looked into. What begins before the offset ``after`` is passed
    over; ``path`` are the functions that have been gone through.
    """
    for inner in file.inside(node, into_scopes=False):
        if not isinstance(inner, _EVENTFUL) or (after >= 0 and file.span(inner).start <= after):
            continue
        if isinstance(inner, syntax.Call):
            yield from _event(file, used, inner, path)
        elif isinstance(inner, syntax.Await):
            yield from _wait(file, used, inner, path)
        elif isinstance(inner, syntax.While):
            if _waits(file, inner) and used.names & names_in(file, inner):
                yield GRACEFUL  # `while worker.busy: await asyncio.sleep(1)`
        elif _tells(file, used, inner):
            yield TELLS


_EVENTFUL: Final = (
    syntax.Call,
    syntax.Await,
    syntax.While,
    syntax.Assign,
    syntax.AnnAssign,
    syntax.AugAssign,
)


def steps(file: SourceFile, used: Used, statements: Iterable[syntax.Node]) -> list[list[str]]:
    """Return for each of ``statements`` whether it is ``GRACEFUL`` or a ``CLOSE``, in order."""
    return settled([list(events(file, used, statement)) for statement in statements])


def settled(kinds: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return ``kinds``, the events of each statement, with ``GRACEFUL`` and ``CLOSE`` alone.

    A pause is for a worker if it follows what speaks to one. What is told after something has been
    closed, or just before it is closed in the same statement, and is not waited for, is no reason
    to let the worker go on.
    """
    flat = [(number, kind) for number, found in enumerate(kinds) for kind in found]
    following: list[tuple[int, str] | None] = [None] * len(flat)
    for at in range(len(flat) - 2, -1, -1):
        following[at] = following[at + 1] if flat[at + 1][1] == TELLS else flat[at + 1]
    result: list[list[str]] = [[] for _ in kinds]
    told = closed = False
    for (number, kind), then in zip(flat, following, strict=True):
        if kind == CLOSE:
            result[number].append(CLOSE)
            told, closed = False, True
            continue
        if kind == TELLS:
            waited = then is not None and then[1] != CLOSE
            graceful = waited or not (closed or then == (number, CLOSE))
            told = True
        else:
            graceful = told = told or kind != PAUSES
        if graceful:
            result[number].append(GRACEFUL)
    return result


def is_waited_for(found: Sequence[str]) -> bool:
    """Tell whether a worker is waited for by what does ``found``; to be told is not enough."""
    return (
        GRACEFUL in found
        or ASKS in found
        or any(pair == (TELLS, PAUSES) for pair in pairwise(found))
    )


def _event(
    file: SourceFile, used: Used, call: syntax.Call, path: tuple[syntax.Node, ...]
) -> Iterator[str]:
    name = last_name(call.func)
    receiver = dotted(call.func.value) if isinstance(call.func, syntax.Attribute) else ""
    own = receiver in {"self", "cls"}
    function = _called(file, call, path)
    inside: list[str] = []
    if function is not None:
        inside += events(file, used, function.body, path=(*path, function))
    if isinstance(call.func, syntax.Attribute) and not own and _GRACEFUL.match(name):
        known = {receiver, last_part(receiver)} if receiver else names_in(file, call.func.value)
        if known & used.names:
            yield CLOSE if _only_closes(file, call, receiver) else GRACEFUL
            return
    closes = (
        _CLOSE_WORD.search(name)
        and not _SPEAKS.match(name)
        and not (last_part(receiver) in used.owners and _ENDS_ITSELF.match(name))
    )
    if set(inside) - {TELLS, PAUSES} or (inside and not closes):
        yield from inside
    elif own and receiver in used.names and _GRACEFUL.match(name):
        yield GRACEFUL
    elif closes:
        yield CLOSE
    elif name == "setattr" and len(call.args) == _SETATTR and not receiver:
        if _is_used_object(used, call.args[0].value):
            yield TELLS
    elif (
        function is None
        and isinstance(call.func, syntax.Attribute)
        and name not in LOG_METHODS
        and names_in(file, call.func.value) & (used.names - EVERYWHERE)
    ):
        awaited = _is_awaited(file, call)
        if awaited and name not in _LEAVES:
            yield ASKS
        elif awaited or isinstance(file.parent(call), syntax.Expr):
            yield TELLS


def _called(
    file: SourceFile, call: syntax.Call, path: tuple[syntax.Node, ...]
) -> syntax.FunctionDef | None:
    """Return the function of the file that ``call`` probably runs, unless it is around ``call``.

    `self.socket.close()` in the only `close()` of the file is another one.
    """
    if len(path) >= _DEPTH:
        return None
    function = likely_function(file.tree, call)
    if function is None or function in path or file.within(call, function):
        return None
    return function


def _is_awaited(file: SourceFile, call: syntax.Call) -> bool:
    """Tell whether the statement of ``call`` awaits it, directly or in another call."""
    for outer in file.ancestors(call):
        if isinstance(outer, syntax.Await):
            return True
        if isinstance(outer, (syntax.BaseSmallStatement, syntax.BaseSuite, syntax.Lambda)):
            return False
    return False


def _wait(
    file: SourceFile, used: Used, node: syntax.Await, path: tuple[syntax.Node, ...]
) -> Iterator[str]:
    """Yield whether ``node`` waits for what a worker uses, or for time to pass."""
    waited = node.expression
    if not isinstance(waited, syntax.Call):
        # A local of the same name as one of the worker's is another.
        shared = not isinstance(waited, syntax.Name) or _is_shared(file, waited)
        yield ASKS if shared and used.names & names_in(file, waited) else PAUSES
        return
    name = last_name(waited.func)
    if name not in _PAUSES or any(
        True for arg in waited.args for _ in events(file, used, arg.value, path=path)
    ):
        return
    given = {name for arg in waited.args for name in names_in(file, arg.value)}
    yield ASKS if name != "sleep" and used.names & given else PAUSES


def _tells(file: SourceFile, used: Used, node: syntax.Node) -> bool:
    """Tell whether ``node``, an assignment, gives something that a worker reads a new value."""
    if isinstance(node, syntax.Assign):
        targets = [item.target for item in node.targets]
    elif isinstance(node, (syntax.AnnAssign, syntax.AugAssign)):
        targets = [node.target]
    else:
        return False
    if node.value is None or dotted(node.value) == "None":
        return False  # it lets go of something
    for target in targets:
        if isinstance(target, syntax.Name):
            if target.value in used.names and _is_shared(file, target):
                return True
        elif isinstance(target, syntax.Subscript):
            # `x[0][key] = 1`: what has no name counts for a worker that is nobody's method.
            name = last_name(target.value)
            if name in used.names or (not name and "" in used.owners):
                return True
        elif isinstance(target, syntax.Attribute) and (
            target.attr.value in used.names or _is_used_object(used, target.value)
        ):
            return True
    return False


def _is_used_object(used: Used, node: syntax.BaseExpression) -> bool:
    """Tell whether ``node`` is an object that a worker uses, whose code may be in another file."""
    return bool(dotted(node)) and last_name(node) in used.names - EVERYWHERE


def _is_shared(file: SourceFile, name: syntax.Name) -> bool:
    """Tell whether ``name`` is more than a local of the function that it stands in."""
    scope = file.tree.scope[name].function
    return not scope.binds(name.value) or any(True for _ in scope.inner_uses(name.value))


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

    ``timeout`` is in seconds; ``None`` waits for ever. With ``if_running``, a single task is asked
    first whether it is over already. ``optional`` are those of the handles that may be None as far
    as a type checker knows, ``taken`` the names that mean something else in the function.
    """

    handles: tuple[str, ...]
    asyncio: str
    timeout: float | None
    if_running: bool = False
    optional: frozenset[str] = frozenset()
    taken: frozenset[str] = frozenset()

    def lines(self, indent: str, layout: Layout) -> list[str]:
        """Return the lines, each with ``indent`` before it, without line ends."""
        if self.optional and len(self.handles) > 1:
            return self._ending_what_there_is(indent, layout)
        lines: list[str] = []
        if self.optional:
            lines.append(f"{indent}if {self.handles[0]} is not None:")
            indent += layout.step
        if self.if_running:
            lines.append(f"{indent}if not {self.handles[0]}.done():")
            indent += layout.step
        return lines + self._ending(self.handles, indent, layout)

    def _ending_what_there_is(self, indent: str, layout: Layout) -> list[str]:
        """Return the lines that end all at once those of the tasks that have been made."""
        pending, task = fresh("pending", self.taken), fresh("background_task", self.taken)
        every, step, lines = f"({', '.join(self.handles)})", layout.step, list[str]()
        if not layout.fits(f"{indent}{step}for {task} in {every}"):
            tasks = fresh("tasks", self.taken)
            lines = layout.best(f"{tasks} = {every}", indent)
            every = tasks
        made = f"[{task} for {task} in {every} if {task} is not None]"
        wait = f"await {self.asyncio}.wait({pending}{self._bound})"
        return [
            *lines,
            *layout.best(f"{pending} = {made}", indent),
            f"{indent}for {task} in {pending}:",
            f"{indent}{step}{task}.cancel()",
            f"{indent}if {pending}:",
            *layout.best(wait, indent + step),
        ]

    @property
    def _bound(self) -> str:
        return "" if self.timeout is None else f", timeout={self.timeout:g}"

    def _ending(self, handles: tuple[str, ...], indent: str, layout: Layout) -> list[str]:
        """Return the lines that end ``handles``, all at once."""
        lines = [f"{indent}{handle}.cancel()" for handle in handles]
        every = ", ".join(handles)
        # It asks for no result: asyncio logs the error of one that failed before.
        wait = f"await {self.asyncio}.wait([{every}]{self._bound})"
        return lines + layout.best(wait, indent)


@dataclass(frozen=True, slots=True)
class Cancellation:
    """The names and settings of the lines that end the tasks of a registry.

    ``tasks`` is the expression that copies the registry; ``logger`` the expression of a logger,
    which takes ``%``-style arguments if ``percent``. ``timeout`` is in seconds; ``None`` waits for
    ever. ``named`` tells whether a task has a name, ``told`` that all of them have just been told
    to end, and get as long for it as for a cancellation.
    """

    tasks: str
    asyncio: str
    logger: str
    percent: bool
    timeout: float | None
    taken: frozenset[str]
    annotation: str = ""
    named: bool = True
    told: bool = False

    @classmethod
    def within(
        cls,
        context: Context,
        function: syntax.FunctionDef,
        tasks: str,
        *,
        annotation: str = "",
        told: bool = False,
    ) -> Cancellation:
        """Return what ends ``tasks`` in ``function``, as ``context`` has it."""
        logger, percent = context.additions.logger()
        return cls(
            tasks=tasks,
            asyncio=context.additions.module("asyncio"),
            logger=logger,
            percent=percent,
            timeout=context.settings.shutdown_timeout,
            taken=frozenset(context.locals.taken(function)),
            annotation=annotation,
            named=context.settings.names_tasks,
            told=told,
        )

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
        lines = layout.best(first, indent)
        if self.told:
            bound = "" if self.timeout is None else f", timeout={self.timeout:g}"
            wait = f"await {self.asyncio}.wait({pending}{bound})"
            lines += [f"{indent}if {pending}:", f"{indent}{step}# They have been told to end."]
            lines += layout.best(wait, indent + step)
        lines += [indent + loop, f"{indent}{step}{task}.cancel()"]
        if self.timeout is None:
            gather = f"await {self.asyncio}.gather(*{pending}, return_exceptions=True)"
            return lines + layout.best(gather, indent)
        done = "_" if "_" not in self.taken else self._free("_done")
        wait = f"{done}, {stuck} = await {self.asyncio}.wait({pending}, timeout={self.timeout:g})"
        lines += [f"{indent}if {pending}:", *layout.best(wait, indent + step)]
        lines += [f"{indent}{step}for {task} in {stuck}:"]
        return lines + layout.best(self._complaint(task, layout), indent + 2 * step)

    def _free(self, name: str) -> str:
        if name not in self.taken:
            return name
        return next(f"{name}_{n}" for n in range(2, 1000) if f"{name}_{n}" not in self.taken)

    def _complaint(self, task: str, layout: Layout) -> str:
        shown = f"{task}.get_name()" if self.named else task
        if self.percent:
            text = layout.string("Background task %r ignored cancellation")
            return f"{self.logger}.error({text}, {shown})"
        text = layout.string(f"Background task {{{shown}!r}} ignored cancellation")
        return f"{self.logger}.error(f{text})"

"""The coroutine that a task runs: is its code here, does it loop for ever, what can tell it to end.

A coroutine of another file is known by its name alone.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.cancellation import is_wide
from flake8_task_refs.analysis.containers import waits_for_a_sign
from flake8_task_refs.analysis.flow import is_endless
from flake8_task_refs.analysis.helpers import find_coroutine
from flake8_task_refs.analysis.syntax import is_name, last_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flake8_task_refs.analysis.ownership import Ownership
    from flake8_task_refs.analysis.tree import Tree

# What an endless coroutine of another file is called.
_ENDLESS_NAME: Final = re.compile(
    r"_*(?:run|serve"
    r"|(?:run|serve|listen|consume|receive|poll|watch|monitor|subscribe|process)_(?:\w+_)?"
    r"(?:forever|loop|server|messages|events|updates|queue|orders|jobs|tasks)"
    r"|(?:\w+_)?(?:forever|loop|worker|listener|consumer|poller|watcher|monitor|heartbeat|scheduler|daemon"
    r"|keepalive|keep_alive|periodically|watchdog|reaper|sweeper)"
    r"|(?:listen|consume|poll|watch|monitor|subscribe|periodic|periodically)(?:_\w+)?)\Z"
)
_ENDS_NAME: Final = re.compile(r"(?:\A|_)(?:once|one|initial|first|stop|init|setup|warm|until)")
# What does something to a worker, or in the name of one, begins with what it does.
_DEED: Final = re.compile(
    r"_*(?:add|cancel|check|clear|close|create|delete|disable|enable|ensure|find|get|join|kill|load"
    r"|make|notify|register|remove|reset|restart|save|send|set|start|unregister|update)_"
)
# What a worker is given in any case, and what no end is told by.
_COMMON: Final = frozenset({"self", "cls", "app", "application", "state", "asyncio", "settings"})
# Methods that wait for what somebody else sends.
_READS: Final = re.compile(
    r"(?:a?recv|receive|read|get|listen|next|accept|wait|consume|poll|fetch|pop|iter|subscribe"
    r"|join|sleep|acquire)(?:_?\w+)?\Z"
)
# Methods that ask something of a service, which answers and then lets them go on.
_ASKS: Final = re.compile(
    r"(?:execute|executemany|commit|rollback|ping|publish|send|post|put|patch|delete|insert|update|upsert|save|store"
    r"|write|flush|set|incr|expire|purge|prune|sweep|cleanup|clean|refresh|report|notify|emit|broadcast|upload|push)"
    r"(?:_\w+)?\Z"
)
_MAX_DEPTH: Final = 3


def runs_for_ever(tree: Tree, function: syntax.FunctionDef) -> bool:
    """Tell whether ``function`` has a loop that its own code does not leave.

    Unlike ``Worker.is_endless`` this takes any condition for one that stays true: it is asked
    where a task that may be over is cancelled in any case.
    """
    return any(
        node.asynchronous
        if isinstance(node, syntax.For)
        else isinstance(node, syntax.While) and not is_left(tree, node, _names(tree, node.test))
        for node in tree.walk(function.body)
    )


def cannot_leave(tree: Tree, function: syntax.FunctionDef) -> bool:
    """Tell whether ``function`` has a ``while True`` that its own code does not leave."""
    return any(
        isinstance(node, syntax.While) and is_endless(node) and not is_left(tree, node, set())
        for node in tree.walk(function.body)
    )


def is_called_endless(name: str) -> bool:
    """Tell whether a coroutine of another file loops for ever, by its name."""
    return (
        _ENDLESS_NAME.match(name) is not None
        and _ENDS_NAME.search(name) is None
        and _DEED.match(name) is None
    )


class Worker:
    """What is known of the coroutine ``call``, which a task of ``ownership``'s region runs."""

    def __init__(self, ownership: Ownership, call: syntax.Call) -> None:
        """Look the coroutine up in the file."""
        self.call = call
        self.ownership = ownership
        self.found = find_coroutine(ownership.tree, call, ownership.parse)

    def is_endless(self) -> bool:
        """Tell whether it loops for ever: by its code if it is here, else by its name."""
        if self.found is None:
            return is_called_endless(last_name(self.call.func))
        return any(self._endless_loops())

    def runs_until_ended(self) -> bool:
        """Tell whether it surely loops until it is ended, and not until its work is done.

        ``while self.jobs:`` may work them off. Of another file, ``run()`` may be a single job.
        """
        if self.found is None:
            return last_name(self.call.func).strip("_") != "run" and self.is_endless()
        return any(self._endless_loops(_goes_on_until_a_sign))

    def outlives_its_source(self) -> bool:
        """Tell the same, but not of what ends with what it reads from: ``async for``."""
        if self.found is None:
            return self.runs_until_ended()
        loops = self._endless_loops(_goes_on_until_a_sign)
        return any(isinstance(loop, syntax.While) for _, loop in loops)

    def _endless_loops(
        self, goes_on: Callable[[Tree, syntax.While | syntax.For], bool] | None = None
    ) -> Iterator[tuple[Tree, syntax.While | syntax.For]]:
        """Yield the loops that nothing in their own code ends, in helpers that are awaited too."""
        goes_on = goes_on or _goes_on
        todo = [(self.ownership, *self.found)] if self.found is not None else []
        seen: set[syntax.Node] = set()
        for _ in range(_MAX_DEPTH):
            waited: list[tuple[Ownership, Tree, syntax.FunctionDef]] = []
            for ownership, tree, function in todo:
                if function in seen:
                    continue
                seen.add(function)
                for node in tree.walk(function.body):
                    if isinstance(node, (syntax.While, syntax.For)) and goes_on(tree, node):
                        yield tree, node
                    elif isinstance(node, syntax.Await) and isinstance(
                        node.expression, syntax.Call
                    ):
                        inner = ownership.of(tree)
                        deeper = find_coroutine(inner.tree, node.expression, inner.parse)
                        if deeper is not None:
                            waited.append((inner, *deeper))
            todo = waited

    def signals(self) -> set[str]:
        """Return the names by which somebody else can end it, other than by cancelling.

        A flag of its loop, what an ``async for`` reads from, and what it awaits where an error
        would leave the loop. Of a coroutine that is not here: everything it is given.
        """
        if self.found is None:
            tree = self.ownership.tree
            given = _names(tree, self.call) - {last_name(self.call.func)}
            return given - _COMMON
        names: set[str] = set()
        for tree, loop in self._endless_loops():
            names |= _names(tree, loop.test if isinstance(loop, syntax.While) else loop.iter)
            for node in tree.walk(loop.body):
                if isinstance(node, syntax.For) and node.asynchronous:
                    names |= _names(tree, node.iter)
                elif isinstance(node, syntax.Await) and not _is_sheltered(tree, node, loop):
                    names |= self._waited_for(tree, node)
        return names - _COMMON - {"True"}

    def shared(self) -> set[str]:
        """Return the names of what it shares with others: attributes, variables of a closure."""
        if self.found is None:
            return set()
        tree, function = self.found
        names: set[str] = set()
        for node in tree.walk(function.body):
            if isinstance(node, syntax.Attribute):
                is_called = isinstance(tree.parent[node], syntax.Call)
                if is_name(node.value, "self") and not is_called:
                    names.add(node.attr.value)
            elif isinstance(node, syntax.Name):
                owner = tree.scope[node].owner(node.value)
                is_closed_over = owner is not None and owner.kind == "function"
                if is_closed_over and owner is not tree.scope[node].function:
                    names.add(node.value)
        return names - _COMMON

    def _waited_for(self, tree: Tree, node: syntax.Await) -> set[str]:
        """Return the names of the objects that an ``await`` depends on, in a helper too.

        Not those of a service that it asks for something: whoever closes a database ends nobody
        who comes back to it later.
        """
        call = node.expression
        if not isinstance(call, syntax.Call):
            return _names(tree, call)
        names = {name for arg in call.args for name in _names(tree, arg.value)}
        if isinstance(call.func, syntax.Attribute) and not _asks(call):
            names |= _names(tree, call.func.value)
        helper = find_coroutine(tree, call, self.ownership.parse)
        if helper is not None:
            home, function = helper
            names |= {
                name
                for inner in home.walk(function.body)
                if isinstance(inner, syntax.Await)
                if isinstance(inner.expression, syntax.Call)
                for name in _depends_on(home, inner.expression)
            }
        return names

    def served_by(self) -> set[str]:
        """Return the names of the objects that it asks for something in each round.

        Not those that it reads from: closing these is a way to end it.
        """
        names: set[str] = set()
        for tree, loop in self._endless_loops():
            for node in tree.walk(loop.body):
                call = node.expression if isinstance(node, syntax.Await) else None
                if not isinstance(call, syntax.Call) or not isinstance(call.func, syntax.Attribute):
                    continue
                if not _READS.match(call.func.attr.value):
                    names.add(last_name(call.func.value))
        return names - self.signals_of_sources() - _COMMON - {""}

    def signals_of_sources(self) -> set[str]:
        """Return the names in what its loops iterate over and read from."""
        names: set[str] = set()
        for tree, loop in self._endless_loops():
            for node in tree.walk(loop):
                if isinstance(node, syntax.For):
                    names |= _names(tree, node.iter)
                elif isinstance(node, syntax.Attribute) and _READS.match(node.attr.value):
                    names |= _names(tree, node.value)
        return names

    def flags(self) -> set[str]:
        """Return the names that its loops look at before each round."""
        return {
            name
            for tree, loop in self._endless_loops()
            if isinstance(loop, syntax.While)
            for name in _names(tree, loop.test)
        } - {"self", "cls", "True"}


def _names(tree: Tree, node: syntax.Node) -> set[str]:
    """Return every name and attribute in ``node``."""
    return {
        last_name(inner)
        for inner in tree.walk(node)
        if isinstance(inner, (syntax.Name, syntax.Attribute))
    } - {""}


def _asks(call: syntax.Call) -> bool:
    """Tell whether ``call`` asks something of a service: ``db.execute(...)``."""
    return isinstance(call.func, syntax.Attribute) and _ASKS.match(call.func.attr.value) is not None


def _depends_on(tree: Tree, call: syntax.Call) -> set[str]:
    """Return the names in ``call``, but for the service that it asks something of."""
    parts = [arg.value for arg in call.args] if _asks(call) else [call]
    return {name for part in parts for name in _names(tree, part)}


def _goes_on(tree: Tree, loop: syntax.While | syntax.For) -> bool:
    """Tell whether nothing but an error, a flag of others or the end of its source stops a loop."""
    if isinstance(loop, syntax.For):
        return loop.asynchronous and not is_left(tree, loop, set())
    if not is_endless(loop) and not _is_flag(loop.test):
        return False
    return not is_left(tree, loop, _names(tree, loop.test))


def _goes_on_until_a_sign(tree: Tree, loop: syntax.While | syntax.For) -> bool:
    """Tell whether ``loop`` goes on as long as its source, or until a flag says that it must end.

    The flag is known by its name, and may be a method: ``not self.stopping.is_set()``.
    """
    if isinstance(loop, syntax.For):
        return _goes_on(tree, loop)
    return waits_for_a_sign(loop.test) and not is_left(tree, loop, _names(tree, loop.test))


def _is_flag(test: syntax.BaseExpression) -> bool:
    """Tell whether a condition is a plain name or attribute, or its negation."""
    if isinstance(test, syntax.UnaryOperation) and test.operator == "not":
        test = test.expression
    return isinstance(test, (syntax.Name, syntax.Attribute))


def is_left(tree: Tree, loop: syntax.While | syntax.For, flags: set[str]) -> bool:
    """Tell whether the body of ``loop`` leaves it, or clears one of ``flags``."""
    return any(
        isinstance(node, syntax.Return)
        or (isinstance(node, syntax.Break) and _loop_of(tree, node) is loop)
        or (
            isinstance(node, (syntax.AssignTarget, syntax.AugAssign))
            and last_name(node.target) in flags
        )
        for node in tree.walk(loop.body)
    )


def _loop_of(tree: Tree, node: syntax.Break) -> syntax.Node | None:
    """Return the loop that a ``break`` leaves."""
    return next(
        (at for at in tree.ancestors(node) if isinstance(at, (syntax.While, syntax.For))), None
    )


def _is_sheltered(tree: Tree, node: syntax.Node, loop: syntax.Node) -> bool:
    """Tell whether a handler inside ``loop`` catches every error of ``node`` and goes on."""
    for outer in tree.ancestors(node):
        if outer is loop:
            return False
        if (
            isinstance(outer, syntax.Try)
            and tree.holds(outer.body, node)
            and any(
                is_wide(handler)
                and not any(
                    isinstance(inner, (syntax.Raise, syntax.Return, syntax.Break))
                    for inner in tree.walk(handler.body)
                )
                for handler in outer.handlers
            )
        ):
            return True
    return False

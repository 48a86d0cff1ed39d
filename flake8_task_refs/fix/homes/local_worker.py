"""Endless tasks that serve one call of a function, such as a heartbeat for a connection.

A registry would keep one more of them with each call, for ever. Where nothing comes after the loop
in which the function serves the same connection, a ``finally`` cancels the heartbeat. Elsewhere it
may be needed until later, or have something left to do: that is declined.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.flow import is_endless
from flake8_task_refs.analysis.syntax import is_name, last_name
from flake8_task_refs.analysis.workers import Worker
from flake8_task_refs.fix.contract import Context, Plan
from flake8_task_refs.fix.edits import Edit, Place
from flake8_task_refs.fix.lifespan_body import EndingPlace, ending_edits, last_line_with_comments
from flake8_task_refs.fix.shutdown import Ending
from flake8_task_refs.fix.source import body_of, dotted, statement_expression
from flake8_task_refs.fix.worker import GETS_MORE, STARTS, LikelyWorker, root

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flake8_task_refs.fix.repair_sites import Site
    from flake8_task_refs.fix.source import Statement

ENDLESS: Final = (
    "the task serves this call and never ends by itself: cancel it when the function is through "
    "with it, and wait for it"
)
# A function of such a name begins what is to go on.
_BEGINS: Final = re.compile(
    r"_*(?:a?enter|log_?in|init|initialize|subscribe|register|ensure|prepare|attach|join|create|make"
    r"|add|on|handshake|authenticate|negotiate|identify|accept|wait)(?:_|\Z)|__a?(?:enter|init)__"
)
# One of these does itself what it says, if it has the loop for that: it is through when that is.
_IS_ALL: Final = re.compile(
    r"_*(?:run|serve|listen)(?:_(?:forever|loop|client|connection|session|websocket|ws|socket))?\Z"
)
# What puts a connection where others find it.
_HANDS_OVER: Final = frozenset({"add", "append", "put", "put_nowait", "setdefault", "register"})


class LocalWorkers:
    """Cancels the heartbeat of a call when the function is through."""

    def __init__(self, context: Context) -> None:
        """Repair in ``context``."""
        self._context = context

    def accepts(self, site: Site) -> bool:
        """Take what runs until it is ended, and has to do with a variable of the call.

        What an asynchronous generator starts that gives many values, is for the one who takes them.
        """
        function = site.function
        if (
            site.code not in ("TSK001", "TSK002")
            or site.is_handed_over
            or not isinstance(function, syntax.FunctionDef)
            or not function.asynchronous
            or not isinstance(site.coroutine, syntax.Call)
            or self._context.judge.application(function) is not None
            or not (
                (shared := LikelyWorker.of(self._context, site).shares_with(function))
                or self._gives_many(function, site.call)
            )
            or not Worker(self._context.judge.ownership, site.coroutine).outlives_its_source()
        ):
            return False
        if not shared:
            return True
        after = self._context.tree.order[site.call]
        later = [
            node
            for node in self._context.tree.walk(function.body)
            if self._context.tree.order[node] > after
        ]
        if any(_joins(node, shared) for node in later):
            return True
        name = function.name.value
        if (
            (STARTS.match(name) and not _IS_ALL.match(name))
            or _BEGINS.match(name)
            or self._gives_something(function)
        ):
            return False
        yields = [
            at for at in self._context.tree.jumps(function.body) if isinstance(at, syntax.Yield)
        ]
        return any(
            isinstance(node, (syntax.While, syntax.For))
            and self._served(node, shared)
            # A context manager lends something, which may need the task, to others.
            and all(self._context.file.within(at, node) for at in yields)
            for node in later
        )

    def plan(self, sites: Sequence[Site]) -> Plan:
        """End the tasks of ``sites``."""
        found = Plan()
        several = Counter(site.function for site in sites)
        for site in sites:
            reason = LikelyWorker.of(self._context, site).unstoppable()
            edits = [] if reason or several[site.function] > 1 else self._edits(site)
            if edits:
                found.edits += edits
                found.fixed.append(site.finding)
            else:
                found.decline([site], reason or ENDLESS)
        return found

    # -- does it serve the call? ------------------------------------------------------------

    def _gives_many(self, function: syntax.FunctionDef, call: syntax.Call) -> bool:
        """Tell whether ``function`` yields in a loop, after ``call``, and is no context manager."""
        tree = self._context.tree
        return not function.decorators and any(
            isinstance(jump, syntax.Yield)
            and tree.order[jump] > tree.order[call]
            and any(isinstance(at, (syntax.While, syntax.For)) for at in tree.ancestors(jump))
            for jump in tree.jumps(function.body)
        )

    def _gives_something(self, function: syntax.FunctionDef) -> bool:
        """Tell whether ``function`` returns a value, which may need the task later."""
        for jump in self._context.tree.jumps(function.body):
            value = jump.value if isinstance(jump, syntax.Return) else None
            if value is not None and not is_name(value, "None"):
                return True
        return False

    def _served(self, loop: syntax.While | syntax.For, shared: set[str]) -> set[str]:
        """Return those of the variables ``shared`` of which ``loop`` gets what comes next."""
        if isinstance(loop, syntax.For):
            return {root(loop.iter)} & shared if loop.asynchronous else set()
        return shared & {
            root(node.expression.func)
            for node in self._context.file.inside(loop, into_scopes=False)
            if isinstance(node, syntax.Await)
            and isinstance(node.expression, syntax.Call)
            and GETS_MORE.match(last_name(node.expression.func)) is not None
        }

    def _hands_over(self, loop: syntax.Node, served: set[str]) -> bool:
        """Tell whether ``loop`` puts what it serves elsewhere, where it lives on."""
        for node in self._context.file.inside(loop, into_scopes=False):
            match node:
                case syntax.Call() if last_name(node.func) in _HANDS_OVER:
                    if any(dotted(arg.value) in served for arg in node.args):
                        return True
                case syntax.Assign() if dotted(node.value) in served:
                    if not all(isinstance(item.target, syntax.Name) for item in node.targets):
                        return True
        return False

    # -- the edits --------------------------------------------------------------------------

    def _edits(self, site: Site) -> list[Edit]:
        """Return what ends the task of ``site``, nothing if it may be needed until later."""
        context, file, writer = self._context, self._context.file, self._context.writer
        statement, function = site.statement, site.function
        if statement is None or not isinstance(function, syntax.FunctionDef):
            return []
        body = body_of(function)
        if not any(one is statement for one in body) or site.form not in ("assign", "discard"):
            return []
        is_bound = site.form == "assign"
        if is_bound and len(context.tree.inner[function].stores.get(site.target, ())) != 1:
            return []
        following = body[next(i for i, one in enumerate(body) if one is statement) + 1 :]
        while following and _only_assigns(following[0]):
            following = following[1:]
        served = following[0] if following else None
        if served is None or not self._is_all_of_it(served, following[1:], site):
            return []
        task = site.target if is_bound else context.locals.free("task", site.call)
        ending = Ending(
            (task,),
            context.additions.module("asyncio"),
            context.settings.shutdown_timeout,
            # To cancel a task that has failed would keep its failure from the loop.
            if_running=True,
        )
        if is_bound:
            names = writer.name_edit(site)
            named = writer.laid_out(statement, names) if names else []
            edits = named if named and not writer.makes_too_long(named) else []
        else:
            edits = writer.bind(site, task)
        if not isinstance(served, syntax.Try):
            return [*edits, *ending_edits(context, EndingPlace((served, served)), ending, edits)]
        if served.finalbody is not None:
            final = body_of(served.finalbody)
            where = EndingPlace(None, final)
            return [*edits, *ending_edits(context, where, ending, edits)] if final else []
        indent = file.indent(served)
        lines = [f"{indent}finally:", *ending.lines(indent + writer.layout.step, writer.layout)]
        below = last_line_with_comments(context, served) + 1
        return [*edits, writer.insert_at(below, lines, Place.END_OF_BLOCK)]

    def _is_all_of_it(self, served: Statement, later: Sequence[Statement], site: Site) -> bool:
        """Tell whether the function only goes through its loop in ``served``, and is over then.

        The task beats now and then, and is told nothing.
        """
        file, worker = self._context.file, LikelyWorker.of(self._context, site)
        function = site.function
        if not isinstance(function, syntax.FunctionDef):
            return False
        shared = worker.shares_with(function)
        if isinstance(served, syntax.Try):
            inside = body_of(served.body)
            rest = [*served.handlers, served.orelse, served.finalbody, *inside[:-1], *later]
            loop = inside[-1] if inside else None
        else:
            rest, loop = list(later), served
        return (
            isinstance(loop, (syntax.While, syntax.For))
            and bool(served_here := self._served(loop, shared))
            and worker.only_beats(served_here)
            and not self._hands_over(loop, served_here)
            and (
                isinstance(loop, syntax.For)
                or is_endless(loop)
                or any(isinstance(node, syntax.Await) for node in file.inside(loop.test))
            )
            and not any(
                isinstance(node, (syntax.Await, syntax.With, syntax.For, syntax.While))
                for part in rest
                if part is not None
                for node in file.inside(part, into_scopes=False)
            )
            and not any(
                isinstance(node, syntax.Attribute) and node.attr.value in ("set", "join", "wait")
                for node in file.inside(function)
            )
        )


def _joins(node: syntax.Node, shared: set[str]) -> bool:
    """Tell whether ``node`` waits until workers have done all that there is: ``queue.join()``."""
    return (
        isinstance(node, syntax.Call)
        and isinstance(node.func, syntax.Attribute)
        and node.func.attr.value == "join"
        and not node.args
        and root(node.func) in shared
    )


def _only_assigns(statement: Statement) -> bool:
    """Tell whether ``statement`` only gives something a value."""
    small = statement_expression(statement)
    return isinstance(small, (syntax.Assign, syntax.AnnAssign)) and not isinstance(
        small.value, syntax.Await
    )

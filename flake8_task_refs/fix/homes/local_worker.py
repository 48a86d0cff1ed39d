"""Endless tasks that serve one call of a function, and end with it.

A heartbeat for a connection, the workers of a queue: a registry would keep one more of them with
each call, for ever. A ``finally`` cancels them and waits for them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.flow import is_endless
from flake8_task_refs.analysis.syntax import last_name
from flake8_task_refs.analysis.workers import Worker
from flake8_task_refs.fix.contract import Context, Plan
from flake8_task_refs.fix.edits import Edit, Place
from flake8_task_refs.fix.fates import STARTS
from flake8_task_refs.fix.lifespan_body import EndingPlace, ending_edits
from flake8_task_refs.fix.shutdown import Ending
from flake8_task_refs.fix.source import body_of, statement_expression
from flake8_task_refs.fix.spawned import unstoppable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flake8_task_refs.fix.repair_sites import Site
    from flake8_task_refs.fix.source import Statement

# How a function gets what its connection, its queue or its stream has next.
_GETS_MORE: Final = re.compile(
    r"(?:a?recv|receive|read|readline|get|next|accept|iter|poll|fetch|consume)(?:_\w+)?\Z|__anext__\Z"
)
# How it waits until its workers have done all.
_WAITS: Final = frozenset({"join", "wait", "wait_closed"})
_COLLECTIONS: Final = (syntax.Element, syntax.List, syntax.Set, syntax.ListComp, syntax.SetComp)


@dataclass(frozen=True, slots=True)
class _Kept:
    """Where a local keeps a task, or all tasks of a loop: ``last`` is the statement that fills it.

    ``following`` are those after it in its block.
    """

    name: str
    many: bool
    last: Statement
    following: Sequence[Statement]


class LocalWorkers:
    """Cancels the workers of a call when the function is through."""

    def __init__(self, context: Context) -> None:
        """Repair in ``context``."""
        self._context = context

    def accepts(self, site: Site) -> bool:
        """Take what runs until it is ended, while the function goes on that holds it."""
        return self._kept_for_the_call(site) is not None

    def plan(self, sites: Sequence[Site]) -> Plan:
        """End the tasks of ``sites``: those of one function that are made in a row, together."""
        found = Plan()
        for group in self._in_rows(sites):
            reason = next(filter(None, (unstoppable(self._context, site) for site, _ in group)), "")
            made = [site for site, _ in group]
            if reason:
                found.decline(made, reason)
                continue
            found.edits += self._edits(made, [kept for _, kept in group])
            found.fixed += [site.finding for site in made]
        return found

    def _in_rows(self, sites: Sequence[Site]) -> Iterator[list[tuple[Site, _Kept]]]:
        """Yield the sites whose statements follow each other, with where their tasks are kept."""
        order = self._context.tree.order
        rows: list[list[tuple[Site, _Kept]]] = []
        for site in sorted(sites, key=lambda site: order[site.call]):
            kept = self._kept_for_the_call(site)
            if kept is None:
                continue
            before = rows[-1][-1][1] if rows else None
            if before is not None and (
                before.last is kept.last or before.following[:1] == [kept.last]
            ):
                rows[-1].append((site, kept))
            else:
                rows.append([(site, kept)])
        yield from rows

    # -- is it for this call? ---------------------------------------------------------------

    def _kept_for_the_call(self, site: Site) -> _Kept | None:
        """Return where the task of ``site`` is kept, None if it may be meant to go on later."""
        context, function = self._context, site.function
        if (
            site.code != "TSK002"
            or not isinstance(function, syntax.FunctionDef)
            or not function.asynchronous
            or not isinstance(site.coroutine, syntax.Call)
            or context.judge.application(function) is not None
            or not Worker(context.judge.ownership, site.coroutine).outlives_its_source()
        ):
            return None
        kept = self._kept(site)
        if kept is None:
            return None
        if any(map(self._goes_on, kept.following)):
            return kept
        is_start = STARTS.match(function.name.value) is not None
        waits = not is_start and self._is_given_a_local(site.coroutine)
        return kept if waits and any(map(self._waits, kept.following)) else None

    def _kept(self, site: Site) -> _Kept | None:
        tree, statement = self._context.tree, site.statement
        if statement is None:
            return None
        loops = self._context.judge.ownership.flow.loops(site.call)
        runner: syntax.Node = site.call
        while isinstance(tree.parent[runner], _COLLECTIONS):
            runner = tree.parent[runner]
        holder = tree.parent[runner]
        if isinstance(holder, syntax.Assign) and len(holder.targets) == 1:
            target = holder.targets[0].target
            if not loops and isinstance(target, syntax.Name):
                return self._in(target.value, site, statement, many=runner is not site.call)
            if runner is not site.call or len(loops) != 1 or not isinstance(target, syntax.Name):
                return None
            container = self._that_takes(target)
        else:
            container = _taker(tree.parent[holder]) if isinstance(holder, syntax.Arg) else None
        if container is None or len(loops) > 1 or not isinstance(loops[0], syntax.For):
            return None
        return self._in(container.value, site, loops[0], many=True)

    def _that_takes(self, task: syntax.Name) -> syntax.Name | None:
        """Return the list that a local ``task`` is appended to, and nothing else."""
        tree = self._context.tree
        takers = [
            _taker(tree.parent[tree.parent[use]])
            for use in tree.scope[task].uses(task.value)
            if isinstance(tree.parent[use], syntax.Arg)
        ]
        return takers[0] if len(takers) == 1 else None

    def _in(self, name: str, site: Site, last: Statement, *, many: bool) -> _Kept | None:
        """Return what says that the local ``name``, bound once, is filled by ``last``."""
        tree = self._context.tree
        scope = tree.inner[site.function] if site.function is not None else None
        if scope is None or len(scope.stores.get(name, ())) != 1:
            return None
        block = tree.parent[last]
        if not isinstance(block, syntax.IndentedBlock):
            return None
        body = body_of(block)
        at = next(number for number, statement in enumerate(body) if statement is last)
        return _Kept(name, many, last, body[at + 1 :])

    def _goes_on(self, statement: Statement) -> bool:
        """Tell whether ``statement`` is or holds the loop in which the function serves somebody."""
        return any(
            node.asynchronous
            if isinstance(node, syntax.For)
            else isinstance(node, syntax.While) and self._serves(node)
            for node in self._context.file.inside(statement, into_scopes=False)
        )

    def _serves(self, loop: syntax.While) -> bool:
        """Tell whether ``loop`` waits for what comes next, rather than until something is ready."""
        awaits = [
            node.expression
            for node in self._context.file.inside(loop, into_scopes=False)
            if isinstance(node, syntax.Await)
        ]
        return bool(awaits) and (
            is_endless(loop)
            or any(
                isinstance(call, syntax.Call) and _GETS_MORE.match(last_name(call.func))
                for call in awaits
            )
        )

    def _waits(self, statement: Statement) -> bool:
        """Tell whether the function waits in ``statement`` for what its workers do."""
        return any(
            isinstance(node, syntax.Await)
            and isinstance(node.expression, syntax.Call)
            and last_name(node.expression.func) in _WAITS
            for node in self._context.file.inside(statement, into_scopes=False)
        )

    @staticmethod
    def _is_busy(statement: Statement) -> bool:
        """Tell whether ``statement`` does more than to give something a value."""
        small = statement_expression(statement)
        return not isinstance(small, (syntax.Assign, syntax.AnnAssign)) or isinstance(
            small.value, (syntax.Await, syntax.Call)
        )

    def _is_given_a_local(self, coroutine: syntax.Call) -> bool:
        """Tell whether ``coroutine`` works for this call: it has to do with a variable of it."""
        tree = self._context.tree
        scope = tree.scope[coroutine].function
        return any(
            isinstance(node, syntax.Name)
            and node.value not in ("self", "cls")
            and scope.binds(node.value)
            for node in tree.walk(coroutine)
        )

    def _region(self, kept: _Kept) -> tuple[Statement, Statement]:
        """Return the first and the last statement that the tasks are there for.

        What only gives names a value need not be in the ``try``.
        """
        waiting = [st for st in kept.following if self._goes_on(st) or self._waits(st)]
        first = next(st for st in kept.following if st is waiting[0] or self._is_busy(st))
        return first, waiting[-1]

    # -- the edits --------------------------------------------------------------------------

    def _edits(self, sites: Sequence[Site], kept: Sequence[_Kept]) -> list[Edit]:
        context, file, writer = self._context, self._context.file, self._context.writer
        function = sites[0].function
        if not isinstance(function, syntax.FunctionDef):
            raise TypeError("a lambda has no statements")
        singles = dict.fromkeys(one.name for one in kept if not one.many)
        several = dict.fromkeys(one.name for one in kept if one.many)
        ending = Ending(
            tuple(singles),
            context.additions.module("asyncio"),
            context.settings.shutdown_timeout,
            tuple((name, context.locals.free("worker", function)) for name in several),
        )
        edits: list[Edit] = []
        by_statement: dict[Statement, list[Site]] = defaultdict(list)
        for site in sites:
            if site.statement is not None:
                by_statement[site.statement].append(site)
        for statement, made in by_statement.items():
            names = [edit for site in made for edit in writer.name_edit(site)]
            named = writer.laid_out(statement, names) if names else []
            edits += named if named and not writer.makes_too_long(named) else []
        first, until = self._region(kept[-1])
        if first is until and isinstance(until, syntax.Try):
            if until.finalbody is not None and body_of(until.finalbody):
                where = EndingPlace(None, body_of(until.finalbody))
                return [*edits, *ending_edits(context, where, ending, edits)]
            if until.finalbody is None:
                indent = file.indent(until)
                lines = [f"{indent}finally:"]
                lines += ending.lines(indent + writer.layout.step, writer.layout)
                return [*edits, writer.insert_after(until, lines, Place.END_OF_BLOCK)]
        return [*edits, *ending_edits(context, EndingPlace((first, until)), ending, edits)]


def _taker(call: syntax.Node) -> syntax.Name | None:
    """Return the variable that ``call`` adds something to: ``tasks.append(...)``."""
    if (
        isinstance(call, syntax.Call)
        and isinstance(call.func, syntax.Attribute)
        and call.func.attr.value in ("append", "add")
        and isinstance(call.func.value, syntax.Name)
    ):
        return call.func.value
    return None

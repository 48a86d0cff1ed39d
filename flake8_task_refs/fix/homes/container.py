"""A container that keeps its tasks for good: it gets the callback that takes them out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import libcst as cst

from flake8_task_refs.analysis.tree import last_name
from flake8_task_refs.fix.plan import Context, Plan
from flake8_task_refs.fix.registration import Registry
from flake8_task_refs.fix.source import dotted, statement_expression
from flake8_task_refs.fix.workers import task_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flake8_task_refs.fix.sites import Site
    from flake8_task_refs.fix.source import Statement

_DISCARDS: Final = {"add": "discard", "append": "remove"}

OTHER_STORE: Final = (
    "the task is stored in another way than by add() or append(): take it out when it is done"
)


class GrowingContainers:
    """Registers the discard callback next to where a task is stored."""

    def __init__(self, context: Context) -> None:
        """Repair in ``context``."""
        self._context = context

    def accepts(self, site: Site) -> bool:
        """Take every task that its container keeps for good."""
        return site.code == "TSK101"

    def plan(self, sites: Sequence[Site]) -> Plan:
        """Add the callbacks."""
        found = Plan()
        for site in sites:
            found.take(_add_discard(self._context, site))
        return found


def _add_discard(context: Context, site: Site) -> Plan:
    found = Plan(fixed=[site.finding])
    direct = _store_around(context, site.call)
    if direct is not None and site.statement is not None and site.function is not None:
        return _split(context, site, direct)
    store = _store_of(context, site) if site.form == "assign" else None
    if store is None:
        return _declined(site)
    statement, registry = store
    indent = context.file.indent(statement)
    line = f"{site.target}.add_done_callback({registry.expression}.{registry.discard})"
    lines = context.writer.layout.best(line, indent)
    found.edits.append(context.writer.insert_after(statement, lines))
    return found


def _store_around(context: Context, node: cst.CSTNode) -> Registry | None:
    """Return the container if ``node`` is the argument of ``container.add(…)``, a statement."""
    argument = context.file.parent(node)
    call = context.file.parent(argument)
    if (
        not isinstance(argument, cst.Arg)
        or not isinstance(call, cst.Call)
        or not isinstance(context.file.parent(call), cst.Expr)
        or len(call.args) != 1
    ):
        return None
    return _registry(call)


def _registry(call: cst.Call) -> Registry | None:
    method = last_name(call.func)
    if method not in _DISCARDS or not isinstance(call.func, cst.Attribute):
        return None
    container = dotted(call.func.value)
    return Registry(container, method, _DISCARDS[method]) if container else None


def _split(context: Context, site: Site, registry: Registry) -> Plan:
    """Make ``container.add(create_task(…))`` three statements."""
    statement = site.statement
    if statement is None or statement_expression(statement) is None:
        return _declined(site)
    writer, file = context.writer, context.file
    indent = file.indent(statement)
    task = task_name(context, site)
    code = f"{task} = {writer.with_name(site)}"
    lines = writer.layout.best(code, indent, writer.comment_after(statement))
    after = [line for text in registry.lines(task) for line in writer.layout.best(text, indent)]
    edits = [
        writer.replace(file.span(statement), lines, indent),
        writer.insert_after(statement, after),
    ]
    return Plan(edits=edits, fixed=[site.finding])


def _store_of(context: Context, site: Site) -> tuple[Statement, Registry] | None:
    """Return the statement ``container.add(task)`` in the function of ``site``."""
    if site.function is None:
        return None
    after = context.file.span(site.call).end
    for node in context.file.inside(site.function, into_scopes=False):
        if (
            isinstance(node, cst.Name)
            and node.value == site.target
            and context.file.span(node).start > after
        ):
            registry = _store_around(context, node)
            statement = context.file.statement(node)
            if registry is not None and statement is not None:
                return statement, registry
    return None


def _declined(site: Site) -> Plan:
    found = Plan()
    found.decline([site], OTHER_STORE)
    return found

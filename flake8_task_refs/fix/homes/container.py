"""A container that keeps a task for good, or whose callback is broken: the callback is mended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import libcst as cst

from flake8_task_refs.fix.edits import Edit
from flake8_task_refs.fix.names import last_name_of
from flake8_task_refs.fix.plan import Context, Declined, Plan
from flake8_task_refs.fix.registration import Registry
from flake8_task_refs.fix.source import dotted, statement_expression

if TYPE_CHECKING:
    from flake8_task_refs.analysis.finding import Finding
    from flake8_task_refs.fix.sites import Site
    from flake8_task_refs.fix.source import Statement

_DISCARDS: Final = {"add": "discard", "append": "remove"}

OTHER_STORE: Final = (
    "the task is stored in another way than by add() or append(): take it out when it is done"
)
OTHER_CALLBACK: Final = "what this callback should do cannot be told from it: mend it by hand"
UNSAFE_CALLBACK: Final = "a callback that works changes what the program does (--unsafe-fixes)"


def add_discard(context: Context, site: Site) -> Plan:
    """Register the discard callback next to where the task of ``site`` is stored."""
    found = Plan(fixed=[site.finding])
    direct = _store_around(context, site.call)
    if direct is not None and site.statement is not None and site.function is not None:
        return _split(context, site, direct)
    store = _store_of(context, site) if site.form == "assign" else None
    if store is None:
        return Plan(declined=[Declined(site.finding, OTHER_STORE)])
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
    method = last_name_of(call.func)
    if method not in _DISCARDS or not isinstance(call.func, cst.Attribute):
        return None
    container = dotted(call.func.value)
    return Registry(container, method, _DISCARDS[method]) if container else None


def _split(context: Context, site: Site, registry: Registry) -> Plan:
    """Make ``container.add(create_task(…))`` three statements."""
    statement = site.statement
    if statement is None or statement_expression(statement) is None:
        return Plan(declined=[Declined(site.finding, OTHER_STORE)])
    writer, file = context.writer, context.file
    indent = file.indent(statement)
    task = context.locals.free("task", site.call)
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


def mend_callback(context: Context, finding: Finding) -> Plan:
    """Pass ``container.discard`` instead of calling it."""
    file = context.file
    offset = file.offset(finding.line, finding.column - 1)
    for node in file.calls_at(offset):
        if (
            last_name_of(node.func) == "add_done_callback"
            and isinstance(node.func, cst.Attribute)
            and node.args
        ):
            method = _method(node.args[0].value, dotted(node.func.value))
            if method is None:
                break
            if not context.settings.unsafe_fixes:
                return Plan(declined=[Declined(finding, UNSAFE_CALLBACK)])
            span = file.span(node.args[0].value)
            return Plan(edits=[Edit(span.start, span.end, file.code(method))], fixed=[finding])
    return Plan(declined=[Declined(finding, OTHER_CALLBACK)])


def _method(callback: cst.BaseExpression, task: str) -> cst.BaseExpression | None:
    """Return ``container.discard`` of ``container.discard(task)``, also inside a lambda."""
    if isinstance(callback, cst.Lambda) and not callback.params.params:
        callback = callback.body
    if (
        isinstance(callback, cst.Call)
        and last_name_of(callback.func) in _DISCARDS.values()
        and len(callback.args) == 1
        and dotted(callback.args[0].value) == task
    ):
        return callback.func
    return None

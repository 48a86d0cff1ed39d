"""A lifespan as whoever writes into it sees it: where it yields, and where its tasks can end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flake8_task_refs.analysis import syntax
from flake8_task_refs.fix.edits import Edit, Place
from flake8_task_refs.fix.lifespan_helper import helper_of
from flake8_task_refs.fix.shutdown import (
    CLOSE,
    Cancellation,
    Ending,
    events,
    is_waited_for,
)
from flake8_task_refs.fix.source import Statement, body_of, only_reports

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flake8_task_refs.fix.contract import Context
    from flake8_task_refs.fix.repair_sites import Site
    from flake8_task_refs.fix.worker import Used


@dataclass(frozen=True, slots=True)
class EndingPlace:
    """Where the lines go that end the tasks.

    ``wrapped`` are the first and the last statement of a new ``try``, in whose ``finally`` they
    stand; else they stand in an existing one, before the statement ``number`` of ``block``.
    """

    wrapped: tuple[Statement, Statement] | None
    block: Sequence[Statement] = ()
    number: int = 0

    def before(self, context: Context) -> Sequence[Statement]:
        """Return the statements before those lines, in their block or in that of the new `try`."""
        if self.wrapped is None:
            return self.block[: self.number]
        first, last = (context.file.span(statement).start for statement in self.wrapped)
        around = body_of(context.tree.parent[self.wrapped[1]])
        return [one for one in around if first <= context.file.span(one).start <= last]


def lifespan_around(context: Context, site: Site) -> syntax.FunctionDef | None:
    """Return the lifespan that ``site`` stands in, directly or in a nested function."""
    for outer in context.tree.ancestors(site.call):
        if isinstance(outer, syntax.Lambda):
            return None
        if isinstance(outer, syntax.FunctionDef) and outer.asynchronous:
            application = context.judge.application(outer)
            if application is not None and application.yields:
                return outer
    return None


def starts_at(context: Context, function: syntax.FunctionDef, site: Site) -> syntax.Node:
    """Return what ``function`` itself runs when ``site`` is reached, or the nested function."""
    helper = helper_of(context, site)
    if helper is not None:
        return helper.call
    outermost: syntax.Node = site.call
    for outer in context.tree.ancestors(site.call):
        if outer is function:
            break
        if isinstance(outer, (syntax.FunctionDef, syntax.ClassDef)):
            outermost = outer
    return outermost


def yields_of(context: Context, function: syntax.FunctionDef) -> list[syntax.Yield]:
    """Return the ``yield`` expressions of ``function`` itself."""
    return [node for node in context.tree.jumps(function.body) if isinstance(node, syntax.Yield)]


def innermost_block(
    context: Context, outer: syntax.Node, nodes: Sequence[syntax.Node]
) -> Sequence[Statement]:
    """Return the innermost statement list inside ``outer`` that holds all of ``nodes``."""
    for around in context.file.ancestors(nodes[0]):
        if isinstance(around, syntax.IndentedBlock) and all(
            context.file.within(node, around) for node in nodes
        ):
            return body_of(around)
        if around is outer:
            break
    return body_of(outer)


def try_around(
    context: Context, outer: syntax.Node, block: Sequence[Statement]
) -> syntax.Try | None:
    """Return the ``try`` with a ``finally`` of lines of its own whose body ``block`` is in."""
    file = context.file
    inner: syntax.Node = block[0]
    for around in file.ancestors(block[0]):
        if (
            isinstance(around, syntax.Try)
            and around.finalbody is not None
            and file.within(inner, around.body)
        ):
            return around if body_of(around.finalbody) else None
        if around is outer:
            return None
        inner = around
    return None


def final_of(around: syntax.Try) -> Sequence[Statement]:
    """Return the statements of the ``finally`` of ``around``."""
    return body_of(around.finalbody) if around.finalbody is not None else ()


def leads_straight(
    context: Context, around: syntax.Try, used: Used, yields: Sequence[syntax.Yield]
) -> bool:
    """Tell whether nothing runs between ``yields`` and the ``finally`` of ``around``.

    What would, may close what the tasks use: the exit of a ``with``, an ``else``, a statement.
    """
    return not any(_runs_between(context, around, used, node) for node in yields)


def _runs_between(context: Context, around: syntax.Try, used: Used, node: syntax.Yield) -> bool:
    file = context.file
    inner: syntax.Node = node
    for outer in file.ancestors(node):
        if isinstance(outer, (syntax.With, syntax.While, syntax.For, syntax.TryStar)):
            return True
        if isinstance(outer, (syntax.SimpleStatementLine, syntax.BaseSuite)):
            following = [st for st in outer.body if file.span(st).start > file.span(inner).start]
            if not all(only_reports(file, statement) for statement in following):
                return True
        if isinstance(outer, syntax.Try):
            final = outer.finalbody if outer is not around else None
            if final is not None or outer.orelse is not None or _closes(context, outer, used):
                return True
        if outer is around:
            break
        inner = outer
    return False


def _closes(context: Context, around: syntax.Try, used: Used) -> bool:
    """Tell whether what catches an error in ``around`` closes something."""
    return any(CLOSE in events(context.file, used, caught.body) for caught in around.handlers)


def closes_between(
    context: Context, around: syntax.Try, used: Used, yields: Sequence[syntax.Yield]
) -> bool:
    """Tell whether anything is closed between ``yields`` and the ``finally`` of ``around``."""
    file = context.file
    end = max(file.span(node).end for node in yields)
    parts: list[syntax.Node] = [around.body, *around.handlers]
    parts += [around.orelse] if around.orelse is not None else []
    return any(leaves_with(context, around, node) for node in yields) or any(
        CLOSE in events(file, used, part, after=end) for part in parts
    )


def leaves_with(
    context: Context,
    outer: syntax.Node,
    node: syntax.Yield,
    starts: Sequence[syntax.Node] | None = None,
) -> bool:
    """Tell whether a ``with`` around ``node`` is left before ``outer`` is.

    With ``starts``, only one that holds one of them.
    """
    for around in context.file.ancestors(node):
        if isinstance(around, syntax.With) and (
            starts is None or any(context.file.within(start, around) for start in starts)
        ):
            return True
        if around is outer:
            return False
    return False


def after_last_yield(
    context: Context, used: Used, statement: Statement, yields: Sequence[syntax.Yield]
) -> list[str]:
    """Return the events inside ``statement`` that come after its last ``yield``."""
    file = context.file
    end = max(file.span(node).end for node in yields if file.within(node, statement))
    return list(events(file, used, statement, after=end))


def graceful_later(
    context: Context, function: syntax.FunctionDef, block: Sequence[Statement], used: Used
) -> bool:
    """Tell whether the worker is waited for only after ``block`` has been left."""
    file = context.file
    end = file.span(block[-1]).end
    return is_waited_for(list(events(file, used, function.body, after=end)))


def last_line_with_comments(context: Context, statement: Statement) -> int:
    """Return the last line of ``statement``, or of the comments in its last block."""
    file = context.file
    margin, end = len(file.indent(statement)), file.last_line(statement)
    for line in range(end + 1, file.last_line_number() + 1):
        text = file.line_text(line)
        if not text.strip():
            continue
        if not text.lstrip().startswith("#") or len(text) - len(text.lstrip()) <= margin:
            break
        end = line
    return end


def ending_edits(
    context: Context, where: EndingPlace, ending: Cancellation | Ending, edits: Sequence[Edit]
) -> list[Edit]:
    """Return the edits that put the lines of ``ending`` at their place.

    ``edits`` are all others, which may stand in the block that is indented.
    """
    file, writer = context.file, context.writer
    step = writer.layout.step
    if where.wrapped is None:
        indent = file.indent(where.block[0])
        lines = ending.lines(indent, writer.layout)
        if where.number < len(where.block):
            line = file.first_line_with_comments(where.block[where.number])
            return [writer.insert_at(line, lines, Place.BEFORE_STATEMENT)]
        return [writer.insert_after(where.block[-1], lines, Place.END_OF_BLOCK)]
    first, last = where.wrapped
    indent = file.indent(first)
    begin, end = file.first_line_with_comments(first), last_line_with_comments(context, last)
    lines = [f"{indent}finally:", *ending.lines(indent + step, writer.layout)]
    return [
        writer.insert_at(begin, [f"{indent}try:"], Place.BEFORE_STATEMENT),
        *writer.indent_lines(begin, end, edits),
        writer.insert_after(last, lines, Place.END_OF_BLOCK)
        if end == file.last_line(last)
        else writer.insert_at(end + 1, lines, Place.END_OF_BLOCK),
    ]

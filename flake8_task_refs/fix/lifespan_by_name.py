"""Tasks of a context manager that end by their own names, which its end can still reach.

They are made one right after the other, and need no registry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flake8_task_refs.analysis import syntax
from flake8_task_refs.fix.contract import Context, Plan
from flake8_task_refs.fix.lifespan_body import (
    EndingPlace,
    after_last_yield,
    ending_edits,
    graceful_later,
    innermost_block,
    leads_straight,
    try_around,
    yields_of,
)
from flake8_task_refs.fix.repair_sites import TAKING, has_handle, names_task
from flake8_task_refs.fix.shutdown import CLOSE, GRACEFUL, Ending, events, place, settled
from flake8_task_refs.fix.source import Statement, body_of, dotted, statement_expression
from flake8_task_refs.fix.worker import Used, used_by

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flake8_task_refs.fix.edits import Edit
    from flake8_task_refs.fix.repair_sites import Site


def end_by_name(
    context: Context, function: syntax.FunctionDef, sites: Sequence[Site]
) -> Plan | None:
    """Plan the end of the tasks of ``sites`` with ``function``; ``None`` if they need a registry.

    ``function`` is a lifespan, or another context manager that yields once it has made them. A task
    that has no name yet gets one. The lines are reached only after all of the tasks have been made.
    """
    following = _what_follows(context, function, sites)
    where = _place(context, function, sites, following) if following else None
    if where is None:
        return None
    handles: list[str] = []
    edits: list[Edit] = []
    for site in _in_order(context, sites):
        handles.append(site.target or context.locals.free("task", site.call))
        if site.form == "discard":
            edits += context.writer.bind(site, handles[-1])
    asyncio = context.additions.module("asyncio")
    ending = Ending(tuple(handles), asyncio, context.settings.shutdown_timeout)
    edits += ending_edits(context, where, ending, edits)
    return Plan(edits, fixed=[site.finding for site in sites])


def _in_order(context: Context, sites: Sequence[Site]) -> list[Site]:
    """Return ``sites`` in the order in which the tasks are made."""
    return sorted(sites, key=lambda site: context.file.first_line(site.call))


def _what_follows(
    context: Context, function: syntax.FunctionDef, sites: Sequence[Site]
) -> list[Statement]:
    """Return the statements after those that make and keep the tasks; none if it is not as said."""
    file = context.file
    if not all(site.function is function and _has_name(context, site) for site in sites):
        return []
    made = sorted((site.statement for site in sites if site.statement), key=file.first_line)
    block = innermost_block(context, function, made)
    first = next(i for i, statement in enumerate(block) if statement is made[0])
    if list(block[first : first + len(made)]) != made:
        return []
    around, used = try_around(context, function, block), used_by(context, sites)
    if around is not None and leads_straight(context, around, used, yields_of(context, function)):
        return []  # its `finally` is the place, and may be reached before the names are bound
    following = list(block[first + len(made) :])
    handles = [site.target for site in _in_order(context, sites)]
    while following and _only_keeps(following[0], handles):
        del following[0]
    return following


def _has_name(context: Context, site: Site) -> bool:
    """Tell whether a name stands for the task of ``site`` for good, or could."""
    if site.code == "TSK201":
        return has_handle(context.file, site)
    if site.form == "discard" or site.function is None:
        return site.form == "discard"
    stores = context.tree.inner[site.function].stores.get(site.target, ())
    return site.form == "assign" and len(stores) == 1


def _place(
    context: Context,
    function: syntax.FunctionDef,
    sites: Sequence[Site],
    following: Sequence[Statement],
) -> EndingPlace | None:
    """Choose the place among the statements ``following``, which have to yield."""
    file, yields = context.file, yields_of(context, function)
    if not all(any(file.within(node, statement) for statement in following) for node in yields):
        return None
    used = used_by(context, sites)
    if graceful_later(context, function, following, used):
        return None
    stop = _last_that_yields(context, following, yields)
    last, tail = following[stop], _kinds(context, used, sites, following[stop + 1 :])
    if stop == 0 and isinstance(last, syntax.Try) and last.finalbody is not None:
        final = body_of(last.finalbody)  # empty if it stands on the line of its `finally:`
        number = place(_kinds(context, used, sites, final))
        straight = _goes_straight_to_its_end(context, used, sites, last, yields)
        if not final or number is None or any(tail) or not straight:
            return None
        return EndingPlace(None, final, number)
    number = place(tail)
    if number is None or CLOSE in after_last_yield(context, used, last, yields):
        return None
    return EndingPlace((following[0], following[stop + number]))


def _goes_straight_to_its_end(
    context: Context,
    used: Used,
    sites: Sequence[Site],
    around: syntax.Try,
    yields: Sequence[syntax.Yield],
) -> bool:
    """Tell whether all of ``yields`` stand in the body of ``around``, and no ending after them."""
    if around.handlers or around.orelse:
        return False
    if not all(context.file.within(node, around.body) for node in yields):
        return False
    body = body_of(around.body)
    if not body:
        return False  # `try: yield`
    at = _last_that_yields(context, body, yields)
    after = any(_kinds(context, used, sites, body[at + 1 :]))
    return not after and not after_last_yield(context, used, body[at], yields)


def _last_that_yields(
    context: Context, statements: Sequence[Statement], yields: Sequence[syntax.Yield]
) -> int:
    return max(
        number
        for number, statement in enumerate(statements)
        if any(context.file.within(node, statement) for node in yields)
    )


def _kinds(
    context: Context,
    used: Used,
    sites: Sequence[Site],
    statements: Sequence[Statement],
) -> list[list[str]]:
    """Return what each of ``statements`` does, as far as the order matters."""
    found = [list(events(context.file, used, statement)) for statement in statements]
    for statement, kinds in zip(statements, found, strict=True):
        # Whoever asks for the task's result, does so before it is cancelled.
        if any(names_task(context.file, site, statement) for site in sites):
            kinds.append(GRACEFUL)
    return settled(found)


def _only_keeps(statement: Statement, handles: Sequence[str]) -> bool:
    """Tell whether ``statement`` puts one of ``handles`` elsewhere, or a callback on it."""
    small = statement_expression(statement)
    if isinstance(small, (syntax.Assign, syntax.AnnAssign)):
        return dotted(small.value) in handles
    call = small.value if isinstance(small, syntax.Expr) else None
    if not isinstance(call, syntax.Call) or not isinstance(call.func, syntax.Attribute):
        return False
    if call.func.attr.value in TAKING:
        return any(dotted(arg.value) in handles for arg in call.args)
    return (
        call.func.attr.value in ("add_done_callback", "set_name")
        and dotted(call.func.value) in handles
    )

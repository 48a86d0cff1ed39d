"""Tasks of a lifespan that end by a registry: a local set, which the application has as well."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.syntax import last_name
from flake8_task_refs.fix.app_key import AIOHTTP, app_key
from flake8_task_refs.fix.app_state import has_state, parameter_of
from flake8_task_refs.fix.closing import Told, told_last
from flake8_task_refs.fix.contract import Context, Plan
from flake8_task_refs.fix.edits import Edit, Place
from flake8_task_refs.fix.free_names import fresh
from flake8_task_refs.fix.gathered import tasks_instead
from flake8_task_refs.fix.lifespan_body import (
    EndingPlace,
    after_last_yield,
    closes_between,
    ending_edits,
    final_of,
    graceful_later,
    innermost_block,
    leads_straight,
    leaves_with,
    starts_at,
    try_around,
    yields_of,
)
from flake8_task_refs.fix.lifespan_helper import helper_of
from flake8_task_refs.fix.registration import Registry
from flake8_task_refs.fix.repair_sites import GATHERED, by_statement
from flake8_task_refs.fix.shutdown import (
    CLOSE,
    CONFLICT,
    GRACEFUL,
    Cancellation,
    events,
    is_waited_for,
    place,
    steps,
)
from flake8_task_refs.fix.source import Statement, body_of, first_statement
from flake8_task_refs.fix.task_names import task_name
from flake8_task_refs.fix.worker import LikelyWorker, Used, used_by

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flake8_task_refs.fix.repair_sites import Site


def end_by_registry(context: Context, function: syntax.FunctionDef, sites: Sequence[Site]) -> Plan:
    """Plan a set of ``function`` that keeps the tasks of ``sites``, and their end."""
    found = Plan()
    where = _place(context, function, sites)
    if where is None:
        found.decline(sites, CONFLICT)
    else:
        found.edits += _edits(context, function, where, sites)
        found.fixed += list(dict.fromkeys(site.finding for site in sites))
    return found


def _place(
    context: Context, function: syntax.FunctionDef, sites: Sequence[Site]
) -> EndingPlace | None:
    """Choose the place of the cancellation by the order rule. ``None`` if no place is right."""
    file = context.file
    yields = yields_of(context, function)
    starts = [starts_at(context, function, site) for site in sites]
    first = min(starts, key=lambda node: file.span(node).start)
    block = innermost_block(context, function, [first, *yields])
    start = next(i for i, st in enumerate(block) if file.within(first, st))
    stop = max(i for i, st in enumerate(block) if any(file.within(node, st) for node in yields))
    used = used_by(context, sites)
    unsafe = context.settings.unsafe_fixes

    # An existing try/finally with the creation inside: its finally is the place, if nothing that
    # the tasks may use is gone by then.
    around = try_around(context, function, block)
    tail = block[stop + 1 :]
    if around is not None and _reaches(context, used, around, yields):
        final = final_of(around)
        number = place(steps(file, used, [*tail, *final])[len(tail) :])
        waited = graceful_later(context, function, final, used)
        if (number is None or waited) and not unsafe:
            return None
        return EndingPlace(None, final, number or 0)

    last = block[stop]
    if CLOSE in after_last_yield(context, used, last, yields) or any(
        leaves_with(context, last, node, starts) for node in yields
    ):
        return _inside(context, function, used, last, starts)
    if graceful_later(context, function, block, used) and not unsafe:
        return None
    kinds = steps(file, used, tail)
    number = place(kinds)
    if number is None:
        if not unsafe:
            return None
        number = max(i for i, found in enumerate(kinds) if GRACEFUL in found) + 1
    return EndingPlace((block[start], block[stop + number]))


def _reaches(
    context: Context, used: Used, around: syntax.Try, yields: Sequence[syntax.Yield]
) -> bool:
    """Tell whether the ``finally`` of ``around`` comes early enough to end the tasks in it.

    What is waited for on the way there, is waited for before the end of the tasks.
    """
    if leads_straight(context, around, used, yields):
        return True
    end = max(context.file.span(node).end for node in yields)
    later = list(events(context.file, used, around, after=end))
    return is_waited_for(later) and not closes_between(context, around, used, yields)


def _inside(
    context: Context,
    function: syntax.FunctionDef,
    used: Used,
    last: Statement,
    starts: Sequence[syntax.Node],
) -> EndingPlace | None:
    """Find the place inside the statement ``last``, which yields and then closes something."""
    file, yields, unsafe = context.file, yields_of(context, function), context.settings.unsafe_fixes
    block = innermost_block(context, last, list(yields))
    if not block:
        return None  # `yield; pool.close()`: there is no line between them
    stop = max(i for i, st in enumerate(block) if any(file.within(y, st) for y in yields))
    if CLOSE in after_last_yield(context, used, block[stop], yields) or any(
        leaves_with(context, block[stop], node, starts) for node in yields
    ):
        return None
    tail = block[stop + 1 :]
    kinds = steps(file, used, tail)
    holder = try_around(context, last, block)
    if holder is not None and leads_straight(context, holder, used, yields):
        final = final_of(holder)
        number = place(steps(file, used, final))
        waited = graceful_later(context, function, final, used)
        if (number is None or waited) and not unsafe:
            return None
        return EndingPlace(None, final, number or 0)
    number = place(kinds)
    # An `else` may wait for the worker, too.
    waited = graceful_later(context, function, block, used)
    if (number is None or waited) and not unsafe:
        return None
    return EndingPlace((block[stop], block[stop + (number or 0)]))


def _edits(
    context: Context, function: syntax.FunctionDef, where: EndingPlace, sites: Sequence[Site]
) -> list[Edit]:
    file, writer, additions = context.file, context.writer, context.additions
    asyncio = additions.module("asyncio")
    wanted = context.registry_name
    taken = wanted in context.locals.taken(function)
    name = context.locals.free("lifespan_tasks" if taken else wanted, function)
    log_failed = additions.log_failed_task(function)
    step = context.writer.layout.step
    first_line = last_line = 0
    if where.wrapped:
        first_line = file.first_line_with_comments(where.wrapped[0])
        last_line = file.last_line(where.wrapped[1])
    told = told_last(context, where.before(context), sites)
    all_told = len(told.sites) == len(sites)
    waited_for = {} if all_told else _names_of_told(context, function, told)
    edits: list[Edit] = []
    for group in by_statement(sites):
        line = file.line_of(file.span(group[0].call).start)
        deeper = step if first_line <= line <= last_line else ""
        if group[0].form == GATHERED:
            edits.append(tasks_instead(context, group, Registry(name), log_failed, deeper))
            continue
        # A local would keep a failure from the loop, which is told of it where nothing logs it.
        if group[0].form == "expression" or (not log_failed and group[0].form != "assign"):
            keep = additions.keep(log_failed)
            edits += writer.wrap(group, keep, deeper, f", {name}")
        else:
            helper = helper_of(context, group[0])
            kept = f"{helper.application}.state.{_attribute(context)}" if helper else name
            task = waited_for.get(group[0]) or task_name(context, group[0])
            edits += writer.register(group[0], task, Registry(kept), log_failed, deeper)
    first = first_statement(function)
    opens = bool(where.wrapped and where.wrapped[0] is first)
    edits.append(_registry_edit(context, function, first, (name, asyncio), opens=opens))
    if waited_for:
        last = _out_of_blocks(context, function, told.statements[-1])
        deeper = step if first_line <= file.first_line(last) <= last_line else ""
        edits.append(_wait(context, last, tuple(waited_for.values()), deeper))
    cancellation = Cancellation.within(context, function, f"list({name})", told=all_told)
    return [*edits, *ending_edits(context, where, cancellation, edits)]


def _names_of_told(context: Context, function: syntax.FunctionDef, told: Told) -> dict[Site, str]:
    """Return the locals by which ``function`` can wait for those that are ``told``, and not others.

    There are none if one of them may be without a task by then, or stand for another.
    """
    found: dict[Site, str] = {}
    for site in told.sites:
        stores = context.tree.inner[function].stores.get(site.target, ())
        if (
            site.function is not function
            or site.form not in ("discard", "assign")
            or (site.form == "assign" and len(stores) != 1)
            or helper_of(context, site) is not None
            or not all(_comes_after(context, site, sign) for sign in told.statements)
        ):
            return {}
        worker = LikelyWorker.of(context, site).name.strip("_")
        found[site] = site.target or context.locals.free(f"{worker}_task", site.call)
    return found


def _comes_after(context: Context, site: Site, statement: Statement) -> bool:
    """Tell whether ``statement`` is reached only once the one of ``site`` has been run.

    It stands further down in the same block, or in what does.
    """
    file, made = context.file, site.statement
    block = context.tree.parent[made] if made is not None else None
    if made is None or block is None:
        return False
    end = file.span(made).end
    return any(
        file.span(later).start >= end and file.within(statement, later) for later in body_of(block)
    )


def _out_of_blocks(context: Context, function: syntax.FunctionDef, sign: Statement) -> Statement:
    """Return ``sign``, or the outermost block around it that may be a lock or have a time limit.

    What it tells may want the lock itself, and take longer. A ``suppress`` may mean that the sign
    was not given.
    """
    found = sign
    for outer in context.file.ancestors(sign):
        if outer is function:
            break
        if (
            isinstance(outer, syntax.With)
            and not any(context.file.within(at, outer) for at in yields_of(context, function))
            and not all(_is_suppress(item.item) for item in outer.items)
        ):
            found = outer
    return found


def _is_suppress(item: syntax.BaseExpression) -> bool:
    return isinstance(item, syntax.Call) and last_name(item.func) == "suppress"


def _wait(context: Context, sign: Statement, tasks: Sequence[str], deeper: str) -> Edit:
    """Wait for ``tasks`` right after ``sign``, when the last of them has been told to end."""
    writer, timeout = context.writer, context.settings.shutdown_timeout
    indent = context.file.indent(sign) + deeper
    bound = "" if timeout is None else f", timeout={timeout:g}"
    subject = "They have" if len(tasks) > 1 else "It has"
    wait = f"await {context.additions.module('asyncio')}.wait([{', '.join(tasks)}]{bound})"
    lines = [f"{indent}# {subject} been told to end.", *writer.layout.best(wait, indent)]
    return writer.insert_after(sign, lines)


def _registry_edit(
    context: Context,
    function: syntax.FunctionDef,
    first: Statement,
    names: tuple[str, str],
    *,
    opens: bool,
) -> Edit:
    """Insert the set at the top of ``function``, and on the application's state if it has one."""
    name, asyncio = names
    file = context.file
    indent = file.indent(first)
    lines = context.writer.layout.best(f"{name}: set[{asyncio}.Task[object]] = set()", indent)
    parameter = parameter_of(context, function)
    if parameter is not None and has_state(context, function):
        lines.append(f"{indent}{parameter.name.value}.state.{_attribute(context)} = {name}")
    elif parameter is not None and _is_mapping(context, parameter):
        lines += context.writer.layout.best(
            f"{parameter.name.value}[{app_key(context)}] = {name}", indent
        )
    line = file.first_line_with_comments(first)
    if not opens and not isinstance(first, syntax.FunctionDef):
        lines.append("")
    return context.writer.insert_at(line, lines, Place.AFTER_STATEMENT)


def _attribute(context: Context) -> str:
    """Return what the set is called on the application's state."""
    used = {
        node.attr.value
        for node in context.file.all(syntax.Attribute)
        if last_name(node.value) == "state"
    }
    return fresh(context.registry_name, used)


def _is_mapping(context: Context, parameter: syntax.Param) -> bool:
    """Tell whether the parameter is an application of aiohttp's."""
    if parameter.annotation is None or not context.names.module_alias(AIOHTTP):
        return False
    origin = context.names.canonical(parameter.annotation.annotation)
    return origin == f"{AIOHTTP}.Application" and parameter.name.value.strip("_") != ""

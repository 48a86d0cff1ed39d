"""The lifespan of an application: its tasks end when it ends.

A local set holds the tasks, a ``finally`` around the ``yield`` cancels them and waits for them.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.syntax import last_name
from flake8_task_refs.fix.app_key import AIOHTTP, app_key
from flake8_task_refs.fix.app_state import HAVE_STATE, replaces_state
from flake8_task_refs.fix.contract import Context, Plan
from flake8_task_refs.fix.edits import Edit, Place
from flake8_task_refs.fix.free_names import fresh
from flake8_task_refs.fix.registration import Registry
from flake8_task_refs.fix.repair_sites import (
    TAKING,
    by_statement,
    has_handle,
    is_collected,
    names_task,
)
from flake8_task_refs.fix.shutdown import (
    CLOSE,
    CONFLICT,
    GRACEFUL,
    Cancellation,
    Ending,
    events,
    is_waited_for,
    place,
    settled,
    steps,
)
from flake8_task_refs.fix.source import (
    Statement,
    body_of,
    dotted,
    has_docstring,
    last_part,
    statement_expression,
)
from flake8_task_refs.fix.spawned import task_name, unstoppable, used_names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from flake8_task_refs.fix.repair_sites import Site

# What an application may keep, or keeps, and is to end.
ENDED_WITH_APPLICATION: Final = frozenset({"TSK001", "TSK002", "TSK201"})

COLLECTED: Final = (
    "the task is in a container of your own, or kept by what it is handed to: "
    "cancel it there at shutdown, and wait for it"
)
ASKED: Final = (
    "the shutdown asks for the task itself, and would hear that it was cancelled: "
    "cancel it after that"
)
AFTER_YIELD: Final = (
    "the task is created after the yield, when the application is already shutting down: await it"
)


# Planning.


@dataclass(frozen=True, slots=True)
class _Shape:
    """Where the cancellation goes.

    ``wrapped`` are the first and the last statement of a new ``try``; else the lines stand in an
    existing ``finally``, before the statement ``number`` of ``block``. With ``handles``, the tasks
    are known by these expressions wherever the lines are reached, and need no registry.
    """

    wrapped: tuple[Statement, Statement] | None
    block: Sequence[Statement] = ()
    number: int = 0
    handles: tuple[str, ...] = ()


class Lifespans:
    """A set of the lifespan, whose end cancels what is in it."""

    def __init__(self, context: Context) -> None:
        """Repair in ``context``."""
        self._context = context

    def accepts(self, site: Site) -> bool:
        """Take what is made in a lifespan, directly or in a function that is nested in it."""
        return (
            site.code in ENDED_WITH_APPLICATION
            and site.statement is not None
            and lifespan_around(self._context, site) is not None
        )

    def plan(self, sites: Sequence[Site]) -> Plan:
        """Keep the tasks of ``sites`` until their lifespan ends, and end them then."""
        groups: dict[syntax.FunctionDef, list[Site]] = defaultdict(list)
        for site in sites:
            function = lifespan_around(self._context, site)
            if function is not None:
                groups[function].append(site)
        found = Plan()
        for function, group in groups.items():
            found.take(_plan(self._context, function, group))
        return found


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


def _plan(context: Context, function: syntax.FunctionDef, sites: Sequence[Site]) -> Plan:
    found = Plan()
    good = []
    for site in sites:
        reason = refusal(context, function, site)
        if reason:
            found.decline([site], reason)
        else:
            good.append(site)
    shape = _by_name(context, function, good) if good else None
    if shape is None and good:
        good = _decline(
            found,
            good,
            {
                COLLECTED: lambda site: is_collected(context.file, site),
                ASKED: lambda site: _is_asked_later(context, function, site),
            },
        )
        shape = _shape(context, function, good) if good else None
    if shape is not None:
        _write(context, function, shape, good, found)
    else:
        found.decline(good, CONFLICT)
    return found


def _decline(
    found: Plan, sites: Sequence[Site], reasons: Mapping[str, Callable[[Site], bool]]
) -> list[Site]:
    """Decline ``sites`` for the first of ``reasons`` that holds; return those left."""
    left: list[Site] = []
    for site in sites:
        reason = next((reason for reason, holds in reasons.items() if holds(site)), None)
        if reason is None:
            left.append(site)
        else:
            found.decline([site], reason)
    return left


def refusal(context: Context, function: syntax.FunctionDef, site: Site) -> str:
    """Return why the end of ``function`` cannot end the task of ``site``, ``""`` if it can."""
    reason = unstoppable(context, site)
    return reason or (AFTER_YIELD if _is_after_yield(context, function, site) else "")


def _starts_at(context: Context, function: syntax.FunctionDef, site: Site) -> syntax.Node:
    """Return what ``function`` itself runs when ``site`` is reached, or the nested function."""
    outermost: syntax.Node = site.call
    for outer in context.tree.ancestors(site.call):
        if outer is function:
            break
        if isinstance(outer, (syntax.FunctionDef, syntax.ClassDef)):
            outermost = outer
    return outermost


def _yields_of(context: Context, function: syntax.FunctionDef) -> list[syntax.Yield]:
    """Return the ``yield`` expressions of ``function`` itself."""
    return [node for node in context.tree.walk(function.body) if isinstance(node, syntax.Yield)]


def _is_after_yield(context: Context, function: syntax.FunctionDef, site: Site) -> bool:
    """Tell whether ``site`` follows every ``yield`` and is not in a loop around one."""
    where = context.file.span(_starts_at(context, function, site)).start
    return all(context.file.span(node).end < where for node in _yields_of(context, function))


def _shape(context: Context, function: syntax.FunctionDef, sites: Sequence[Site]) -> _Shape | None:
    """Choose the place of the cancellation by the order rule. ``None`` if no place is right."""
    file = context.file
    yields = _yields_of(context, function)
    starts = [_starts_at(context, function, site) for site in sites]
    first = min(starts, key=lambda node: file.span(node).start)
    block = _innermost_block(context, function, [first, *yields])
    start = next(i for i, st in enumerate(block) if file.within(first, st))
    stop = max(i for i, st in enumerate(block) if any(file.within(node, st) for node in yields))
    used = frozenset().union(*(used_names(context, site) for site in sites))
    unsafe = context.settings.unsafe_fixes

    # An existing try/finally with the creation inside: its finally is the place.
    around = _finally_around(context, function, block)
    tail = steps(file, used, block[stop + 1 :])
    within = list(_after_last_yield(context, used, block[stop], yields))
    if around is not None:
        kinds = steps(file, used, around)
        number = place(kinds)
        if number is None or CLOSE in [*within, *(kind for kinds in tail for kind in kinds)]:
            if not unsafe:
                return None
            number = number or 0
        if _graceful_later(context, function, around, used) and not unsafe:
            return None
        return _Shape(None, around, number)

    if CLOSE in within:
        return _inside(context, used, block[stop], yields, unsafe=unsafe)
    if _graceful_later(context, function, block, used) and not unsafe:
        return None
    number = place(tail)
    if number is None:
        if not unsafe:
            return None
        number = max(i for i, kinds in enumerate(tail) if GRACEFUL in kinds) + 1
    return _Shape((block[start], block[stop + number]))


def _by_name(
    context: Context, function: syntax.FunctionDef, sites: Sequence[Site]
) -> _Shape | None:
    """Choose the place that ends the tasks by their names; ``None`` if a registry is needed.

    The lines are reached only after all of the tasks have been made, one right after the other.
    """
    file = context.file
    if not all(site.function is function and has_handle(file, site) for site in sites):
        return None
    made = sorted((site.statement for site in sites if site.statement), key=file.first_line)
    block = _innermost_block(context, function, made)
    first = next(i for i, statement in enumerate(block) if statement is made[0])
    if list(block[first : first + len(made)]) != made or _finally_around(context, function, block):
        return None
    handles = tuple(site.target for site in sorted(sites, key=lambda s: file.first_line(s.call)))
    after, yields = list(block[first + len(made) :]), _yields_of(context, function)
    while after and _only_keeps(after[0], handles):
        del after[0]
    if not all(any(file.within(node, statement) for statement in after) for node in yields):
        return None
    used = frozenset[str]().union(*(used_names(context, site) for site in sites))
    stop = max(i for i, st in enumerate(after) if any(file.within(node, st) for node in yields))
    if _graceful_later(context, function, block, used):
        return None
    last, rest = after[stop], after[stop + 1 :]

    def kinds(statements: Sequence[Statement]) -> list[list[str]]:
        found = [list(events(file, used, statement)) for statement in statements]
        for statement, its in zip(statements, found, strict=True):
            # Whoever asks for the task's result, does so before it is cancelled.
            if any(names_task(file, site, statement) for site in sites):
                its.append(GRACEFUL)
        return settled(found)

    tail = kinds(rest)
    if stop == 0 and isinstance(last, syntax.Try) and last.finalbody is not None:
        body = body_of(last.body)
        if last.handlers or last.orelse or not all(file.within(y, last.body) for y in yields):
            return None
        at = max(i for i, st in enumerate(body) if any(file.within(node, st) for node in yields))
        before = [kind for found in kinds(body[at + 1 :]) for kind in found]
        before += _after_last_yield(context, used, body[at], yields)
        final = body_of(last.finalbody)
        number = place(kinds(final))
        if number is None or before or any(tail):
            return None
        return _Shape(None, final, number, handles)
    number = place(tail)
    if number is None or CLOSE in _after_last_yield(context, used, last, yields):
        return None
    return _Shape((after[0], after[stop + number]), handles=handles)


def _is_asked_later(context: Context, function: syntax.FunctionDef, site: Site) -> bool:
    """Tell whether ``function`` speaks of the task of ``site`` after its last ``yield``."""
    file = context.file
    end = max(file.span(node).end for node in _yields_of(context, function))
    return any(
        names_task(file, site, node)
        for node in file.inside(function.body)
        if isinstance(node, (syntax.Name, syntax.Attribute, syntax.Subscript))
        and file.span(node).start > end
    )


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


def _inside(
    context: Context,
    used: frozenset[str],
    last: Statement,
    yields: Sequence[syntax.Yield],
    *,
    unsafe: bool,
) -> _Shape | None:
    """Find the place inside the statement ``last``, which yields and then closes something."""
    file = context.file
    block = _innermost_block(context, last, list(yields))
    if not block:
        return None  # `yield; pool.close()`: there is no line between them
    stop = max(i for i, st in enumerate(block) if any(file.within(y, st) for y in yields))
    if CLOSE in _after_last_yield(context, used, block[stop], yields):
        return None
    tail = block[stop + 1 :]
    kinds = steps(file, used, tail)
    holder = _finally_around(context, last, block)
    if holder is not None and not any(kinds):
        kinds = steps(file, used, holder)
        number = place(kinds)
        if number is None and not unsafe:
            return None
        return _Shape(None, holder, number or 0)
    number = place(kinds)
    if number is None and not unsafe:
        return None
    return _Shape((block[stop], block[stop + (number or 0)]))


def _innermost_block(
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


def _finally_around(
    context: Context, outer: syntax.Node, block: Sequence[Statement]
) -> Sequence[Statement] | None:
    """Return the statements of the ``finally`` whose ``try`` body ``block`` is in, if any."""
    file = context.file
    inner: syntax.Node = block[0]
    for around in file.ancestors(block[0]):
        if (
            isinstance(around, syntax.Try)
            and around.finalbody is not None
            and file.within(inner, around.body)
        ):
            return body_of(around.finalbody) or None
        if around is outer:
            return None
        inner = around
    return None


def _after_last_yield(
    context: Context, used: frozenset[str], statement: Statement, yields: Sequence[syntax.Yield]
) -> list[str]:
    """Return the events inside ``statement`` that come after its last ``yield``."""
    file = context.file
    end = max(file.span(node).end for node in yields if file.within(node, statement))
    return list(events(file, used, statement, after=end))


def _graceful_later(
    context: Context, function: syntax.FunctionDef, block: Sequence[Statement], used: frozenset[str]
) -> bool:
    """Tell whether the worker is waited for only after ``block`` has been left."""
    file = context.file
    end = file.span(block[-1]).end
    return is_waited_for(list(events(file, used, function.body, after=end)))


# What the application can hold.


def _is_passed_as_lifespan(context: Context, name: str) -> bool:
    """Tell whether an application that has a ``.state`` gets ``name`` as its ``lifespan=``."""
    for node in context.tree.calls:
        if last_part(context.names.canonical(node.func)) not in HAVE_STATE:
            continue
        for arg in node.args:
            if arg.keyword is None or arg.keyword.value != "lifespan":
                continue
            values = [arg.value]
            if isinstance(arg.value, (syntax.List, syntax.Tuple)):
                values = [element.value for element in arg.value.elements]
            if any(last_part(dotted(value)) == name for value in values):
                return True
    return False


def _parameter_of(context: Context, function: syntax.FunctionDef) -> syntax.Param | None:
    """Return the first parameter after ``self``."""
    params = [*function.params.posonly_params, *function.params.params]
    if context.file.method_class(function) is not None and params:
        params = params[1:]
    return params[0] if params else None


def _application(context: Context, function: syntax.FunctionDef) -> str:
    """Return the kind of application that the parameter is annotated with, or ``""``."""
    parameter = _parameter_of(context, function)
    if parameter is None or parameter.annotation is None:
        return ""
    annotation = parameter.annotation.annotation
    if isinstance(annotation, syntax.SimpleString):
        name = last_part(str(annotation.evaluated_value))
    else:
        name = last_part(context.names.canonical(annotation))
    return name if name in HAVE_STATE else ""


def _has_state(context: Context, function: syntax.FunctionDef) -> bool:
    """Tell whether the parameter is an application that has a ``.state`` as it was made with."""
    parameter = _parameter_of(context, function)
    if parameter is None or parameter.name.value.strip("_") == "" or replaces_state(context):
        return False
    if parameter.annotation is not None:
        return bool(_application(context, function))
    return _is_passed_as_lifespan(context, function.name.value)


def _is_mapping(context: Context, parameter: syntax.Param) -> bool:
    """Tell whether the parameter is an application of aiohttp's."""
    if parameter.annotation is None or not context.names.module_alias(AIOHTTP):
        return False
    origin = context.names.canonical(parameter.annotation.annotation)
    return origin == f"{AIOHTTP}.Application" and parameter.name.value.strip("_") != ""


# Writing.


def _write(
    context: Context,
    function: syntax.FunctionDef,
    shape: _Shape,
    sites: Sequence[Site],
    found: Plan,
) -> None:
    file, writer, additions = context.file, context.writer, context.additions
    asyncio = additions.module("asyncio")
    if shape.handles:
        ending = Ending(shape.handles, asyncio, context.settings.shutdown_timeout)
        found.edits += _shutdown_edits(context, shape, ending, [])
        found.fixed += [site.finding for site in sites]
        return
    wanted = context.registry_name
    taken = wanted in context.locals.taken(function)
    name = context.locals.free("lifespan_tasks" if taken else wanted, function)
    log_failed = additions.log_failed_task(function)
    step = context.writer.layout.step
    first_line = last_line = 0
    if shape.wrapped:
        first_line = file.first_line_with_comments(shape.wrapped[0])
        last_line = file.last_line(shape.wrapped[1])
    edits: list[Edit] = []
    for group in by_statement(sites):
        line = file.line_of(file.span(group[0].call).start)
        deeper = step if first_line <= line <= last_line else ""
        # A local would keep a failure from the loop, which is told of it where nothing logs it.
        if group[0].form == "expression" or (not log_failed and group[0].form != "assign"):
            keep = additions.keep(log_failed)
            edits += writer.wrap(group, keep, deeper, f", {name}")
        else:
            task = task_name(context, group[0])
            edits += writer.register(group[0], task, Registry(name), log_failed, deeper)
    first = first_statement(function)
    opens = bool(shape.wrapped and shape.wrapped[0] is first)
    edits.append(_registry_edit(context, function, first, (name, asyncio), opens=opens))
    logger, percent = additions.logger()
    cancellation = Cancellation(
        tasks=f"list({name})",
        asyncio=asyncio,
        logger=logger,
        percent=percent,
        timeout=context.settings.shutdown_timeout,
        taken=frozenset(context.locals.taken(function)),
    )
    edits += _shutdown_edits(context, shape, cancellation, edits)
    found.edits += edits
    found.fixed += [site.finding for site in sites]


def first_statement(function: syntax.FunctionDef) -> Statement:
    """Return the first statement after the docstring and what says whose the names are."""
    body = body_of(function)
    rest = body[1:] if has_docstring(function) and len(body) > 1 else body
    declares = (syntax.Global, syntax.Nonlocal)
    return next(
        (
            statement
            for statement in rest
            if not isinstance(statement, syntax.SimpleStatementLine)
            or not all(isinstance(part, declares) for part in statement.body)
        ),
        rest[0],
    )


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
    parameter = _parameter_of(context, function)
    if parameter is not None and _has_state(context, function):
        used = {
            node.attr.value
            for node in file.all(syntax.Attribute)
            if last_name(node.value) == "state"
        }
        attribute = fresh(context.registry_name, used)
        lines.append(f"{indent}{parameter.name.value}.state.{attribute} = {name}")
    elif parameter is not None and _is_mapping(context, parameter):
        lines += context.writer.layout.best(
            f"{parameter.name.value}[{app_key(context)}] = {name}", indent
        )
    line = file.first_line_with_comments(first)
    if not opens and not isinstance(first, syntax.FunctionDef):
        lines.append("")
    return context.writer.insert_at(line, lines, Place.AFTER_STATEMENT)


def _shutdown_edits(
    context: Context, shape: _Shape, ending: Cancellation | Ending, edits: Sequence[Edit]
) -> list[Edit]:
    file, writer = context.file, context.writer
    step = writer.layout.step
    if shape.wrapped is None:
        indent = file.indent(shape.block[0])
        lines = ending.lines(indent, writer.layout)
        if shape.number < len(shape.block):
            line = file.first_line_with_comments(shape.block[shape.number])
            return [writer.insert_at(line, lines, Place.BEFORE_STATEMENT)]
        return [writer.insert_after(shape.block[-1], lines, Place.END_OF_BLOCK)]
    first, last = shape.wrapped
    indent = file.indent(first)
    begin, end = file.first_line_with_comments(first), file.last_line(last)
    lines = [f"{indent}finally:", *ending.lines(indent + step, writer.layout)]
    return [
        writer.insert_at(begin, [f"{indent}try:"], Place.BEFORE_STATEMENT),
        *writer.indent_lines(begin, end, edits),
        writer.insert_after(last, lines, Place.END_OF_BLOCK),
    ]

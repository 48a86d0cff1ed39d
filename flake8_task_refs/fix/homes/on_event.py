"""FastAPI's ``on_event`` handlers: the registry on the application's state, ended at shutdown."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import libcst as cst

from flake8_task_refs.analysis.tree import last_name
from flake8_task_refs.fix.edits import Edit, Place
from flake8_task_refs.fix.homes.lifespan import first_statement
from flake8_task_refs.fix.names import fresh
from flake8_task_refs.fix.plan import Context, Plan
from flake8_task_refs.fix.registration import Registry
from flake8_task_refs.fix.shutdown import CONFLICT, GRACEFUL, Cancellation, events, place
from flake8_task_refs.fix.source import body_of, dotted, last_part
from flake8_task_refs.fix.workers import unstoppable, used_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flake8_task_refs.fix.sites import Site


class StartupHandlers:
    """A set on the application's state; the shutdown handler cancels what is in it."""

    def __init__(self, context: Context) -> None:
        """Repair in ``context``."""
        self._context = context

    def accepts(self, site: Site) -> bool:
        """Take the statements in startup handlers whose shutdown can be written."""
        return (
            site.code in {"TSK001", "TSK002"}
            and site.form != "expression"
            and application_started(self._context, site) != ""
        )

    def plan(self, sites: Sequence[Site]) -> Plan:
        """Keep the tasks of ``sites`` until their application shuts down."""
        groups: dict[str, list[Site]] = defaultdict(list)
        for site in sites:
            groups[application_started(self._context, site)].append(site)
        found = Plan()
        for app, group in groups.items():
            found.take(_plan(self._context, app, group))
        return found


def application_started(context: Context, site: Site) -> str:
    """Return the FastAPI application in whose startup handler ``site`` stands, or ``""``."""
    if not isinstance(site.function, cst.FunctionDef):
        return ""
    app = _handles(site.function, "startup")
    return app if app and _is_fastapi(context, app) else ""


def _handles(function: cst.FunctionDef, event: str) -> str:
    """Return the application whose ``event`` the decorators of ``function`` handle, or ``""``."""
    for decorator in function.decorators:
        call = decorator.decorator
        if isinstance(call, cst.Call) and last_name(call.func) == "on_event" and call.args:
            value = call.args[0].value
            if isinstance(value, cst.SimpleString) and value.evaluated_value == event:
                return dotted(call.func).rpartition(".")[0]
    return ""


def _is_fastapi(context: Context, app: str) -> bool:
    """Tell whether ``app`` is a FastAPI application without a lifespan, which would disable it."""
    for node in context.file.assignments():
        if isinstance(node.value, cst.Call):
            targets = (
                [node.target]
                if isinstance(node, cst.AnnAssign)
                else [target.target for target in node.targets]
            )
            if app in map(dotted, targets):
                call = node.value
                return last_part(context.names.canonical(call.func)) == "FastAPI" and not any(
                    arg.star or (arg.keyword and arg.keyword.value == "lifespan")
                    for arg in call.args
                )
    return False


def _plan(context: Context, app: str, sites: Sequence[Site]) -> Plan:
    found = Plan()
    good = []
    for site in sites:
        reason = unstoppable(context, site)
        if reason:
            found.decline([site], reason)
        else:
            good.append(site)
    if not good:
        return found
    attribute = _attribute(context)
    shutdown = _shutdown(context, app, good, f"{app}.state.{attribute}")
    if shutdown is None:
        found.decline(good, CONFLICT)
        return found
    found.edits += shutdown
    log_failed = context.additions.log_failed_task(_top(context, good))
    asyncio = context.additions.module("asyncio")
    functions: list[cst.FunctionDef] = []
    for site in good:
        function = _handler(context, site)
        if function is None:
            continue
        name = context.registry_name
        if function not in functions:
            name = context.locals.free(context.registry_name, function)
            found.edits.append(
                _registry(context, function, (name, asyncio, f"{app}.state.{attribute}"), functions)
            )
            functions.append(function)
        task = site.target or context.locals.free("task", site.call)
        found.edits += context.writer.register(site, task, Registry(name), log_failed)
    found.fixed += [site.finding for site in good]
    return found


def _top(context: Context, sites: Sequence[Site]) -> cst.CSTNode:
    return min((site.call for site in sites), key=lambda call: context.file.span(call).start)


def _handler(context: Context, site: Site) -> cst.FunctionDef | None:
    """Return the startup handler around ``site``."""
    for outer in context.file.ancestors(site.call):
        if isinstance(outer, cst.FunctionDef) and _handles(outer, "startup"):
            return outer
    return None


def _attribute(context: Context) -> str:
    used = {
        node.attr.value
        for node in context.file.all(cst.Attribute)
        if last_name(node.value) == "state"
    }
    return fresh(context.registry_name, used)


def _registry(
    context: Context,
    function: cst.FunctionDef,
    names: tuple[str, str, str],
    earlier: Sequence[cst.FunctionDef],
) -> Edit:
    """Make the set in the first startup handler; the others take it from the state."""
    name, asyncio, state = names
    file, layout = context.file, context.writer.layout
    first = first_statement(function)
    indent = file.indent(first)
    value = state if earlier else "set()"
    lines = layout.best(f"{name}: set[{asyncio}.Task[object]] = {value}", indent)
    if not earlier:
        lines += layout.best(f"{state} = {name}", indent)
    lines.append("")
    return context.writer.insert_at(
        file.first_line_with_comments(first), lines, Place.AFTER_STATEMENT
    )


def _shutdown(context: Context, app: str, sites: Sequence[Site], state: str) -> list[Edit] | None:
    """Return the edits that end the tasks at shutdown; ``None`` if no place is clearly right."""
    file = context.file
    handlers = [f for f in file.functions() if _handles(f, "shutdown") == app]
    used = frozenset[str]().union(*(used_names(context, site) for site in sites))
    if not handlers:
        return _new_handler(context, app, sites[-1], state)
    kinds = [
        (handler, number, list(events(file, used, statement)))
        for handler in handlers
        for number, statement in enumerate(body_of(handler))
    ]
    before = place([found for _, _, found in kinds])
    if before is None:
        if not context.settings.unsafe_fixes:
            return None
        before = max(i for i, (_, _, found) in enumerate(kinds) if GRACEFUL in found) + 1
    if before == 0:
        handler, number = handlers[0], int(handlers[0].get_docstring() is not None)
    else:
        handler, number = kinds[before - 1][0], kinds[before - 1][1] + 1
    return _into_handler(context, handler, number, state)


def _into_handler(
    context: Context, handler: cst.FunctionDef, number: int, state: str
) -> list[Edit] | None:
    file, writer = context.file, context.writer
    body = body_of(handler)
    if handler.asynchronous is None or not body:
        return None
    lines = _cancellation(context, handler, state).lines(file.indent(body[0]), writer.layout)
    if number < len(body):
        line = file.first_line_with_comments(body[number])
        return [writer.insert_at(line, lines, Place.BEFORE_STATEMENT)]
    return [writer.insert_after(body[-1], lines, Place.END_OF_BLOCK)]


def _new_handler(context: Context, app: str, site: Site, state: str) -> list[Edit] | None:
    """Add a shutdown handler after the last startup handler that makes a task."""
    file, writer = context.file, context.writer
    startup = _handler(context, site)
    if startup is None:
        return None
    indent = file.indent(startup)
    step = writer.layout.step
    name = fresh("cancel_background_tasks", context.names.all_names)
    cancellation = _cancellation(context, startup, state)
    apart = ["", ""] if not indent else [""]
    lines = [
        *apart,
        f'{indent}@{app}.on_event("shutdown")',
        f"{indent}async def {name}() -> None:",
        *cancellation.lines(indent + step, writer.layout),
    ]
    following = file.last_line(startup) + 1
    if following <= file.last_line_number() and file.line_text(following).strip():
        lines += apart
    return [writer.insert_after(startup, lines, Place.FUNCTION)]


def _cancellation(context: Context, function: cst.FunctionDef, state: str) -> Cancellation:
    logger, percent = context.additions.logger()
    asyncio = context.additions.module("asyncio")
    return Cancellation(
        tasks=f"list({state})",
        asyncio=asyncio,
        logger=logger,
        percent=percent,
        timeout=context.settings.shutdown_timeout,
        taken=frozenset(context.locals.taken(function)),
        annotation=f": list[{asyncio}.Task[object]]",
    )

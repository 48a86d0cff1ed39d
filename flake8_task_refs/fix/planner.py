"""Which home each finding's task gets, and what cannot be repaired. It builds no text itself."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

import libcst as cst

from flake8_task_refs.fix.homes import lifespan, module, on_event
from flake8_task_refs.fix.names import last_name_of
from flake8_task_refs.fix.plan import Context, Declined, Plan
from flake8_task_refs.fix.registries import Existing, Helper
from flake8_task_refs.fix.sites import Site, is_scheduler, locate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flake8_task_refs.analysis.finding import Finding

_ROUTES: Final = frozenset(
    {"get", "post", "put", "patch", "delete", "head", "options", "route", "websocket", "api_route"}
)

NO_FIX: Final = "there is no automatic repair for this rule"
NOT_FOUND: Final = "the creating call could not be found in the syntax tree"
SYNC_ROUTE: Final = (
    "this handler is a plain def, which runs in a worker thread without an event loop: "
    "creating the task raises there; make the handler async def"
)
SCHEDULED: Final = "create_task is handed over as a callable: pass a function that keeps the task"
NO_ASYNCIO: Final = "the module uses the name asyncio for something else"


def plan(context: Context, findings: Sequence[Finding]) -> Plan:
    """Plan the repair of ``findings``; each ends in ``fixed`` or in ``declined``."""
    found = Plan()
    existing = Existing(context.file, context.names)
    lifespans: dict[cst.FunctionDef, list[Site]] = defaultdict(list)
    startups: dict[str, list[Site]] = defaultdict(list)
    modules: list[Site] = []
    reused: dict[Helper, list[Site]] = defaultdict(list)
    for finding in findings:
        site, reason = _site(context, finding)
        if site is None:
            found.declined.append(Declined(finding, reason))
            continue
        helper = existing.helper(site)
        if helper is not None and (not helper.spawns or len(site.call.args) == 1):
            reused[helper].append(site)
            continue
        registry = existing.registry(site) if site.form != "expression" else None
        if registry is not None:
            where, logs = registry
            task = site.target or context.locals.free("task", site.call)
            log_failed = "_log_failed_task" if logs else ""
            found.edits += context.writer.register(site, task, where, log_failed)
            found.fixed.append(finding)
            continue
        around = _lifespan(context, site)
        app = _startup(context, site)
        if around is not None and site.form != "expression":
            lifespans[around].append(site)
        elif app and site.form != "expression":
            startups[app].append(site)
        else:
            modules.append(site)
    for helper, sites in reused.items():
        for group in module.by_statement(sites):
            write = context.writer.call_instead if helper.spawns else context.writer.wrap
            found.edits += write(group, helper.expression)
        found.fixed += [site.finding for site in sites]
    for function, sites in lifespans.items():
        found.take(lifespan.plan(context, function, sites))
    for app, sites in startups.items():
        found.take(on_event.plan(context, app, sites))
    if modules:
        found.take(module.plan(context, modules))
    return found


def _site(context: Context, finding: Finding) -> tuple[Site | None, str]:
    """Return the site to repair, or why there is none."""
    if finding.code not in {"TSK001", "TSK002"}:
        return None, NO_FIX
    site = locate(context.file, context.names, finding)
    if site is None:
        return None, NOT_FOUND
    if is_scheduler(site.call):
        return None, SCHEDULED
    if _is_sync_route(site):
        return None, SYNC_ROUTE
    if not context.additions.can_import("asyncio"):
        return None, NO_ASYNCIO
    return site, ""


def _is_sync_route(site: Site) -> bool:
    function = site.function
    if not isinstance(function, cst.FunctionDef) or function.asynchronous is not None:
        return False
    return any(
        isinstance(decorator.decorator, cst.Call)
        and isinstance(decorator.decorator.func, cst.Attribute)
        and last_name_of(decorator.decorator.func) in _ROUTES
        for decorator in function.decorators
    )


def _lifespan(context: Context, site: Site) -> cst.FunctionDef | None:
    """Return the lifespan that ``site`` stands in, directly or in a nested function."""
    for outer in context.file.ancestors(site.call):
        if isinstance(outer, cst.Lambda):
            return None
        if isinstance(outer, cst.FunctionDef) and lifespan.is_lifespan(context, outer):
            return outer
    return None


def _startup(context: Context, site: Site) -> str:
    """Return the FastAPI application in whose startup handler ``site`` stands, or ``""``."""
    if not isinstance(site.function, cst.FunctionDef):
        return ""
    startup = on_event.startup_of(context, site.function)
    return startup.app if startup else ""

"""Which home each finding's task gets, and what cannot be repaired. It builds no text itself."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

import libcst as cst

from flake8_task_refs.fix.homes import (
    aggregate,
    applications,
    container,
    instance,
    lifespan,
    module,
    on_event,
)
from flake8_task_refs.fix.names import last_name_of
from flake8_task_refs.fix.plan import Context, Declined, Plan
from flake8_task_refs.fix.registries import LOG_FAILED, Existing, Helper
from flake8_task_refs.fix.sites import Site, is_scheduler, locate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flake8_task_refs.analysis.finding import Finding

_ROUTES: Final = frozenset(
    {"get", "post", "put", "patch", "delete", "head", "options", "route", "websocket", "api_route"}
)

_REPAIRED: Final = frozenset({"TSK001", "TSK002", "TSK003", "TSK101"})

NO_FIX: Final = "there is no automatic repair for this rule"
NOT_FOUND: Final = "the creating call could not be found in the syntax tree"
SYNC_ROUTE: Final = (
    "this handler is a plain def, which runs in a worker thread without an event loop: "
    "creating the task raises there; make the handler async def"
)
NO_ASYNCIO: Final = "the module uses the name asyncio for something else"


def plan(context: Context, findings: Sequence[Finding]) -> Plan:
    """Plan the repair of ``findings``; each ends in ``fixed`` or in ``declined``."""
    found = Plan()
    sites = []
    for finding in findings:
        if finding.code == "TSK102":
            found.take(container.mend_callback(context, finding))
            continue
        site, reason = _site(context, finding)
        if site is None:
            found.declined.append(Declined(finding, reason))
        elif finding.code == "TSK101":
            found.take(container.add_discard(context, site))
        else:
            sites.append(site)
    aggregates = [site for site in sites if site.finding.code == "TSK003"]
    found.take(aggregate.plan(context, aggregates))
    rest = _reuse(context, [site for site in sites if site not in aggregates], found)
    _house(context, rest, found)
    return found


def _reuse(context: Context, sites: Sequence[Site], found: Plan) -> list[Site]:
    """Use what the file has for keeping tasks; return the sites that need a home."""
    existing = Existing(context.file, context.names)
    helpers: dict[Helper, list[Site]] = defaultdict(list)
    rest = []
    for site in sites:
        helper = None if is_scheduler(site.call) else existing.helper(site)
        registry = existing.registry(site) if site.form != "expression" else None
        around = _lifespan(context, site)
        if around is not None and lifespan.refusal(context, around, site):
            rest.append(site)
            continue
        if around is not None or _startup(context, site):
            # An application ends its tasks; only a registry of its own says that this one does.
            helper = None
            registry = existing.registry_of_lifespan(site)
        if helper is not None and (not helper.spawns or len(site.call.args) == 1):
            helpers[helper].append(site)
        elif registry is not None:
            where, logs = registry
            task = site.target or context.locals.free("task", site.call)
            log_failed = LOG_FAILED if logs else ""
            found.edits += context.writer.register(site, task, where, log_failed)
            found.fixed.append(site.finding)
        else:
            rest.append(site)
    for helper, users in helpers.items():
        for group in module.by_statement(users):
            write = context.writer.call_instead if helper.spawns else context.writer.wrap
            found.edits += write(group, helper.expression)
        found.fixed += [site.finding for site in users]
    return rest


def _house(context: Context, sites: Sequence[Site], found: Plan) -> None:
    """Give each of ``sites`` a home of its kind."""
    lifespans: dict[cst.FunctionDef, list[Site]] = defaultdict(list)
    startups: dict[str, list[Site]] = defaultdict(list)
    owners: dict[cst.ClassDef, list[Site]] = defaultdict(list)
    modules: list[Site] = []
    for site in sites:
        around, app = _lifespan(context, site), _startup(context, site)
        owner = instance.owner_of(context, site)
        if is_scheduler(site.call):
            found.take(module.plan_handed_over(context, site))
        elif site.form == "expression":
            modules.append(site)
        elif around is not None:
            lifespans[around].append(site)
        elif app:
            startups[app].append(site)
        elif owner is not None:
            owners[owner].append(site)
        else:
            modules.append(site)
    for function, group in lifespans.items():
        found.take(lifespan.plan(context, function, group))
    for app, group in startups.items():
        found.take(on_event.plan(context, app, group))
    for owner, group in owners.items():
        found.take(instance.plan(context, owner, group, list(owners)))
    if modules:
        found.take(module.plan(context, modules))


def _site(context: Context, finding: Finding) -> tuple[Site | None, str]:
    """Return the site to repair, or why there is none."""
    if finding.code not in _REPAIRED:
        return None, NO_FIX
    site = locate(context.file, context.names, finding)
    if site is None:
        return None, NOT_FOUND
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
        if isinstance(outer, cst.FunctionDef) and applications.is_lifespan(context, outer):
            return outer
    return None


def _startup(context: Context, site: Site) -> str:
    """Return the FastAPI application in whose startup handler ``site`` stands, or ``""``."""
    if not isinstance(site.function, cst.FunctionDef):
        return ""
    startup = on_event.startup_of(context, site.function)
    return startup.app if startup else ""

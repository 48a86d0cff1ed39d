"""Which home each finding gets, and what no home can repair. It builds no text itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.syntax import last_name
from flake8_task_refs.fix.contract import Context, Declined, Home, Plan
from flake8_task_refs.fix.homes import HOMES
from flake8_task_refs.fix.repair_sites import Site, shows_locals, site_of
from flake8_task_refs.fix.wrappers import gives_only_tasks, inside_wrappers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flake8_task_refs.analysis.finding import Finding
    from flake8_task_refs.analysis.verdict import Verdict

_ROUTES: Final = frozenset(
    {"get", "post", "put", "patch", "delete", "head", "options", "route", "websocket", "api_route"}
)
_CREATIONS: Final = frozenset({"TSK001", "TSK002", "TSK003", "TSK101", "TSK201"})

NO_FIX: Final = "there is no automatic repair for this rule"
NO_END: Final = (
    "the file does not show for certain which application this is and what runs when it stops: "
    "cancel the task there, and wait for it"
)
SYNC_ROUTE: Final = (
    "this handler is a plain def, which runs in a worker thread without an event loop: "
    "creating the task raises there; make the handler async def"
)
AT_EXIT: Final = (
    "this runs when the program ends, and no event loop does any more: do it before that, in the "
    "coroutine that asyncio.run() runs"
)
OTHER_RESULT: Final = (
    "the helper that makes the task may return something else, or nothing: keep the task in there"
)
AWAITED: Final = (
    "the task is what awaiting the helper gives, and others of its callers may keep it: keep what "
    "this await gives as well"
)
TOO_EARLY: Final = (
    "the task is made among the module's imports, where what would keep it cannot be defined yet"
)
NO_ASYNCIO: Final = "the module uses the name asyncio for something else"


def plan(context: Context, verdicts: Mapping[Finding, Verdict]) -> Plan:
    """Plan the repair of the findings in ``verdicts``; each ends as fixed or as declined."""
    found = Plan()
    homes: list[tuple[Home, list[Site]]] = [(make(context), []) for make in HOMES]
    sites = [site_of(context.file, *judged) for judged in verdicts.items()]
    found.declined += [
        Declined(finding, NO_FIX)
        for finding, site in zip(verdicts, sites, strict=True)
        if site is None
    ]
    inside = inside_wrappers(context, [site for site in sites if site is not None])
    for caller in sites:
        site = inside.get(caller.finding, caller) if caller is not None else None
        if caller is None or site is None or site.finding is not caller.finding:
            continue  # what becomes of a wrapper's task, is decided for its first caller
        reason = _refusal(context, caller, site)
        taker = next((taken for home, taken in homes if home.accepts(site)), None)
        if _shows_locals(context, site):
            # The last home can do without a local.
            taker = next((taken for home, taken in homes[-1:] if home.accepts(site)), None)
        if reason or taker is None:
            found.declined.append(Declined(caller.finding, reason or _no_home(site)))
        else:
            taker.append(site)
    for home, taken in homes:
        creations = [site for site in taken if site.code in _CREATIONS]
        if creations:
            found.take(home.plan(creations))
    _share(found, inside)
    # Whoever keeps a task names it, too: what is left of that is for the next pass.
    fixed = set(found.fixed)
    kept = {verdicts[finding].node for finding in fixed}
    kept |= {site.call for finding, site in inside.items() if finding in fixed}
    for home, taken in homes:
        rest = [site for site in taken if site.code not in _CREATIONS and site.call not in kept]
        if rest:
            found.take(home.plan(rest))
    return found


def _share(found: Plan, inside: Mapping[Finding, Site]) -> None:
    """Let all callers of a wrapper have what became of its first one."""
    fixed = set(found.fixed)
    reasons = {refusal.finding: refusal.reason for refusal in found.declined}
    for finding, site in inside.items():
        if site.finding is not finding and site.finding in fixed:
            found.fixed.append(finding)
        elif site.finding is not finding and site.finding in reasons:
            found.declined.append(Declined(finding, reasons[site.finding]))


def _refusal(context: Context, caller: Site, site: Site) -> str:
    """Return why no home could keep the task of ``site``, or ``""``.

    ``caller`` is where the finding is, if that is another: a call of a wrapper.
    """
    if site.code not in _CREATIONS:
        return ""
    if _is_sync_route(caller):
        return SYNC_ROUTE
    if _runs_at_exit(context, caller):
        return AT_EXIT
    if not gives_only_tasks(context, site):
        return OTHER_RESULT
    if site.made is not None and site.made.awaited is not None:
        return AWAITED
    if not context.additions.can_import("asyncio"):
        return NO_ASYNCIO
    return "" if context.additions.can_be_defined_before(site.call) else TOO_EARLY


def _no_home(site: Site) -> str:
    return NO_END if site.code == "TSK201" else NO_FIX


def _shows_locals(context: Context, site: Site) -> bool:
    function = site.function
    return (
        site.code in _CREATIONS
        and isinstance(function, syntax.FunctionDef)
        and shows_locals(context.file, function)
    )


def _runs_at_exit(context: Context, site: Site) -> bool:
    canonical = context.judge.ownership.names.canonical
    return any(
        isinstance(outer, syntax.Call) and canonical(context.tree, outer.func) == "atexit.register"
        for outer in (site.call, *context.tree.ancestors(site.call))
    )


def _is_sync_route(site: Site) -> bool:
    function = site.function
    if not isinstance(function, syntax.FunctionDef) or function.asynchronous:
        return False
    return any(
        isinstance(decorator.decorator, syntax.Call)
        and isinstance(decorator.decorator.func, syntax.Attribute)
        and last_name(decorator.decorator.func) in _ROUTES
        for decorator in function.decorators
    )

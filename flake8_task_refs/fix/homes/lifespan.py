"""The lifespan of an application: its tasks end when it ends, by their names or by a registry.

A ``finally`` around the ``yield`` cancels them and waits for them.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.fix.contract import Context, Plan
from flake8_task_refs.fix.gathered import gathered
from flake8_task_refs.fix.lifespan_body import lifespan_around, starts_at, yields_of
from flake8_task_refs.fix.lifespan_by_name import end_by_name
from flake8_task_refs.fix.lifespan_helper import helper_of
from flake8_task_refs.fix.lifespan_registry import end_by_registry
from flake8_task_refs.fix.repair_sites import is_collected, names_task
from flake8_task_refs.fix.worker import LikelyWorker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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


class Lifespans:
    """A set of the lifespan, whose end cancels what is in it."""

    def __init__(self, context: Context) -> None:
        """Repair in ``context``."""
        self._context = context

    def accepts(self, site: Site) -> bool:
        """Take what is made in a lifespan, in a function nested in it, or in one that it calls."""
        return bool(gathered(self._context, site)) or (
            site.code in ENDED_WITH_APPLICATION
            and site.statement is not None
            and _lifespan_of(self._context, site) is not None
        )

    def plan(self, sites: Sequence[Site]) -> Plan:
        """Keep the tasks of ``sites`` until their lifespan ends, and end them then."""
        groups: dict[syntax.FunctionDef, list[Site]] = defaultdict(list)
        for site in sites:
            function = _lifespan_of(self._context, site)
            if function is not None:
                groups[function] += gathered(self._context, site) or [site]
        found = Plan()
        for function, group in groups.items():
            found.take(_plan(self._context, function, group))
        return found


def _lifespan_of(context: Context, site: Site) -> syntax.FunctionDef | None:
    """Return the lifespan that ends the task of ``site``.

    What a function that it calls had better only keep, is not for it to decline.
    """
    around = lifespan_around(context, site)
    helper = helper_of(context, site) if around is None and site.form == "discard" else None
    if helper is None or refusal(context, helper.lifespan, site):
        return around
    return helper.lifespan


def _plan(context: Context, function: syntax.FunctionDef, sites: Sequence[Site]) -> Plan:
    found = Plan()
    good = _decline(found, sites, lambda site: refusal(context, function, site))
    # Of what one call gathers, all tasks end so or none.
    refused = {declined.finding for declined in found.declined}
    good = [site for site in good if site.finding not in refused]
    # What nobody keeps yet, is kept where the application can see it.
    is_kept = bool(good) and all(site.code == "TSK201" for site in good)
    named = end_by_name(context, function, good) if is_kept else None
    if named is not None:
        found.take(named)
        return found
    good = _decline(found, good, lambda site: _needs_care(context, function, site))
    if good:
        found.take(end_by_registry(context, function, good))
    return found


def _decline(found: Plan, sites: Sequence[Site], reason_of: Callable[[Site], str]) -> list[Site]:
    """Decline the ``sites`` that have a reason; return those left."""
    left: list[Site] = []
    for site in sites:
        reason = reason_of(site)
        if reason:
            found.decline([site], reason)
        else:
            left.append(site)
    return left


def _needs_care(context: Context, function: syntax.FunctionDef, site: Site) -> str:
    """Return why a registry cannot end the task of ``site``, ``""`` if it can."""
    if is_collected(context.file, site):
        return COLLECTED
    return ASKED if _is_asked_later(context, function, site) else ""


def refusal(context: Context, function: syntax.FunctionDef, site: Site) -> str:
    """Return why the end of ``function`` cannot end the task of ``site``, ``""`` if it can."""
    reason = LikelyWorker.of(context, site).unstoppable()
    return reason or (AFTER_YIELD if _is_after_yield(context, function, site) else "")


def _is_after_yield(context: Context, function: syntax.FunctionDef, site: Site) -> bool:
    """Tell whether ``site`` follows every ``yield`` and is not in a loop around one."""
    where = context.file.span(starts_at(context, function, site)).start
    return all(context.file.span(node).end < where for node in yields_of(context, function))


def _is_asked_later(context: Context, function: syntax.FunctionDef, site: Site) -> bool:
    """Tell whether ``function`` speaks of the task of ``site`` after its last ``yield``."""
    file = context.file
    return any(
        names_task(file, site, node)
        for node in file.later(yields_of(context, function)[-1], function.body)
        if isinstance(node, (syntax.Name, syntax.Attribute, syntax.Subscript))
    )

"""Futures of ``gather``, ``shield`` and ``run_coroutine_threadsafe``: a registry of the module."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import libcst as cst

from flake8_task_refs.fix.edits import Edit
from flake8_task_refs.fix.names import last_name_of
from flake8_task_refs.fix.plan import Context, Declined, Plan
from flake8_task_refs.fix.registration import Registry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flake8_task_refs.fix.sites import Site

_FUTURES: Final = frozenset({"gather", "shield"})

NEVER_RUNS: Final = (
    "this call makes a coroutine that never runs unless it is awaited: await it (--unsafe-fixes)"
)
INSIDE: Final = "the future is made inside an expression: give it a name, and keep that"


def plan(context: Context, sites: Sequence[Site]) -> Plan:
    """Keep the futures of ``sites``; with ``unsafe_fixes`` await them where that is possible."""
    found = Plan()
    for site in sites:
        name = last_name_of(site.call.func)
        origin = context.names.canonical(site.call.func).rpartition(".")[2]
        if context.settings.unsafe_fixes and _can_await(site, origin):
            start = context.file.span(site.call).start
            found.edits.append(Edit(start, start, "await "))
            found.fixed.append(site.finding)
        elif {name, origin} & {"wait", "wait_for"}:
            found.declined.append(Declined(site.finding, NEVER_RUNS))
        elif site.form == "expression":
            found.declined.append(Declined(site.finding, INSIDE))
        else:
            context.additions.defined_before(site.call)
            kind = "asyncio" if {name, origin} & _FUTURES else "concurrent.futures"
            registry = Registry(context.additions.futures(kind))
            future = site.target or context.locals.free("future", site.call)
            found.edits += context.writer.register(site, future, registry)
            found.fixed.append(site.finding)
    return found


def _can_await(site: Site, origin: str) -> bool:
    return (
        origin != "run_coroutine_threadsafe"
        and site.form in {"discard", "assign"}
        and isinstance(site.function, cst.FunctionDef)
        and site.function.asynchronous is not None
    )

"""Futures of ``gather``, ``shield`` and ``run_coroutine_threadsafe``: a registry of the module."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.sites import is_done_callback
from flake8_task_refs.analysis.syntax import last_name
from flake8_task_refs.fix.additions import CONCURRENT
from flake8_task_refs.fix.contract import Context, Plan
from flake8_task_refs.fix.edits import Edit
from flake8_task_refs.fix.free_names import fresh
from flake8_task_refs.fix.gathered import gathered
from flake8_task_refs.fix.homes.module import MANY_SITES
from flake8_task_refs.fix.registration import Registry
from flake8_task_refs.fix.source import dotted, statement_expression

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flake8_task_refs.fix.repair_sites import Site

# Those whose value is a future already; the others are coroutines, or concurrent futures.
_FUTURES: Final = ("asyncio.gather", "asyncio.shield")
_THREADSAFE: Final = "asyncio.run_coroutine_threadsafe"
_COROUTINES: Final = ("asyncio.wait", "asyncio.wait_for")

NEVER_RUNS: Final = (
    "this call makes a coroutine that never runs unless it is awaited: await it (--unsafe-fixes)"
)
INSIDE: Final = "the future is made inside an expression: give it a name, and keep that"


class Aggregates:
    """Keeps the futures; with ``unsafe_fixes`` awaits them where that is possible."""

    def __init__(self, context: Context) -> None:
        """Repair in ``context``."""
        self._context = context

    def accepts(self, site: Site) -> bool:
        """Take every aggregate: what is dropped, and the task that a shield makes and leaves.

        What a lifespan gathers can end with it.
        """
        return (
            (site.code == "TSK003" and not gathered(self._context, site))
            or (site.code == "TSK002" and _shielded(site) is not None)
            or (site.code in {"TSK001", "TSK002"} and bool(self._given_future(site)))
        )

    def plan(self, sites: Sequence[Site]) -> Plan:
        """Await or keep each future; what never runs unless it is awaited, is declined."""
        context, found = self._context, Plan()
        taken: set[str] = set()
        logged = [site for site in sites if self._is_logged(site)]
        tracked = logged if len(logged) >= MANY_SITES else []
        for site in sites:
            if site in tracked:
                context.additions.defined_before(site.call)
                log = context.additions.log_failed_future(site.call)
                found.edits += context.writer.wrap([site], context.additions.track_future(log))
                found.fixed.append(site.finding)
                continue
            origin = self._given_future(site) or (site.made.path if site.made is not None else "")
            shielded = _shielded(site) if site.code == "TSK002" else None
            if shielded is not None and not _runs_in_a_loop(site):
                found.decline([site], INSIDE)
                continue
            if shielded is not None:
                found.edits += self._makes_its_task(site, shielded)
            elif context.settings.unsafe_fixes and self._can_await(site, origin):
                start = context.file.span(site.call).start
                found.edits.append(Edit(start, start, "await "))
            elif origin in _COROUTINES:
                found.decline([site], NEVER_RUNS)
                continue
            elif self._is_the_modules_own(site):
                # A name of the module is as good as a registry.
                start = context.file.span(site.call).start
                name = fresh("future", context.names.all_names | taken)
                taken.add(name)
                edits = [Edit(start, start, f"{name} = ")]
                found.edits += context.writer.laid_out(site.statement, edits)
            elif site.form == "expression":
                found.decline([site], INSIDE)
                continue
            else:
                context.additions.defined_before(site.call)
                kind = "asyncio" if origin in _FUTURES else CONCURRENT
                registry = Registry(context.additions.futures(kind))
                future = site.target or context.locals.free("future", site.call)
                log = ""
                if origin == _THREADSAFE and self._can_log(site) and not self._has_callback(site):
                    log = context.additions.log_failed_future(site.call)
                found.edits += context.writer.register(site, future, registry, log)
            found.fixed.append(site.finding)
        return found

    def _is_logged(self, site: Site) -> bool:
        """Tell whether ``site`` drops a concurrent future whose failure nobody hears of."""
        return (
            site.form == "discard"
            and site.statement is not None
            and isinstance(statement_expression(site.statement), syntax.Expr)
            and site.made is not None
            and site.made.path == _THREADSAFE
            and self._can_log(site)
            and not self._is_the_modules_own(site)
            and not self._has_callback(site)
            and self._context.writer.can_wrap(site, "_track_future")
        )

    def _makes_its_task(self, site: Site, coroutine: syntax.Call) -> list[Edit]:
        """Let the shield of ``site`` get a task of ``coroutine`` that is kept.

        It is named if the line stays short enough, or if all tasks are to have a name.
        """
        context = self._context
        context.additions.defined_before(site.call)
        start, end = context.file.span(coroutine)
        asyncio = context.additions.module("asyncio")
        made = f"{context.additions.track()}({asyncio}.create_task("
        name = context.writer.name_of_new(site)
        found: list[Edit] = []
        for ending in (f", {name}))", "))") if name else ("))",):
            edits = [Edit(start, start, made), Edit(end, end, ending)]
            found = context.writer.laid_out(site.statement, edits)
            if "TSK303" in context.judge.wanted or not context.writer.makes_too_long(found):
                break
        return found

    def _given_future(self, site: Site) -> str:
        """Return what makes the future that ``ensure_future()`` is given at ``site``, or ``""``.

        It gives that back, which is no task: it has no name.
        """
        given = site.coroutine
        if not isinstance(given, syntax.Call) or site.code == "TSK003":
            return ""
        path = self._context.judge.ownership.sites.aggregate(self._context.tree, given.func)
        return path if path in _FUTURES else ""

    def _can_await(self, site: Site, origin: str) -> bool:
        """Tell whether the future can be awaited there and then; nobody asks it anything later.

        Whoever says ``ensure_future()`` of a future means it to go on beside the rest.
        """
        if origin == _THREADSAFE or site.code != "TSK003" or site.form not in {"discard", "assign"}:
            return False
        scope = self._context.tree.inner[site.function] if site.function is not None else None
        is_asked = site.target and scope is not None and any(True for _ in scope.uses(site.target))
        return _runs_in_a_loop(site) and not is_asked

    def _can_log(self, site: Site) -> bool:
        """Tell whether the module has a logger, or can have one, for what fails at ``site``.

        What a handler logs may come back to it, and fail again.
        """
        logger, additions = self._context.names.logger[0], self._context.additions
        return (bool(logger) or additions.can_import("logging")) and not self._is_in_handler(site)

    def _is_in_handler(self, site: Site) -> bool:
        """Tell whether ``site`` stands in a handler of logging's, or in a sink of loguru's."""
        names, tree = self._context.names, self._context.tree
        sinks = {
            last_name(call.args[0].value)
            for call in tree.calls
            if isinstance(call.func, syntax.Attribute)
            and call.func.attr.value == "add"
            and names.logger[0]
            and dotted(call.func.value) == names.logger[0]
            and call.args
        }
        return any(
            (isinstance(around, syntax.FunctionDef) and around.name.value in sinks)
            or (
                isinstance(around, syntax.ClassDef)
                and any(names.canonical(base.value).startswith("logging.") for base in around.bases)
            )
            for around in tree.ancestors(site.call)
        )

    def _has_callback(self, site: Site) -> bool:
        """Tell whether the future of ``site`` has a callback, which may ask for its failure."""
        tree, at = self._context.tree, site.call
        chained = tree.parent[at]
        if isinstance(chained, syntax.Attribute):
            return is_done_callback(chained)
        return bool(site.target) and any(
            is_done_callback(call.func)
            and isinstance(call.func, syntax.Attribute)
            and dotted(call.func.value) == site.target
            and tree.function_around(call) is site.function
            for call in tree.calls
        )

    def _is_the_modules_own(self, site: Site) -> bool:
        """Tell whether ``site`` is a statement of the module that runs once."""
        small = statement_expression(site.statement) if site.statement is not None else None
        if (
            not isinstance(small, syntax.Expr)
            or small.value is not site.call
            or self._context.file.brackets(site.call)
        ):
            return False
        elsewhere = (syntax.FunctionDef, syntax.Lambda, syntax.ClassDef, syntax.For, syntax.While)
        return not any(
            isinstance(outer, elsewhere) for outer in self._context.tree.ancestors(site.call)
        )


def _shielded(site: Site) -> syntax.Call | None:
    """Return the call that gives a shield its coroutine, None if ``site`` is no shield of one."""
    made = site.made
    if made is None or made.path != "asyncio.shield" or made.given is None:
        return None
    return made.given.value if isinstance(made.given.value, syntax.Call) else None


def _runs_in_a_loop(site: Site) -> bool:
    """Tell whether a loop is surely running where ``site`` stands, as ``create_task`` wants it."""
    return isinstance(site.function, syntax.FunctionDef) and site.function.asynchronous

"""``call_soon(create_task, work())``: whoever makes the task later drops it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.helpers import likely_function
from flake8_task_refs.analysis.syntax import last_name
from flake8_task_refs.fix.contract import Context, Plan
from flake8_task_refs.fix.edits import Edit
from flake8_task_refs.fix.source import dotted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flake8_task_refs.fix.repair_sites import Site

UNCLEAR: Final = "create_task is handed over as a callable: pass a function that keeps the task"


class HandedOver:
    """Hands over what keeps its task: a lambda that makes the coroutine, or a helper given one."""

    def __init__(self, context: Context) -> None:
        """Repair in ``context``."""
        self._context = context

    def accepts(self, site: Site) -> bool:
        """Take the calls that are given a creator."""
        return site.is_handed_over

    def plan(self, sites: Sequence[Site]) -> Plan:
        """Replace the creator and its coroutine where that changes nothing else."""
        found = Plan()
        for site in sites:
            edits = self._edits(site)
            if edits:
                found.edits += self._context.writer.laid_out(site.statement, edits)
                found.fixed.append(site.finding)
            else:
                found.decline([site], UNCLEAR)
        return found

    def _edits(self, site: Site) -> list[Edit]:
        context, file = self._context, self._context.file
        args = [arg for arg in site.call.args if arg.keyword is None]
        creator = context.judge.ownership.sites.creator
        at = next((n for n, arg in enumerate(args) if creator(context.tree, arg.value)), -1)
        if at < 0 or at + 2 != len(args) or args[-1].star:
            return []
        maker, given = args[at].value, args[-1].value
        is_scheduler = context.judge.ownership.sites.is_scheduler(context.tree, site.call.func)
        has_keywords = len(args) != len(site.call.args)
        if (
            isinstance(given, syntax.Call)
            and not given.args
            and self._is_the_same_later(site, given)
        ):
            # Each time it is called, it makes a coroutine of its own.
            if not is_scheduler or has_keywords:
                return []
            context.additions.defined_before(site.call)
            text = f"{file.code(maker)}({file.code(given)})"
            start, end = file.span(maker).start, file.span(given).end
            return [Edit(start, end, f"lambda: {context.additions.track()}({text})")]
        # The coroutine is made now, its arguments as they are now. A `partial` would give keywords
        # to whom it calls.
        if has_keywords and not is_scheduler:
            return []
        if not self._makes_tasks_of_coroutines(site, maker, given):
            return []
        context.additions.defined_before(site.call)
        return [Edit(*file.span(maker), context.additions.spawn())]

    def _is_the_same_later(self, site: Site, given: syntax.Call) -> bool:
        """Tell whether ``given`` may as well be called when the loop comes to it.

        What handles a signal must be: it can come twice. Else it must be a coroutine function of
        the module, which does nothing when it is called, and is the same one later.
        """
        if last_name(site.call.func) == "add_signal_handler":
            return bool(dotted(given.func))
        tree, function = self._context.tree, given.func
        if not isinstance(function, syntax.Name):
            return False
        scope = tree.scope[function].owner(function.value)
        stores = scope.stores.get(function.value, ()) if scope is not None else ()
        if len(stores) != 1 or scope is None or scope.kind != "module":
            return False
        made = tree.parent[stores[0]]
        return (
            isinstance(made, syntax.FunctionDef)
            and made.asynchronous
            and not made.decorators
            and not any(function.value in other.elsewhere for other in tree.inner.values())
        )

    def _gives_a_coroutine(self, call: syntax.Call) -> bool:
        """Tell whether the file says that ``call`` gives a coroutine, and no other awaitable."""
        function = likely_function(self._context.tree, call)
        return function is not None and function.asynchronous and not function.decorators

    def _makes_tasks_of_coroutines(
        self, site: Site, maker: syntax.BaseExpression, given: syntax.BaseExpression
    ) -> bool:
        """Tell whether ``asyncio.create_task`` in the loop's callback does what ``maker`` does."""
        path = site.made.path if site.made is not None else ""
        if path == "asyncio.ensure_future":
            # It takes futures, and whatever else can be awaited, as well.
            return isinstance(given, syntax.Call) and self._gives_a_coroutine(given)
        if path == "loop.create_task":
            scheduler = site.call.func
            if not isinstance(scheduler, syntax.Attribute) or not isinstance(
                maker, syntax.Attribute
            ):
                return False
            return dotted(scheduler.value) == dotted(maker.value) != ""
        return path == "asyncio.create_task"

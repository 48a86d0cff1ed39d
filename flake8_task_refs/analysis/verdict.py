"""Ownership to findings: one readable table of which rule speaks when."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.callbacks import Callbacks
from flake8_task_refs.analysis.containers import Containers
from flake8_task_refs.analysis.current_task import holds_of_itself
from flake8_task_refs.analysis.decorators import decorated
from flake8_task_refs.analysis.helpers import Helper, find_helper
from flake8_task_refs.analysis.lifecycle import Lifecycle
from flake8_task_refs.analysis.names import assigned_value
from flake8_task_refs.analysis.ownership import Hold, How, Ownership
from flake8_task_refs.analysis.queues import is_put_at_once
from flake8_task_refs.analysis.sites import Wrapper, defined_in, running
from flake8_task_refs.analysis.syntax import dotted_text, last_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeGuard

    from flake8_task_refs.analysis.applications import Application
    from flake8_task_refs.analysis.sites import CreationSite
    from flake8_task_refs.analysis.tree import Tree

_ENDINGS: Final = frozenset({"TSK201", "TSK204"})
# Aggregates that run whether they are awaited or not, and that a function may hand on as it does
# a task.
_HANDED_ON: Final = ("asyncio.gather", "asyncio.shield", "asyncio.run_coroutine_threadsafe")
# Holds that satisfy even the strict rule: the function itself waits for the task.
_WAITED: Final = (How.AWAITED,)


class Verdict(NamedTuple):
    """Which rule speaks of a node, and the coroutine that its message names.

    ``site`` is the creation site that ``node`` is or belongs to, ``holds`` what holds its handle;
    a rule about other calls has neither. ``left_behind`` tells that an ``asyncio.wait`` for the
    task may leave it.
    """

    code: str
    tree: Tree
    node: syntax.Node
    coroutine: str
    site: CreationSite | None = None
    holds: Sequence[Hold] = ()
    left_behind: bool = False


class Judge:
    """Judges the creation sites of one region."""

    def __init__(self, ownership: Ownership, wanted: frozenset[str]) -> None:
        """Judge with ``ownership``. ``wanted`` are the codes that may speak."""
        self.ownership = ownership
        self.containers = Containers(ownership.tree.outline)
        self.lifecycle = Lifecycle(ownership)
        self.wanted = wanted

    def application(self, function: syntax.FunctionDef) -> Application | None:
        """Return the application that ``function`` starts, None if it starts none."""
        return self.lifecycle.owners.application(function)

    def verdicts(self, sites: list[CreationSite]) -> list[Verdict]:
        """Return what the rules say of ``sites``, and of the region's done-callbacks."""
        tree = self.ownership.tree
        found: list[Verdict] = []
        for site in sites:
            self.ownership.was_bound = False
            before = len(self.ownership.observed)
            holds = self.ownership.holds(site.handle) if site.kind != "deferred" else []
            met = slice(before, len(self.ownership.observed))
            found += [
                Verdict(
                    code,
                    tree,
                    site.call,
                    running(tree, site),
                    site,
                    holds,
                    code == "TSK002" and self._was_waited_for(met),
                )
                for code in self._codes(site, holds)
            ]
            if "TSK205" in self.wanted:
                found += [
                    Verdict("TSK205", home, node, running(tree, site), site, holds)
                    for home, node in self.lifecycle.closed_first(site)
                ]
            if "TSK203" in self.wanted:
                found += [
                    Verdict("TSK203", home, node, running(tree, site), site, holds)
                    for home, node in self.lifecycle.swallowed(site)
                ]
        callbacks = Callbacks(self.ownership)
        broken = callbacks.broken()
        found += [Verdict("TSK102", tree, call, "") for call in broken]
        if "TSK302" in self.wanted:
            # One report a fault: what cannot work at all, need not be told more.
            raising = [call for call in callbacks.raising() if call not in broken]
            found += [Verdict("TSK302", tree, call, "") for call in raising]
        if "TSK202" in self.wanted:
            found += [
                Verdict("TSK202", tree, call, "") for call in self.lifecycle.unawaited_cancels()
            ]
        return [verdict for verdict in found if verdict.code in self.wanted]

    def _was_waited_for(self, met: slice) -> bool:
        """Tell whether an ``asyncio.wait`` is among what was observed, as ``met`` tells."""
        return any(
            last_name(call.func) == "wait"
            and self.ownership.names.canonical(home, call.func) == "asyncio.wait"
            for home, call in self.ownership.observed[met]
        )

    def is_over_at_once(self, site: CreationSite) -> bool:
        """Tell whether what runs never waits, so that it is over before it could be collected."""
        if site.kind == "aggregate" and site.path != "asyncio.run_coroutine_threadsafe":
            return False
        ownership, given = self.ownership, site.given
        return given is not None and is_put_at_once(ownership.names, ownership.tree, given.value)

    def keeps_itself(self, site: CreationSite) -> bool:
        """Tell whether what runs stores its own task where it lasts."""
        return bool(self.holds_of_itself(site))

    def holds_of_itself(self, site: CreationSite) -> list[tuple[Tree, Hold]]:
        """Return who holds the task of ``site`` by what its coroutine does, and where."""
        call = site.given.value if site.given is not None else None
        return holds_of_itself(self.ownership, call) if isinstance(call, syntax.Call) else []

    def wrappers(self, sites: list[CreationSite]) -> dict[tuple[str, str], Wrapper]:
        """Return the file's own functions that only hand what they make to the caller.

        Each goes by (where it is defined, its name), the former as ``sites.defined_in`` says. A
        call of one is a creation site. Of one that makes this or that, the task counts.
        """
        tree = self.ownership.tree
        found: dict[tuple[str, str], Wrapper] = {}
        for site in sites:
            function = tree.function_around(site.call)
            is_aggregate = site.path in _HANDED_ON
            if not (is_aggregate or site.kind == "task"):
                continue
            if isinstance(function, syntax.Lambda) and function.body is site.call:
                if (name := self._named_lambda(function)) is not None:
                    key = (defined_in(tree.scope[function]), name)
                    fresh = not is_aggregate or self._holds_fresh_tasks(site)
                    path = site.path if is_aggregate else "wrapper"
                    found.setdefault(key, Wrapper(path, fresh, False, frozenset()))
                continue
            if isinstance(function, syntax.FunctionDef) and not is_aggregate:
                for key in decorated(tree, site, function):
                    found.setdefault(key, Wrapper("wrapper", True, False, frozenset()))
            if not _is_plain(function):
                continue
            if not self._may_return(site):
                continue  # so it is for most, and takes less than to follow them
            holds = self.ownership.holds(site.handle)
            itself = bool(holds) and all(self._returns_itself(site, hold) for hold in holds)
            listed = not itself and not is_aggregate and self._returns_list(function, holds)
            if not itself and not listed:
                continue
            key = (defined_in(tree.scope[function]), function.name.value)
            awaiting = self._awaiting(site, function, holds)
            if awaiting is None or (not is_aggregate and self.keeps_itself(site)):
                continue
            if listed:
                found.setdefault(key, Wrapper("list", True, *awaiting))
            elif not is_aggregate:
                found[key] = Wrapper("wrapper", True, *awaiting)
            elif key not in found:
                found[key] = Wrapper(site.path, self._holds_fresh_tasks(site), *awaiting)
        return found

    def _named_lambda(self, function: syntax.Lambda) -> str | None:
        """Return the name that ``function`` is bound to, and nothing else: ``f = lambda: 0``."""
        tree = self.ownership.tree
        assign = tree.parent[function]
        if not isinstance(assign, syntax.Assign) or len(assign.targets) != 1:
            return None
        target = assign.targets[0].target
        scope = tree.scope[assign]
        if not isinstance(target, syntax.Name) or not scope.binds(target.value):
            return None
        name = target.value
        if scope.kind == "module":
            is_only = len(self.ownership.names.assigned(name)) == 1
            return name if is_only and not tree.outline.top_level(name) else None
        is_local = scope.kind == "function" and len(scope.stores[name]) == 1
        return name if is_local else None

    def _may_return(self, site: CreationSite) -> bool:
        """Tell whether the handle of ``site`` stands in a ``return``, or a name for it does."""
        tree, outer = self.ownership.tree, self.ownership.tree.parent[site.handle]
        if isinstance(outer, (syntax.Assign, syntax.AnnAssign, syntax.NamedExpr)):
            targets = outer.targets if isinstance(outer, syntax.Assign) else [outer]
            if not tree.returned.isdisjoint(last_name(target.target) for target in targets):
                return True
        while not isinstance(outer, (syntax.BaseSmallStatement, syntax.BaseCompoundStatement)):
            outer = tree.parent[outer]
        return isinstance(outer, syntax.Return) or self._is_for_returned(outer)

    def _is_for_returned(self, statement: syntax.Node) -> bool:
        """Tell whether ``statement`` makes a list that is returned, or appends to one."""
        match statement:
            case syntax.Assign(targets=[target], value=syntax.List() | syntax.ListComp()):
                name = last_name(target.target)
            case syntax.AnnAssign(value=syntax.List() | syntax.ListComp()):
                name = last_name(statement.target)
            case syntax.Expr(value=syntax.Call(func=syntax.Attribute() as method)):
                name = last_name(method.value) if method.attr.value == "append" else ""
            case _:
                return False
        return bool(name) and name in self.ownership.tree.returned

    def _awaiting(
        self, site: CreationSite, function: syntax.FunctionDef, holds: list[Hold]
    ) -> tuple[bool, frozenset[str | int]] | None:
        """Tell whether a wrapper has to be awaited, and what parameters choose what it gives.

        None of one that has to be, and may await the work itself in a way that no call shows.
        """
        if not function.asynchronous:
            return False, frozenset()
        tree, ours = self.ownership.tree, {hold.node for hold in holds}
        name = function.name.value
        if sum(definition.name == name for definition in tree.outline.definitions) != 1:
            return None  # one may override another
        switches: set[str] = set()
        for jump in tree.jumps(function.body):
            if isinstance(jump, syntax.Yield):
                return None
            if not isinstance(jump, syntax.Return) or jump.value is None:
                continue
            if jump in ours:
                if jump.value is not site.handle and not isinstance(jump.value, syntax.Name):
                    return None
                if not self._is_unconditional(jump, function):
                    return None
            elif (switch := self._switch_of(jump, function)) is not None:
                switches.add(switch)
            else:
                return None
        params = (*function.params.posonly_params, *function.params.params)
        given = [param.name.value for param in params if param.name.value not in ("self", "cls")]
        at = (number for number, name in enumerate(given) if name in switches)
        return True, frozenset({*switches, *at})

    def _is_unconditional(self, jump: syntax.Return, function: syntax.FunctionDef) -> bool:
        """Tell whether ``function`` comes to ``jump`` unless it has ended before."""
        inner = (syntax.SimpleStatementLine, syntax.IndentedBlock, syntax.With)
        outer = next(at for at in self.ownership.tree.ancestors(jump) if not isinstance(at, inner))
        return outer is function

    def _switch_of(self, jump: syntax.Return, function: syntax.FunctionDef) -> str | None:
        """Return the parameter without which nobody comes to ``jump``: ``wait`` of ``if wait:``."""
        tree = self.ownership.tree
        test = next((at for at in tree.ancestors(jump) if isinstance(at, syntax.If)), None)
        if test is None or not isinstance(test.test, syntax.Name):
            return None
        params = function.params
        for param in (*params.posonly_params, *params.params, *params.kwonly_params):
            if param.name.value == test.test.value and tree.holds(test.body, jump):
                default = tree.default(param)
                is_off = isinstance(default, syntax.Name) and default.value in ("False", "None")
                return param.name.value if is_off else None
        return None

    def _returns_itself(self, site: CreationSite, hold: Hold) -> bool:
        """Tell whether ``hold`` returns the handle of ``site``, not a container that it is in."""
        if not isinstance(hold.node, syntax.Return) or hold.node.value is None:
            return False
        value = hold.node.value
        if isinstance(value, syntax.Name):
            scope = self.ownership.tree.scope[value]
            stores = scope.stores.get(value.value, [])
            return any(
                assigned_value(self.ownership.tree, store) is site.handle for store in stores
            )
        return self.ownership.tree.holds(value, site.handle) and not isinstance(
            value,
            (syntax.List, syntax.Tuple, syntax.Set, syntax.Dict, syntax.ListComp, syntax.SetComp),
        )

    def _returns_list(self, function: syntax.FunctionDef, holds: list[Hold]) -> bool:
        """Tell whether ``holds`` return a list that ``function`` makes, and nothing else does."""
        tree = self.ownership.tree
        for hold in holds:
            value = hold.node.value if isinstance(hold.node, syntax.Return) else None
            if isinstance(value, syntax.Name):
                stores = tree.inner[function].stores.get(value.value, [])
                value = assigned_value(tree, stores[0]) if len(stores) == 1 else None
            if not isinstance(value, (syntax.List, syntax.ListComp)):
                return False
        return bool(holds) and not any(
            isinstance(jump, syntax.Yield) for jump in tree.jumps(function.body)
        )

    def _codes(self, site: CreationSite, holds: list[Hold]) -> list[str]:
        """Return what the rules say of one site: who holds it, who ends it, what it is called."""
        if site.kind == "deferred":
            return ["TSK001"]
        if site.kind == "aggregate":
            if self.ownership.is_left_behind(site.call):
                return ["TSK002"]
            if holds or not self._holds_fresh_tasks(site) or self.is_over_at_once(site):
                return []
            return ["TSK003"]
        unnamed = "TSK303" in self.wanted and self.lifecycle.is_unnamed(site)
        fault = self._fault(site, holds)
        return [code for code in (fault, "TSK303" if unnamed else None) if code]

    def _fault(self, site: CreationSite, holds: list[Hold]) -> str | None:
        """Return the one code for what is wrong with the holders of a task: the worst of it."""
        if not holds:
            if self.is_over_at_once(site) or self.is_of_others(site) or self.keeps_itself(site):
                return None
            if self.ownership.turns.waits_for_all(site.call):
                return None
            if not self.ownership.was_bound:
                return "TSK001"
            if self.lifecycle.is_told_behind_its_yield(site):
                return None
            return "TSK002"
        stored = _stored(holds)
        if stored and self.containers.grow(self.ownership, site.call, stored):
            return "TSK101"
        if _ENDINGS & self.wanted:
            code = self.lifecycle.never_ends(site, holds, _ENDINGS & self.wanted)
            if code in self.wanted:
                return code
        if "TSK301" in self.wanted and self.lifecycle.is_unobserved(site, holds):
            return "TSK301"
        if "TSK304" in self.wanted and not self._is_registered(site, holds):
            return "TSK304"
        return None

    def _is_registered(self, site: CreationSite, holds: list[Hold]) -> bool:
        """Tell whether the strict rule is content: awaited here, or in a pruned container."""
        if any(hold.how in _WAITED for hold in holds):
            return True
        stored = [hold for hold in holds if hold.how is How.CONTAINER]
        if any(self.containers.has_discard(self.ownership, site.call, hold) for hold in stored):
            return True
        if self._is_added_with_discard(site):
            return True
        helpers = [self._helper(hold) for hold in holds if hold.how is How.PASSED]
        return any(
            "add_done_callback" in helper.tree.code_of(helper.function)
            for helper in helpers
            if helper is not None
        )

    def _is_added_with_discard(self, site: CreationSite) -> bool:
        """Tell whether the local that the task is bound to is added to a container and discarded.

        The container may be a local, too, which something that lasts holds.
        """
        tree = self.ownership.tree
        assign = tree.parent[site.handle]
        if not isinstance(assign, syntax.Assign) or len(assign.targets) != 1:
            return False
        name = dotted_text(assign.targets[0].target)
        function = tree.function_around(site.call)
        if function is None and name is not None:
            # The statements of a module are regions of their own: its text tells of all.
            task = re.escape(name)
            return tree.outline.has(
                rf"^[ \t]*([\w.]+)\.(?:add|append)\({task}\)(?s:.*)"
                rf"^[ \t]*{task}\.add_done_callback\(\1\.(?:discard|remove)\)"
            )
        if name is None:
            return False
        tree.whole()
        registration = self.ownership.registrations.of(function, name)
        callbacks = registration.callbacks
        paths = [(dotted_text(callback) or "").rpartition(".") for callback in callbacks]
        discarded = {path for path, _, taker in paths if taker in ("discard", "remove")}
        return any((path or "") in discarded for path in registration.paths)

    def _helper(self, hold: Hold) -> Helper | None:
        if not isinstance(hold.node, syntax.Call):
            return None
        return find_helper(self.ownership.tree, hold.node.func, self.ownership.parse)

    def _holds_fresh_tasks(self, site: CreationSite) -> bool:
        """Tell whether an aggregate holds anything that nobody else does.

        A dropped ``gather(self._a, self._b)`` loses nothing: its tasks have other owners.
        """
        tree = self.ownership.tree
        outer = tree.parent[tree.parent[site.call]]
        if isinstance(outer, syntax.Call) and self.ownership.sites.creator(tree, outer.func):
            return False  # told at the outer call
        if site.path not in ("asyncio.gather", "asyncio.shield"):
            return True
        return self._gathers_fresh_tasks(site.call)

    def _gathers_fresh_tasks(self, call: syntax.Call) -> bool:
        """Tell whether a ``gather`` or a ``shield`` holds anything that nobody else does."""
        fresh = [self._is_fresh(arg.value) for arg in call.args if arg.keyword is None]
        wrapper = self.ownership.sites.wrapper(self.ownership.tree, call.func)
        if wrapper is not None:
            # Of its arguments, not each need come to the aggregate.
            return wrapper.fresh or (bool(fresh) and all(fresh))
        return any(fresh)

    def is_of_others(self, site: CreationSite) -> bool:
        """Tell whether ``ensure_future`` gets a ``gather`` of what others keep, which is a future.

        They keep that as well: their callbacks refer to it.
        """
        given = site.given.value if site.given is not None else None
        return (
            site.path == "asyncio.ensure_future"
            and isinstance(given, syntax.Call)
            and self.ownership.sites.aggregate(self.ownership.tree, given.func)
            in ("asyncio.gather", "asyncio.shield")
            and not self._gathers_fresh_tasks(given)
        )

    def _is_fresh(self, value: syntax.BaseExpression) -> bool:
        """Tell whether ``value`` is a coroutine, or a task that only this aggregate would keep."""
        tree = self.ownership.tree
        if isinstance(value, syntax.Call):
            helper = find_helper(tree, value.func, self.ownership.parse)
            return (
                helper is None
                or helper.function.asynchronous
                or self.ownership.sites.creator(tree, value.func) is not None
            )
        if isinstance(value, (syntax.GeneratorExp, syntax.ListComp, syntax.SetComp)):
            return self._is_fresh(value.elt)
        if isinstance(value, (syntax.List, syntax.Tuple, syntax.Set)):
            return any(self._is_fresh(element.value) for element in value.elements)
        if not isinstance(value, syntax.Name):
            return False
        scope = tree.scope[value].owner(value.value)
        if scope is None or scope.kind != "function":
            return False
        others = [use for use in scope.uses(value.value) if use is not value]
        made = [assigned_value(tree, store) for store in scope.stores.get(value.value, ())]
        if not made or not all(
            item is not None and (self._is_fresh(item) or self._is_filled_afresh(item, others))
            for item in made
        ):
            return False
        return not any(self.ownership.holds(use) for use in others)

    def _is_filled_afresh(self, made: syntax.BaseExpression, uses: list[syntax.Name]) -> bool:
        """Tell whether a list that is empty when it is ``made`` gets what only it would keep."""
        if not isinstance(made, syntax.List) or made.elements:
            return False
        return any(self._is_fresh(arg.value) for use in uses for arg in self._put_into(use))

    def _put_into(self, container: syntax.Name) -> Sequence[syntax.Arg]:
        """Return what is put into a list where ``container`` stands: `tasks.append(task)`."""
        method = self.ownership.tree.parent[container]
        call = self.ownership.tree.parent[method]
        is_put = (
            isinstance(method, syntax.Attribute)
            and method.attr.value in ("append", "extend")
            and isinstance(call, syntax.Call)
            and call.func is method
        )
        return call.args if is_put and isinstance(call, syntax.Call) else ()


def _stored(holds: list[Hold]) -> list[Hold]:
    """Return the containers that hold a task, none if anything else does.

    Who gets it back, too, takes it out of no container of the module. An object that hands out its
    tasks may live no longer than they do: a task group.
    """
    stored = [hold for hold in holds if hold.how is How.CONTAINER]
    others = [hold for hold in holds if hold.how is not How.CONTAINER]
    if others and not (
        all(hold.how is How.RETURNED for hold in others)
        and all(isinstance(hold.node, syntax.Name) for hold in stored)
    ):
        return []
    return stored


def _is_plain(function: syntax.FunctionDef | syntax.Lambda | None) -> TypeGuard[syntax.FunctionDef]:
    """Tell whether ``function``, or the await of it, returns what it says: no decorators."""
    return isinstance(function, syntax.FunctionDef) and all(
        last_name(item.decorator) in ("staticmethod", "classmethod") for item in function.decorators
    )

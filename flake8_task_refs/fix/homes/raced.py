"""Tasks that race in ``asyncio.wait(..., return_when=FIRST_COMPLETED)``, and may never end.

A registry would keep what waits for an event that never comes, one a call. So what loses is
cancelled, if all of them do no more than to wait; work that a cancellation would cut short is kept
as any other.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.names import assigned_value
from flake8_task_refs.analysis.syntax import is_name, last_name
from flake8_task_refs.analysis.waits import waits_for_first
from flake8_task_refs.fix.contract import Context, Plan
from flake8_task_refs.fix.edits import Edit
from flake8_task_refs.fix.source import dotted, statement_expression

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flake8_task_refs.fix.repair_sites import Site

RACE: Final = (
    "what loses the race of asyncio.wait() may go on for ever: cancel what is still pending there"
)
WORK: Final = f"{RACE}, if it is no work that must not be cut short (--unsafe-fixes)"
# Coroutines that wait for others, and do nothing.
_WAITS: Final = re.compile(
    r"(?:wait|get|recv|receive|read|readline|accept|join|acquire|sleep|listen|next)(?:_\w+)?\Z"
)
_COLLECTIONS: Final = (
    syntax.Element,
    syntax.List,
    syntax.Tuple,
    syntax.Set,
    syntax.ListComp,
    syntax.SetComp,
    syntax.GeneratorExp,
)
# What may be asked of a task that was cancelled, too.
_ASKS: Final = frozenset({"cancel", "cancelled", "done", "get_name", "set_name"})


class Raced:
    """Cancels what is still pending after the first task is done."""

    def __init__(self, context: Context) -> None:
        """Repair in ``context``."""
        self._context = context

    def accepts(self, site: Site) -> bool:
        """Take the tasks of a race that nobody keeps afterwards."""
        race = self._race(site) if site.code == "TSK002" else None
        return race is not None and any(map(_only_waits, self._runners(race)))

    def plan(self, sites: Sequence[Site]) -> Plan:
        """Cancel the losers of each race."""
        found = Plan()
        races: dict[syntax.Call, list[Site]] = {}
        for site in sites:
            race = self._race(site)
            if race is not None:
                races.setdefault(race, []).append(site)
        for race, sites_of_race in races.items():
            edits = self._edits(race) if self._are_all(race, sites_of_race) else []
            is_safe = all(map(_only_waits, self._runners(race)))
            if edits and (is_safe or self._context.settings.unsafe_fixes):
                found.edits += edits
                found.fixed += [site.finding for site in sites_of_race]
            else:
                found.decline(sites_of_race, WORK if edits else RACE)
        return found

    def _runners(self, race: syntax.Call) -> list[syntax.BaseExpression]:
        """Return what makes the tasks of ``race``, as far as that is clear, or the tasks."""
        given: syntax.BaseExpression = race.args[0].value
        if isinstance(given, syntax.Name):
            given = self._made_once(given) or given
        items = _items(given)
        made = (self._made_once(item) if isinstance(item, syntax.Name) else None for item in items)
        return [task or item for task, item in zip(made, items, strict=True)]

    def _race(self, site: Site) -> syntax.Call | None:
        """Return the call of ``asyncio.wait`` that waits for the first of ``site`` and others."""
        tree = self._context.tree
        runner = self._collection_around(site.call)
        call = self._race_of(runner)
        if call is not None:
            return call
        holder = tree.parent[runner]
        if not isinstance(holder, syntax.Assign) or len(holder.targets) != 1:
            return None
        races = (self._race_of(use) for use in self._uses(holder.targets[0].target))
        return next((race for race in races if race is not None), None)

    def _collection_around(self, node: syntax.Node) -> syntax.Node:
        """Return the list, set or comprehension that ``node`` is an item of, else ``node``."""
        tree = self._context.tree
        while isinstance(tree.parent[node], _COLLECTIONS):
            node = tree.parent[node]
        return node

    def _race_of(self, node: syntax.Node) -> syntax.Call | None:
        """Return the race that is given ``node``, or a list with ``node`` in it."""
        tree = self._context.tree
        arg = tree.parent[self._collection_around(node)]
        call = tree.parent[arg] if isinstance(arg, syntax.Arg) else None
        if not isinstance(call, syntax.Call) or call.args[0] is not arg:
            return None
        is_race = self._context.judge.ownership.names.canonical(
            tree, call.func
        ) == "asyncio.wait" and any(waits_for_first(other.value) for other in call.args[1:])
        if not is_race or any(
            other.keyword is not None and other.keyword.value == "timeout" for other in call.args
        ):
            return None  # after a time limit, all may be meant to go on
        return call

    def _uses(self, name: syntax.Node) -> Iterator[syntax.Name]:
        """Yield where the local ``name`` is used."""
        if isinstance(name, syntax.Name):
            scope = self._context.tree.scope[name].owner(name.value)
            if scope is not None and scope.kind == "function":
                yield from scope.uses(name.value)

    # -- may all that is pending be cancelled? ----------------------------------------------

    def _are_all(self, race: syntax.Call, runners: Sequence[Site]) -> bool:
        """Tell whether nobody else has what runs in ``race``: it is all of ``runners``."""
        made = {site.call for site in runners}
        given: syntax.BaseExpression | None = race.args[0].value
        if isinstance(given, syntax.Name):
            uses = list(self._uses(given))
            made_once = self._made_once(given)
            if len(uses) != 1 or made_once is None or not self._is_as_often(made_once, race):
                return False
            given = made_once
        if given is None:
            return False
        items = _items(given)
        is_race = len(items) > 1 or not isinstance(given, (syntax.List, syntax.Tuple, syntax.Set))
        return is_race and all(item in made or self._is_alone(item, made, race) for item in items)

    def _is_alone(
        self, item: syntax.BaseExpression, made: set[syntax.Call], race: syntax.Call
    ) -> bool:
        """Tell whether ``item`` is a local for one of ``made``, which does not mind its end."""
        task = self._made_once(item) if isinstance(item, syntax.Name) else None
        if task not in made or not isinstance(item, syntax.Name):
            return False
        return self._is_as_often(task, race) and all(
            use is item or self._only_asks(use) for use in self._uses(item)
        )

    def _made_once(self, name: syntax.Name) -> syntax.BaseExpression | None:
        """Return what the local ``name`` is given, None if that is not clear."""
        scope = self._context.tree.scope[name].owner(name.value)
        stores = scope.stores.get(name.value, []) if scope is not None else []
        return assigned_value(self._context.tree, stores[0]) if len(stores) == 1 else None

    def _is_as_often(self, made: syntax.Node, race: syntax.Call) -> bool:
        """Tell whether no loop or function around ``race`` waits for what was ``made`` before."""
        tree = self._context.tree
        return tree.function_around(made) is tree.function_around(race) and (
            self._loop(made) is self._loop(race)
        )

    def _loop(self, node: syntax.Node) -> syntax.Node | None:
        for outer in self._context.tree.ancestors(node):
            if isinstance(outer, (syntax.FunctionDef, syntax.Lambda)):
                break
            if isinstance(outer, (syntax.For, syntax.While)):
                return outer
        return None

    def _only_asks(self, use: syntax.Name) -> bool:
        """Tell whether ``use`` asks whether a task is over, or is for one that surely is."""
        tree = self._context.tree
        outer = tree.parent[use]
        if isinstance(outer, syntax.Attribute) and outer.attr.value in _ASKS:
            return True
        if isinstance(outer, syntax.Comparison) and outer.left is use:
            return True
        return any(
            isinstance(around, (syntax.If, syntax.IfExp))
            and tree.holds(around.body, use)
            and _is_in(around.test, use.value)
            for around in tree.ancestors(use)
        )

    # -- the edits --------------------------------------------------------------------------

    def _edits(self, race: syntax.Call) -> list[Edit]:
        """Return what cancels the losers after the statement of ``race``; nothing if unclear."""
        context, file, writer = self._context, self._context.file, self._context.writer
        statement = file.statement(race)
        small = statement_expression(statement) if statement is not None else None
        if statement is None or not isinstance(small, (syntax.Assign, syntax.Expr)):
            return []
        waits = small.value
        if not isinstance(waits, syntax.Await) or waits.expression is not race:
            return []
        edits: list[Edit] = []
        if isinstance(small, syntax.Expr):
            if file.brackets(waits):
                return []
            pending = context.locals.free("pending", race)
            is_free = "_" not in context.locals.taken(race)
            done = "_" if is_free else context.locals.free("_done", race)
            start = file.span(waits).start
            edits.append(Edit(start, start, f"{done}, {pending} = "))
        else:
            target = _second(small)
            if target is None or any(True for _ in self._uses(target)):
                return []  # somebody looks at what is pending already
            pending = target.value
            if pending == "_":
                pending = context.locals.free("pending", race)
                span = file.span(target)
                edits.append(Edit(span.start, span.end, pending))
        task = context.locals.free("task", race)
        indent = file.indent(statement)
        lines = [
            f"{indent}for {task} in {pending}:",
            f"{indent}{writer.layout.step}{task}.cancel()",
        ]
        return [*edits, writer.insert_after(statement, lines)]


def _only_waits(task: syntax.BaseExpression) -> bool:
    """Tell whether ``task``, the call that makes it, runs a coroutine that waits for others."""
    given = task.args[0].value if isinstance(task, syntax.Call) and task.args else None
    return isinstance(given, syntax.Call) and _WAITS.match(last_name(given.func)) is not None


def _is_in(test: syntax.BaseExpression, name: str) -> bool:
    """Tell whether ``test`` is true only if ``name`` is in something: ``name in done``."""
    if isinstance(test, syntax.BooleanOperation) and test.operator == "and":
        return _is_in(test.left, name) or _is_in(test.right, name)
    return (
        isinstance(test, syntax.Comparison)
        and is_name(test.left, name)
        and [target.operator for target in test.comparisons] == ["in"]
    )


def _items(given: syntax.BaseExpression) -> list[syntax.BaseExpression]:
    """Return the items of a list, tuple or set, or what a comprehension makes of each."""
    if isinstance(given, (syntax.List, syntax.Tuple, syntax.Set)):
        return [element.value for element in given.elements]
    if isinstance(given, (syntax.ListComp, syntax.SetComp, syntax.GeneratorExp)):
        return [given.elt]
    return [given]


def _second(assign: syntax.Assign) -> syntax.Name | None:
    """Return ``b`` of ``a, b = ...``."""
    targets = [item.target for item in assign.targets]
    if len(targets) != 1 or not isinstance(targets[0], (syntax.Tuple, syntax.List)):
        return None
    elements = targets[0].elements
    second = elements[1].value if len(elements) == 2 else None
    return second if isinstance(second, syntax.Name) and dotted(second) else None

"""Tasks that ``asyncio.wait()`` leaves behind, by ``FIRST_COMPLETED`` or ``timeout=``.

A registry would keep what waits for an event that never comes, one a call. So what is left is
cancelled, if it does no more than to wait; work that a cancellation would cut short is kept as any
other, and may be meant to go on after a time limit.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.helpers import likely_function
from flake8_task_refs.analysis.names import assigned_value
from flake8_task_refs.analysis.syntax import is_name, last_name
from flake8_task_refs.analysis.waits import is_partial
from flake8_task_refs.fix.contract import Context, Plan
from flake8_task_refs.fix.edits import Edit, Place
from flake8_task_refs.fix.source import dotted, statement_expression

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flake8_task_refs.analysis.tree import Scope
    from flake8_task_refs.fix.repair_sites import Site

RACE: Final = (
    "what asyncio.wait() leaves behind may go on for ever: cancel what is still pending there"
)
WORK: Final = f"{RACE}, if it is no work that must not be cut short (--unsafe-fixes)"
# Coroutines that wait for others, and do nothing; `get_or_create()` does.
_WAITS: Final = re.compile(
    r"(?:wait|recv|receive|listen|next)(?:_\w+)?\Z|(?:join|acquire|sleep)\Z"
    r"|(?:get|read|accept)(?:_?(?:message|event|item|next|line|lines|frame|packet|exactly|until"
    r"|connection|client))?\Z|readline\Z|readexactly\Z"
)
# What does something as well, or with what it has waited for.
_AND_WORKS: Final = re.compile(r"_(?:and|then|or)_|next_(?!message|event|item|line|frame|packet)")
# Those that surely do not: a `get(url)` is work.
_SURELY_WAITS: Final = frozenset({"wait", "wait_closed", "sleep", "acquire"})
_OF_QUEUES: Final = frozenset({"get", "join"})
_QUEUE: Final = re.compile(r"queue|inbox|mailbox|channel|(?:\A|_)q\Z", re.IGNORECASE)
_PASSES_ON: Final = frozenset({"wait_for", "shield"})
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
        # What `_race` found among the uses of a local.
        self._races: dict[tuple[Scope | None, str], syntax.Call | None] = {}

    def accepts(self, site: Site) -> bool:
        """Take the tasks that a wait leaves behind, if one of them only waits for others."""
        race = self._race(site) if site.code == "TSK002" else None
        if race is None:
            return False
        if has_limit(race):
            return self._only_waits(site.call, surely=True)
        return any(self._only_waits(task, at_least=True) for task in self._runners(race))

    def plan(self, sites: Sequence[Site]) -> Plan:
        """Cancel the losers of each race."""
        found = Plan()
        races: dict[syntax.Call, list[Site]] = {}
        for site in sites:
            race = self._race(site)
            if race is not None:
                races.setdefault(race, []).append(site)
        for race, sites_of_race in races.items():
            edits, is_safe = self._repair(race, sites_of_race)
            if edits and (is_safe or self._context.settings.unsafe_fixes):
                found.edits += edits
                found.fixed += [site.finding for site in sites_of_race]
            else:
                found.decline(sites_of_race, WORK if edits else RACE)
        return found

    def _repair(self, race: syntax.Call, sites: Sequence[Site]) -> tuple[list[Edit], bool]:
        """Return what cancels the losers, nothing if that is not clear, and whether it is safe."""
        if self._are_all(race, sites):
            return self._edits(race), all(map(self._only_waits, self._runners(race)))
        return self._edits_by_name(race, sites), all(self._only_waits(site.call) for site in sites)

    def _only_waits(
        self, task: syntax.BaseExpression, *, surely: bool = False, at_least: bool = False
    ) -> bool:
        """Tell whether ``task``, the call that makes it, runs a coroutine that waits for others.

        That ``surely`` does so and nothing else; or waits ``at_least``, whatever it does then.
        """
        given = task.args[0].value if isinstance(task, syntax.Call) and task.args else None
        while isinstance(given, syntax.Call) and last_name(given.func) in _PASSES_ON:
            given = given.args[0].value if given.args else None
        if not isinstance(given, syntax.Call):
            return False
        name = last_name(given.func)
        path = self._context.judge.ownership.names.canonical(self._context.tree, given.func) or ""
        if not path.startswith("asyncio."):
            function = likely_function(self._context.tree, given)
            if function is not None:
                return _WAITS.match(name) is not None and self._does_nothing_else(function)
        if not surely:
            asks_for_one = name in ("get", "next") and bool(given.args)
            works = not at_least and (asks_for_one or _AND_WORKS.search(name) is not None)
            return _WAITS.match(name) is not None and not works
        owner = given.func.value if isinstance(given.func, syntax.Attribute) else given
        of_queue = name in _OF_QUEUES and _QUEUE.search(last_name(owner)) is not None
        return name in _SURELY_WAITS or (of_queue and not given.args)

    def _does_nothing_else(self, function: syntax.FunctionDef) -> bool:
        """Tell whether all that ``function`` does is to wait, and to ask what for."""
        tree = self._context.tree
        waits = {
            node.expression for node in tree.walk(function.body) if isinstance(node, syntax.Await)
        }
        return not any(
            isinstance(node, (syntax.AssignTarget, syntax.AugAssign, syntax.Yield))
            or (
                isinstance(node, syntax.Call)
                and not (node in waits and _WAITS.match(last_name(node.func)))
                and last_name(node.func) not in ("is_set", "empty", "done")
            )
            for node in tree.walk(function.body)
        )

    def _runners(self, race: syntax.Call) -> list[syntax.BaseExpression]:
        """Return what makes the tasks of ``race``, as far as that is clear, or the tasks."""
        given: syntax.BaseExpression = race.args[0].value
        if isinstance(given, syntax.Name):
            given = self._made_once(given) or given
        items = _items(given)
        made = (self._made_once(item) if isinstance(item, syntax.Name) else None for item in items)
        return [task or item for task, item in zip(made, items, strict=True)]

    def _race(self, site: Site) -> syntax.Call | None:
        """Return the call of ``asyncio.wait`` that may leave the task of ``site`` behind."""
        tree = self._context.tree
        runner = self._collection_around(site.call)
        call = self._race_of(runner)
        if call is not None:
            return call
        holder = tree.parent[runner]
        if not isinstance(holder, syntax.Assign) or len(holder.targets) != 1:
            return None
        name = holder.targets[0].target
        if not isinstance(name, syntax.Name):
            return None
        key = (tree.scope[name].owner(name.value), name.value)
        if key not in self._races:
            races = (self._race_of(use) for use in self._uses(name))
            self._races[key] = next((race for race in races if race is not None), None)
        return self._races[key]

    def _collection_around(self, node: syntax.Node) -> syntax.Node:
        """Return the list, set or comprehension that ``node`` is an item of, else ``node``."""
        tree = self._context.tree
        while isinstance(tree.parent[node], _COLLECTIONS):
            node = tree.parent[node]
        return node

    def _race_of(self, node: syntax.Node) -> syntax.Call | None:
        """Return the wait that may give up on ``node``, or on what is in a list with it."""
        tree = self._context.tree
        arg = tree.parent[self._collection_around(node)]
        call = tree.parent[arg] if isinstance(arg, syntax.Arg) else None
        if not isinstance(call, syntax.Call) or call.args[0] is not arg:
            return None
        path = self._context.judge.ownership.names.canonical(tree, call.func)
        return call if path == "asyncio.wait" and is_partial(call) else None

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
            made_once = self._made_once(given)
            if made_once is None or not self._is_as_often(made_once, race):
                return False
            if any(use is not given and not self._asks_for_any(use) for use in self._uses(given)):
                return False
            given = made_once
        if given is None:
            return False
        items = _items(given)
        is_race = len(items) > 1 or not isinstance(given, (syntax.List, syntax.Tuple, syntax.Set))
        return is_race and all(item in made or self._is_alone(item, made, race) for item in items)

    def _asks_for_any(self, use: syntax.Name) -> bool:
        """Tell whether ``use`` of a list asks whether there is anything in it: ``if tasks:``."""
        outer = self._context.tree.parent[use]
        if isinstance(outer, syntax.UnaryOperation) and outer.operator == "not":
            outer = self._context.tree.parent[outer]
        return isinstance(outer, syntax.If)

    def _is_alone(
        self, item: syntax.BaseExpression, made: set[syntax.Call], race: syntax.Call
    ) -> bool:
        """Tell whether ``item`` is a local for one of ``made``, which does not mind its end."""
        task = self._made_once(item) if isinstance(item, syntax.Name) else None
        if task not in made or not isinstance(item, syntax.Name):
            return False
        return self._is_as_often(task, race) and all(
            use is item or (self._only_asks(use) and self._is_as_often(use, race))
            for use in self._uses(item)
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

    def _edits_by_name(self, race: syntax.Call, sites: Sequence[Site]) -> list[Edit]:
        """Return what gives names to the tasks of ``sites`` and cancels these after ``race``.

        All others in it must be names, too: what they are for is another's business.
        """
        context, file, writer = self._context, self._context.file, self._context.writer
        statement, given = file.statement(race), race.args[0].value
        small = self._waits(race)
        if (
            statement is None
            or not isinstance(given, (syntax.List, syntax.Tuple, syntax.Set))
            or any(isinstance(element, syntax.StarredElement) for element in given.elements)
            or (len(given.elements) == 1 and not has_limit(race))
            or (isinstance(small, syntax.Assign) and self._is_read(second_target(small)))
            or small is None
        ):
            return []
        made = {site.call for site in sites}
        indent = file.indent(statement)
        names: list[str] = []
        above: list[str] = []
        edits: list[Edit] = []
        for item in _items(given):
            if item in made:
                number = f"_{len(above) + 1}" if above else ""
                name = context.locals.free(f"waiter{number}", race)
                start, end = file.span(item)
                above += writer.layout.best(f"{name} = {file.text[start:end]}", indent)
                edits.append(Edit(start, end, name))
                names.append(name)
            elif self._is_alone(item, made, race):
                names.append(file.code(item))
            elif not dotted(item) or self._is_given(item, made):
                return []
        if len(names) != len(made):
            return []
        edits = writer.laid_out(statement, edits) if edits else []
        if above:
            line = file.first_line_with_comments(statement)
            edits.append(writer.insert_at(line, above, Place.BEFORE_STATEMENT))
        return [
            *edits,
            writer.insert_after(statement, [f"{indent}{name}.cancel()" for name in names]),
        ]

    def _is_given(self, item: syntax.BaseExpression, made: set[syntax.Call]) -> bool:
        """Tell whether ``item`` is a local for one of ``made``."""
        return isinstance(item, syntax.Name) and self._made_once(item) in made

    def _waits(self, race: syntax.Call) -> syntax.Assign | syntax.Expr | None:
        """Return the statement that awaits ``race`` and does nothing else, if there is one."""
        statement = self._context.file.statement(race)
        small = statement_expression(statement) if statement is not None else None
        if not isinstance(small, (syntax.Assign, syntax.Expr)):
            return None
        waits = small.value
        return small if isinstance(waits, syntax.Await) and waits.expression is race else None

    def _is_read(self, target: syntax.Name | None) -> bool:
        """Tell whether somebody may look at what is still pending, which ``target`` is for."""
        return target is None or any(True for _ in self._uses(target))

    def _edits(self, race: syntax.Call) -> list[Edit]:
        """Return what cancels the losers after the statement of ``race``; nothing if unclear."""
        context, file, writer = self._context, self._context.file, self._context.writer
        statement, small = file.statement(race), self._waits(race)
        if statement is None or small is None or small.value is None:
            return []
        edits: list[Edit] = []
        if isinstance(small, syntax.Expr):
            if file.brackets(small.value):
                return []
            pending = context.locals.free("pending", race)
            is_free = "_" not in context.locals.taken(race)
            done = "_" if is_free else context.locals.free("_done", race)
            start = file.span(small.value).start
            edits.append(Edit(start, start, f"{done}, {pending} = "))
        else:
            target = second_target(small)
            if target is None or self._is_read(target):
                return []
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
        return [*writer.laid_out(statement, edits), writer.insert_after(statement, lines)]


def has_limit(wait: syntax.Call) -> bool:
    """Tell whether ``wait`` gives up after some time."""
    return any(arg.keyword is not None and arg.keyword.value == "timeout" for arg in wait.args)


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


def second_target(assign: syntax.Assign) -> syntax.Name | None:
    """Return ``b`` of ``a, b = ...``."""
    targets = [item.target for item in assign.targets]
    if len(targets) != 1 or not isinstance(targets[0], (syntax.Tuple, syntax.List)):
        return None
    elements = targets[0].elements
    second = elements[1].value if len(elements) == 2 else None
    return second if isinstance(second, syntax.Name) and dotted(second) else None

"""A shutdown that cancels its task and goes on: it waits, for as long as any shutdown may."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.names import assigned_value
from flake8_task_refs.analysis.places import place_of
from flake8_task_refs.analysis.syntax import last_name
from flake8_task_refs.fix.container_uses import mentions
from flake8_task_refs.fix.contract import Context, Plan
from flake8_task_refs.fix.edits import Edit, Place
from flake8_task_refs.fix.homes.raced import has_limit, second_target
from flake8_task_refs.fix.source import body_of, dotted, statement_expression
from flake8_task_refs.fix.worker import LikelyWorker

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flake8_task_refs.fix.repair_sites import Site
    from flake8_task_refs.fix.source import Statement

# What means the same when it is written a second time.
_REPEATABLE: Final = (
    syntax.Name,
    syntax.Attribute,
    syntax.Subscript,
    syntax.SubscriptElement,
    syntax.Index,
    syntax.SimpleString,
    syntax.Integer,
)
_SELVES: Final = frozenset({"self", "cls"})
# What a task may want for its clean-up.
_LOCK: Final = re.compile(
    r"(?:\A|_)(?:(?:[rw]|rw|file|thread)?lock|sem|semaphore|cond|condition|mutex)s?(?:_|\Z)",
    re.IGNORECASE,
)
# These give a timer or the future of another thread, which asyncio cannot wait for.
_NO_TASKS: Final = frozenset(
    {
        "call_at",
        "call_later",
        "call_soon",
        "call_soon_threadsafe",
        "run_coroutine_threadsafe",
        "submit",
    }
)
LOCKED: Final = "the task may need what is locked here for its clean-up: await it after that"
NOT_ALONE: Final = (
    "what is cancelled here has no name to wait for it by, or more is done with it at once: "
    "await it by hand"
)
NO_TASK: Final = (
    "what is cancelled here may also be a timer or another thread's future, which cannot be "
    "awaited like a task: await it by hand"
)
OVERTIME: Final = (
    "these tasks were cancelled before, and have had all the time that they get here: await them "
    "by hand if they may take longer"
)
TAKEN_OUT: Final = (
    "what is cancelled here is taken out of its place only afterwards, and the task or another may "
    "do that while it is waited for: take it out first"
)


class Cancelled:
    """Waits for the task after ``task.cancel()``, or for all after the loop that cancels them."""

    def __init__(self, context: Context) -> None:
        """Repair in ``context``."""
        self._context = context

    def accepts(self, site: Site) -> bool:
        """Take every task that is cancelled and not awaited."""
        return site.code == "TSK202"

    def plan(self, sites: Sequence[Site]) -> Plan:
        """Await what was cancelled."""
        found = Plan()
        collected: dict[syntax.Node, str] = {}
        for row in self._rows(sites):
            if len(row) > 1:
                found.edits.append(self._wait_for_row(row))
                found.fixed += [each.finding for each in row]
                continue
            site, reason = row[0], self._reason(row[0])
            edits = [] if reason else self._edits(site, collected)
            if edits:
                found.edits += edits
                found.fixed.append(site.finding)
            else:
                found.decline([site], reason or NOT_ALONE)
        return found

    def _reason(self, site: Site) -> str:
        """Return why the task of ``site`` is not to be waited for there, or ``""``."""
        if self._is_locked(site):
            return LOCKED
        if self._may_be_no_task(site):
            return NO_TASK
        if self._is_taken_out_later(site):
            return TAKEN_OUT
        return OVERTIME if self._had_its_time(site) else self._waits_for_itself(site)

    def _had_its_time(self, site: Site) -> bool:
        """Tell whether ``site`` only cancels again what did not end within a time limit."""
        context, file = self._context, self._context.file
        loop = self._loop(site)
        left = _iterated(loop.iter) if isinstance(loop, syntax.For) else ""
        calls = [
            call for call in context.tree.calls if left and file.function(call) is site.function
        ]
        for wait in calls:
            statement = file.statement(wait)
            small = statement_expression(statement) if statement is not None else None
            if (
                not isinstance(small, syntax.Assign)
                or context.names.canonical(wait.func) != "asyncio.wait"
                or not has_limit(wait)
                or dotted(second_target(small)) != left
            ):
                continue
            given, before = dotted(wait.args[0].value), file.span(wait).start
            around = {self._loop_around(c) for c in calls if last_name(c.func) == "cancel"}
            return any(
                isinstance(earlier, syntax.For)
                and file.span(earlier).end < before
                and given
                and _iterated(earlier.iter) == given
                for earlier in around
            )
        return False

    def _is_taken_out_later(self, site: Site) -> bool:
        """Tell whether the function deletes the item or attribute after it has cancelled it.

        Up to now, nothing could come between the two. Tasks of a loop are waited for behind it.
        """
        if self._loop(site):
            return False
        file, calls = self._context.file, self._context.tree.calls
        for place in self._places(site):
            held, asked = self._container(place)
            if any(
                file.code(node.target) == file.code(place)
                or (asked and self._container(node.target)[0] == held)
                for node in file.all(syntax.Del)
                if self._comes_after(node, site)
            ) or any(
                last_name(call.func) == "pop" and file.code(call.func.value) == held
                for call in calls
                if held and isinstance(call.func, syntax.Attribute)
                if self._comes_after(call, site)
            ):
                return True
        return False

    def _container(self, place: syntax.BaseExpression) -> tuple[str, bool]:
        """Return what ``place`` is an item of, ``""`` if of nothing, and whether by ``.get()``."""
        if isinstance(place, syntax.Subscript):
            return self._context.file.code(place.value), False
        called = place.func if isinstance(place, syntax.Call) else None
        if isinstance(called, syntax.Attribute) and called.attr.value == "get":
            return self._context.file.code(called.value), True
        return "", False

    def _places(self, site: Site) -> list[syntax.BaseExpression]:
        """Return the items and attributes that what is cancelled comes from, as written."""
        cancel, tree = site.call.func, self._context.tree
        task = cancel.value if isinstance(cancel, syntax.Attribute) else None
        if not isinstance(task, syntax.Name):
            return [task] if isinstance(task, (syntax.Subscript, syntax.Attribute)) else []
        owner = tree.scope[task].owner(task.value)
        if owner is None or owner.kind != "function":
            return []
        values = (assigned_value(tree, store) for store in owner.stores.get(task.value, ()))
        return [value for value in values if value is not None]

    def _comes_after(self, node: syntax.Node, site: Site) -> bool:
        """Tell whether ``node`` stands behind ``site`` in the same function."""
        file = self._context.file
        return (
            file.function(node) is site.function
            and file.span(node).start > file.span(site.call).start
        )

    def _rows(self, sites: Sequence[Site]) -> Iterator[list[Site]]:
        """Yield the sites, those together that cancel one after another in lines of their own.

        They are waited for all at once, and as long as for one.
        """
        row: list[Site] = []
        for site in sites:
            is_plain = self._is_plain(site)
            if row and not (is_plain and self._follows(row[-1], site)):
                yield row
                row = []
            if is_plain:
                row.append(site)
            else:
                yield [site]
        if row:
            yield row

    def _follows(self, one: Site, other: Site) -> bool:
        """Tell whether the statement of ``other`` comes right after that of ``one``."""
        block = self._context.tree.parent.get(one.statement) if one.statement is not None else None
        body = list(body_of(block)) if block is not None else []
        return any(
            first is one.statement and second is other.statement for first, second in pairwise(body)
        )

    def _is_plain(self, site: Site) -> bool:
        """Tell whether ``site`` is a line that cancels a task, and needs no more than a wait."""
        if not isinstance(site.call.func, syntax.Attribute) or site.statement is None:
            return False
        small = statement_expression(site.statement)
        return (
            isinstance(small, syntax.Expr)
            and small.value is site.call
            and self._loop(site) is None
            and self._is_repeatable(site.call.func.value)
            and not self._is_spared(site)
            and not self._reason(site)
        )

    def _wait_for_row(self, row: Sequence[Site]) -> Edit:
        """Wait for all tasks of ``row`` after the last was cancelled."""
        file, writer = self._context.file, self._context.writer
        last = row[-1].statement
        if last is None:
            raise ValueError("only a statement can be followed by others")
        tasks = [
            file.code(site.call.func.value)
            for site in row
            if isinstance(site.call.func, syntax.Attribute)
        ]
        lines = writer.layout.best(self._call(f"[{', '.join(tasks)}]"), file.indent(last))
        return writer.insert_after(last, lines)

    def _is_made_here(self, site: Site) -> bool:
        """Tell whether the function around ``site`` has made the task, which so cannot run it."""
        task = site.call.func.value if isinstance(site.call.func, syntax.Attribute) else None
        if not isinstance(task, syntax.Name):
            return False
        tree, file = self._context.tree, self._context.file
        scope = tree.scope[task].owner(task.value)
        stores = scope.stores.get(task.value, ()) if scope is not None else ()
        made = self._context.judge.ownership.sites.find(tree)
        calls = {found.call for found in made if file.function(found.call) is site.function}
        assigned = [
            node
            for node in file.all(syntax.Assign)
            if node.value in calls and any(item.target in stores for item in node.targets)
        ]
        return (
            scope is not None
            and scope.kind != "module"
            and bool(stores)
            and len(assigned) == len(stores)
        )

    def _waits_for_itself(self, site: Site) -> str:
        """Return why the task may be what runs the function around ``site``, or ``""``.

        A task that does so by ``self`` is spared where it is waited for. Under another name, any
        method that is called like this one may be it.
        """
        function = site.function
        if not isinstance(function, syntax.FunctionDef) or self._is_made_here(site):
            return ""
        name = function.name.value
        around = self._context.tree.class_around(function)
        for worker in self._workers(site):
            for call in worker.calls():
                owner = call.func.value if isinstance(call.func, syntax.Attribute) else None
                if last_name(call.func) == name and dotted(owner) not in _SELVES:
                    return (
                        f"{worker.name}(), which runs as the task, may call {name}() "
                        "itself, and would wait there for its own end: await it by hand"
                    )
        for worker in self._workers(site):
            if around is not None and (
                worker.calls_hook(around) or worker.runs_what_it_is_given(around)
            ):
                return (
                    f"{worker.name}(), which runs as the task, calls what it is given, and "
                    f"that may call {name}(), which would wait for its own end: await it by hand"
                )
        return ""

    def _may_come_back(self, site: Site) -> bool:
        """Tell whether the task may run the function around ``site``, by way of another object."""
        return any(worker.may_come_back() for worker in self._workers(site))

    def _workers(self, site: Site) -> Iterator[LikelyWorker]:
        """Yield the functions of the file that may run as what is cancelled at ``site``.

        Those of all tasks of the file, if it is not clear which of them is meant.
        """
        tree, judge = self._context.tree, self._context.judge
        cancel = site.call.func
        task = cancel.value if isinstance(cancel, syntax.Attribute) else cancel
        meant = judge.lifecycle.cancelled_names(task)
        known = [found.call for found in judge.ownership.sites.find(tree)]
        made = [call for call in known if meant & self._kept_as(call)]
        # Another library's function may make the task.
        made += [call for call in self._assigned_to(meant) if call not in made]
        made = made or known
        run = {
            last_name(node.func)
            for call in made
            for arg in call.args[:1]
            for node in tree.walk(arg)
            if isinstance(node, syntax.Call)
        }
        for function in self._context.file.functions():
            if function.name.value in run:
                yield LikelyWorker(self._context, function)

    def _assigned_to(self, names: set[str]) -> Iterator[syntax.Call]:
        """Yield the calls whose value is assigned to one of ``names``."""
        for node in self._context.file.all(syntax.Assign):
            if isinstance(node.value, syntax.Call) and any(
                last_name(item.target) in names for item in node.targets
            ):
                yield node.value

    def _kept_as(self, creation: syntax.Call) -> set[str]:
        """Return the names under which the task that ``creation`` makes can be found."""
        holds = self._context.judge.ownership.holds(creation)
        places = (place_of(self._context.tree, hold.node) for hold in holds)
        return {place.name for place in places if place is not None}

    def _is_locked(self, site: Site) -> bool:
        """Tell whether ``site`` stands in a ``with`` of a lock, or between its methods."""
        file, held = self._context.file, 0
        for call in self._context.tree.calls:
            if (
                isinstance(call.func, syntax.Attribute)
                and file.function(call) is site.function
                and file.span(call).start < file.span(site.call).start
                and self._names_lock(call.func.value)
            ):
                held += {"acquire": 1, "release": -1}.get(call.func.attr.value, 0)
        if held > 0:
            return True
        for outer in self._context.tree.ancestors(site.call):
            if isinstance(outer, (syntax.FunctionDef, syntax.Lambda)):
                return False
            if isinstance(outer, syntax.With) and any(
                self._names_lock(item.item) for item in outer.items
            ):
                return True
        return False

    def _names_lock(self, node: syntax.Node) -> bool:
        return any(
            isinstance(inner, syntax.Name) and _LOCK.search(inner.value)
            for inner in self._context.file.inside(node)
        )

    def _edits(self, site: Site, collected: dict[syntax.Node, str]) -> list[Edit]:
        """Return what waits for the task; ``collected`` are the loops whose tasks are a list."""
        statement, file = site.statement, self._context.file
        if statement is None or not isinstance(site.call.func, syntax.Attribute):
            return []
        small, receiver = statement_expression(statement), site.call.func.value
        value = small.value if isinstance(small, syntax.Expr) else None
        edits = []
        if isinstance(value, syntax.Await) and value.expression is site.call:
            # `await task.cancel()` raises: the call returns no awaitable.
            edits.append(Edit(file.span(value).start, file.span(site.call).start, ""))
        elif value is not site.call:
            return []
        loop = self._loop(site)
        if loop is None:
            waits = self._wait_here(site, statement, receiver)
        elif self._is_called_here(site):
            waits = []
        else:
            tasks = _iterated(loop.iter) if isinstance(loop, syntax.For) else ""
            if tasks and _cancels_all(loop, statement, dotted(receiver)):
                held = tasks.removesuffix(".values()")
                waits = [self._wait_after(loop, held, tasks)]
            else:
                waits = self._collect(site, statement, loop, collected)
        return [*edits, *waits] if waits else []

    def _wait_here(
        self, site: Site, statement: Statement, receiver: syntax.BaseExpression
    ) -> list[Edit]:
        """Wait for one task right after it was cancelled."""
        file, writer = self._context.file, self._context.writer
        if not self._is_repeatable(receiver):
            return []
        task, indent = file.code(receiver), file.indent(statement)
        lines = []
        if self._is_spared(site):
            asyncio = self._context.additions.module("asyncio")
            lines = [f"{indent}if {task} is not {asyncio}.current_task():"]
            indent += writer.layout.step
        lines += writer.layout.best(self._call(f"[{task}]"), indent)
        return [writer.insert_after(statement, lines)]

    def _is_spared(self, site: Site) -> bool:
        """Tell whether the task may be the one that runs the function around ``site``."""
        return not self._is_made_here(site) and (
            self._is_called_here(site) or self._may_come_back(site)
        )

    def _wait_after(self, loop: syntax.Node, held: str, tasks: str) -> Edit:
        """Wait for ``tasks`` after ``loop``, if ``held`` holds any."""
        file, writer = self._context.file, self._context.writer
        indent = file.indent(loop)
        lines = [f"{indent}if {held}:"]
        lines += writer.layout.best(self._call(tasks), indent + writer.layout.step)
        return writer.insert_after(loop, lines, Place.END_OF_BLOCK)

    def _collect(
        self,
        site: Site,
        statement: Statement,
        loop: syntax.For | syntax.While,
        collected: dict[syntax.Node, str],
    ) -> list[Edit]:
        """Collect what ``loop`` cancels, one by one or on condition, and wait for it afterwards.

        All are cancelled before any is waited for: whatever ends meanwhile may change what the loop
        goes over.
        """
        context, file, writer = self._context, self._context.file, self._context.writer
        receiver = site.call.func.value if isinstance(site.call.func, syntax.Attribute) else None
        if receiver is None or not self._is_repeatable(receiver) or self._leaves(loop):
            return []
        edits = []
        if loop not in collected:
            pending = collected[loop] = context.locals.free("pending", site.call)
            lines = [f"{file.indent(loop)}{pending} = []"]
            above = file.first_line_with_comments(loop)
            edits = [writer.insert_at(above, lines, Place.BEFORE_STATEMENT)]
            edits.append(self._wait_after(loop, pending, pending))
        line = f"{file.indent(statement)}{collected[loop]}.append({file.code(receiver)})"
        return [*edits, writer.insert_after(statement, [line])]

    def _is_repeatable(self, receiver: syntax.BaseExpression) -> bool:
        return all(isinstance(node, _REPEATABLE) for node in self._context.tree.walk(receiver))

    def _leaves(self, loop: syntax.Node) -> bool:
        """Tell whether the function may be over before it comes to what follows ``loop``."""
        leaving = (syntax.Return, syntax.Raise, syntax.Yield)
        return any(isinstance(node, leaving) for node in self._context.tree.walk(loop))

    def _may_be_no_task(self, site: Site) -> bool:
        """Tell whether what is cancelled can be, or have among it, what nobody can wait for."""
        receiver = site.call.func.value if isinstance(site.call.func, syntax.Attribute) else None
        loop, path = self._loop(site), dotted(receiver)
        if receiver is not None and loop is not None:
            return self._has_others(receiver, loop)
        file, tree = self._context.file, self._context.tree
        around = tree.class_around if "." in path else file.function
        return any(
            isinstance(node.value, syntax.Call)
            and last_name(node.value.func) in _NO_TASKS
            and path in [dotted(item.target) for item in node.targets]
            and around(node) is around(site.call)
            for node in (file.all(syntax.Assign) if path else ())
        )

    def _has_others(self, receiver: syntax.BaseExpression, loop: syntax.For | syntax.While) -> bool:
        """Tell whether more than tasks can be in what ``loop`` goes over."""
        held = dotted(receiver) if isinstance(loop, syntax.While) else _iterated(loop.iter)
        if isinstance(loop, syntax.For) and not held:
            held = _mapping(loop.iter)
        held = held.removesuffix(".values()")
        if not held:
            return False
        file = self._context.file
        # Made there and then, or put in under a name.
        named = {
            dotted(target.target)
            for node in file.all(syntax.Assign)
            if self._makes_another(node.value)
            for target in node.targets
        } - {""}
        for kind in (syntax.Name, syntax.Attribute):
            for use in file.all(kind):
                statement = self._small_statement(use) if dotted(use) == held else None
                if statement is not None and (
                    self._makes_another(statement) or mentions(file, statement, named)
                ):
                    return True
        return False

    def _makes_another(self, node: syntax.Node) -> bool:
        return any(
            isinstance(inner, syntax.Call) and last_name(inner.func) in _NO_TASKS
            for inner in self._context.file.inside(node)
        )

    def _small_statement(self, node: syntax.Node) -> syntax.Node | None:
        """Return the statement of a line that ``node`` is in; None in a header."""
        return next(
            (
                outer
                for outer in self._context.tree.ancestors(node)
                if isinstance(outer, syntax.BaseSmallStatement)
            ),
            None,
        )

    def _is_called_here(self, site: Site) -> bool:
        """Tell whether code of this file, and so perhaps a task, runs what cancels it."""
        function = site.function
        return isinstance(function, syntax.FunctionDef) and any(
            last_name(call.func) == function.name.value
            and isinstance(call.func, syntax.Attribute)
            and dotted(call.func.value) in _SELVES
            for call in self._context.tree.calls
        )

    def _call(self, tasks: str) -> str:
        asyncio = self._context.additions.module("asyncio")
        timeout = self._context.settings.shutdown_timeout
        bound = "" if timeout is None else f", timeout={timeout:g}"
        return f"await {asyncio}.wait({tasks}{bound})"

    def _loop(self, site: Site) -> syntax.For | syntax.While | None:
        """Return the outermost loop of the function around ``site``."""
        return self._loop_around(site.call)

    def _loop_around(self, call: syntax.Call) -> syntax.For | syntax.While | None:
        """Return the outermost loop of the function around ``call``."""
        found = None
        for outer in self._context.tree.ancestors(call):
            if isinstance(outer, (syntax.FunctionDef, syntax.Lambda)):
                break
            if isinstance(outer, (syntax.For, syntax.While)):
                found = outer
        return found


def _iterated(node: syntax.BaseExpression) -> str:
    """Return what a loop goes over, as it can be waited for: ``x`` or ``x.values()``."""
    if isinstance(node, syntax.Call) and len(node.args) == 1 and not node.args[0].star:
        return _iterated(node.args[0].value) if dotted(node.func) in {"list", "tuple"} else ""
    if isinstance(node, syntax.Call) and not node.args and last_name(node.func) == "values":
        path = dotted(node.func)
        return f"{path}()" if path else ""
    return dotted(node)


def _mapping(node: syntax.BaseExpression) -> str:
    """Return the ``x`` of a loop over ``x.items()``, or a list of these; ``""`` of another."""
    if isinstance(node, syntax.Call) and len(node.args) == 1:
        return _mapping(node.args[0].value)
    if isinstance(node, syntax.Call) and last_name(node.func) == "items":
        return dotted(node.func).removesuffix(".items")
    return ""


def _cancels_all(loop: syntax.Node, statement: syntax.Node, task: str) -> bool:
    """Tell whether ``loop`` does nothing but to cancel each ``task`` that is not done."""
    body = body_of(loop)
    if not isinstance(loop, syntax.For) or loop.asynchronous or loop.orelse is not None:
        return False
    if len(body) != 1 or dotted(loop.target) != task:
        return False
    inner = body[0]
    if isinstance(inner, syntax.If) and inner.orelse is None:
        inside, test = body_of(inner), inner.test
        is_running = (
            isinstance(test, syntax.UnaryOperation)
            and isinstance(test.expression, syntax.Call)
            and dotted(test.expression.func) == f"{task}.done"
        )
        return is_running and len(inside) == 1 and inside[0] is statement
    return inner is statement and statement_expression(inner) is not None

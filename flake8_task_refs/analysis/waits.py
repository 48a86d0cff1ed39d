"""What a function waits for, and for how long: what the waits of one parsed region tell.

A frame holds its locals as long as it waits for them. A wait that may give up (a time limit,
``FIRST_COMPLETED``) leaves behind what it waited for.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.assertions import holds_while_empty
from flake8_task_refs.analysis.effects import TIME_LIMITS
from flake8_task_refs.analysis.flow import is_endless
from flake8_task_refs.analysis.names import assigned_value
from flake8_task_refs.analysis.sentinels import Sentinels
from flake8_task_refs.analysis.sites import is_done_callback
from flake8_task_refs.analysis.syntax import dotted_text, is_name, last_name
from flake8_task_refs.analysis.tree import last_small, last_to_run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flake8_task_refs.analysis.flow import Flow
    from flake8_task_refs.analysis.names import Names
    from flake8_task_refs.analysis.tree import Scope, Tree

# How one waits for an event, a queue, a lock, a condition, a stream.
_WAITS: Final = (
    "wait", "wait_for", "wait_until", "join", "get", "acquire", "receive", "recv", "read",
)  # fmt: skip
# What a condition is made of.
_OF_CONDITIONS: Final = (syntax.UnaryOperation, syntax.Comparison, syntax.BooleanOperation)


class Waits:
    """Answers for the waits of one parsed region."""

    def __init__(self, tree: Tree, names: Names, flow: Flow) -> None:
        """``flow`` is that of ``tree``."""
        self._tree = tree
        self._names = names
        self._flow = flow
        self._told: dict[tuple[str, Scope], bool] = {}  # what `tells_the_function` said

    @cached_property
    def _sentinels(self) -> Sentinels:
        return Sentinels(self._tree, self._flow)

    def ends_a_loop(self, part: syntax.Node) -> bool:
        """Tell whether a condition that looks at a container says how long a loop goes on.

        ``while len(tasks) > 0:``, and ``if not tasks: break`` in a ``while``.
        """
        tree, at, while_empty = self._tree, part, False
        while True:
            if isinstance(at, syntax.UnaryOperation):
                while_empty ^= at.operator == "not"
            elif isinstance(at, syntax.Comparison):
                if_empty = holds_while_empty(at)
                if if_empty is None:
                    return False
                while_empty ^= if_empty
            outer = tree.parent[at]
            if not isinstance(outer, _OF_CONDITIONS):
                break
            at = outer
        if isinstance(outer, syntax.While):
            return outer.test is at and not while_empty
        return (
            isinstance(outer, syntax.If)
            and outer.test is at
            and while_empty
            and any(isinstance(loop, syntax.While) for loop in self._flow.loops(outer)[:1])
            and isinstance(last_small(outer.body), (syntax.Break, syntax.Return))
        )

    def is_polled(self, call: syntax.Call, done: syntax.Node | None) -> bool:
        """Tell whether a loop waits for one task, again and again, until it is among the ``done``.

        ``done, _ = await asyncio.wait([task], timeout=1)``, then ``if task in done: break``.
        """
        tree, waited = self._tree, call.args[0].value
        loops = self._flow.loops(call)
        if (
            not isinstance(done, syntax.Name)
            or not isinstance(waited, (syntax.List, syntax.Tuple, syntax.Set))
            or len(waited.elements) != 1
            or not loops
            or not isinstance(loops[0], syntax.While)
        ):
            return False
        loop, task = loops[0], waited.elements[0].value
        stores = (
            tree.scope[task].stores.get(task.value, ()) if isinstance(task, syntax.Name) else ()
        )
        if not stores or any(tree.holds(loop, store) for store in stores):
            return False  # it waits for another one in each turn
        if not is_endless(loop):
            return _is_empty(loop.test, done.value)
        exits = [
            jump
            for jump in tree.jumps(loop.body)
            if isinstance(jump, syntax.Return)
            or (isinstance(jump, syntax.Break) and self._flow.loops(jump)[:1] == [loop])
        ]
        return bool(exits) and all(self._leaves_if_done(jump, done.value) for jump in exits)

    def _leaves_if_done(self, jump: syntax.Node, done: str) -> bool:
        """Tell whether ``jump`` is reached only where something is in the set ``done``."""
        inner = jump
        for at in around_in_function(self._tree, jump):
            if isinstance(at, syntax.If) and at.body is inner and _is_there(at.test, done):
                return True
            if isinstance(at, syntax.If) and at.orelse is inner and _is_empty(at.test, done):
                return True
            inner = at
        return False

    def may_be_abandoned(self, call: syntax.Call) -> bool:
        """Tell whether a time limit may end ``call``, but not what it waits for.

        That is so in ``wait_for(call)`` and in an ``async with asyncio.timeout()``, and where a
        local that ``call`` is bound to is awaited in one of these.
        """
        return any(self._is_limited(node) for node in (call, *self._uses_of_local(call)))

    def _uses_of_local(self, value: syntax.Node) -> Iterator[syntax.Name]:
        """Yield the uses of the local that ``value`` is bound to in its own function."""
        match self._tree.parent[value]:
            case syntax.Assign(targets=[target]):
                store = target.target
            case syntax.AnnAssign(target=store) | syntax.NamedExpr(target=store):
                pass
            case _:
                return
        scope = self._tree.scope[store] if isinstance(store, syntax.Name) else None
        if scope is None or scope.kind != "function" or not isinstance(store, syntax.Name):
            return
        if not scope.binds(store.value):
            return
        name, stores = store.value, scope.stores.get(store.value, [])
        seen = self._flow.may_reach(store, scope.loads.get(name, []), stores)
        for use in (*seen, *scope.inner_uses(name)):
            is_here = self._tree.scope[use].function is scope.function
            if is_here and self._flow.reaches(store, use, stores):
                yield use

    def _is_limited(self, node: syntax.Node) -> bool:
        """Tell whether ``node`` is awaited in ``wait_for`` or in a block with a time limit."""
        outer, canonical = self._tree.parent[node], self._names.canonical
        if isinstance(outer, syntax.Arg):
            waiter = self._tree.parent[outer]
            return (
                isinstance(waiter, syntax.Call)
                and canonical(self._tree, waiter.func) == "asyncio.wait_for"
                and not any(is_name(arg.value, "None") for arg in waiter.args[1:])
            )
        return isinstance(outer, syntax.Await) and any(
            isinstance(item.item, syntax.Call)
            and canonical(self._tree, item.item.func) in TIME_LIMITS
            and not any(is_name(arg.value, "None") for arg in item.item.args)
            for at in around_in_function(self._tree, outer)
            if isinstance(at, syntax.With)
            for item in at.items
        )

    def gives_up(self, node: syntax.Node) -> bool:
        """Tell whether the function around ``node`` waits for only some of its tasks."""
        return bool(self.giving_up(node))

    def giving_up(self, node: syntax.Node) -> list[syntax.Call]:
        """Return the waits of the function around ``node`` for only some of its tasks."""
        return self._giving_up.get(self._tree.function_around(node), [])

    @cached_property
    def _giving_up(self) -> dict[syntax.Node | None, list[syntax.Call]]:
        """The waits of each function of the region for only some of its tasks."""
        found: dict[syntax.Node | None, list[syntax.Call]] = {}
        for call in self._tree.waiting_calls():
            if is_partial(call) and self._names.canonical(self._tree, call.func) == "asyncio.wait":
                found.setdefault(self._tree.function_around(call), []).append(call)
        return found

    def is_only_if_done(self, use: syntax.Name) -> bool:
        """Tell whether a task is awaited at ``use`` only if a wait that may give up has ended it.

        ``await asyncio.wait([other, task], return_when=FIRST_COMPLETED)``, then ``if task.done():
        await task``: that keeps nothing.
        """
        tree = self._tree
        if not isinstance(tree.parent[use], syntax.Await):
            return False
        tests: list[syntax.BaseExpression] = []
        inner: syntax.Node = use
        for at in around_in_function(tree, use):
            if isinstance(at, syntax.If) and at.body is inner:
                tests.append(at.test)
            inner = at
        # A loop may come to the wait again, until the task is done.
        if not tests or not self.gives_up(use) or self._flow.loops(use):
            return False
        return any(
            _is_done(test, use.value, self._done_of(call))
            for call in self._giving_up[tree.function_around(use)]
            if call.args and any(is_name(node, use.value) for node in tree.walk(call.args[0].value))
            for test in tests
        )

    def is_in_done(self, comparison: syntax.Comparison) -> bool:
        """Tell whether ``comparison`` says that a task is in the set that a wait found done."""
        if len(comparison.comparisons) != 1 or comparison.comparisons[0].operator != "in":
            return False
        where = comparison.comparisons[0].comparator
        function = self._tree.function_around(comparison)
        return isinstance(where, syntax.Name) and any(
            self._done_of(call) == where.value for call in self._giving_up.get(function, ())
        )

    def _done_of(self, call: syntax.Call) -> str:
        """Return the name of the set of tasks that an awaited ``wait`` finds done, or ``""``."""
        assign = self._tree.parent[self._tree.parent[call]]
        target = assign.targets[0].target if isinstance(assign, syntax.Assign) else None
        done = target.elements[0].value if isinstance(target, syntax.Tuple) else None
        return done.value if isinstance(done, syntax.Name) else ""

    def tells_the_function(self, name: str, scope: Scope) -> bool:
        """Tell whether the function waits for what the end of its task ``name`` tells it.

        ``task.add_done_callback(lambda _: done.set())``, or ``done.set()`` at the end of what the
        task runs, and then ``await done.wait()``: until then its frame holds the task. So it is
        where each of several puts a last message into a queue, and the function counts them.
        """
        # Asked once for each variable, however often it is bound.
        known = self._told.get((name, scope))
        if known is None:
            known = self._told[name, scope] = any(
                self._is_waited_for(told, made)
                for signs in (self._told_by_callbacks, self._told_at_its_end)
                for made, told in signs(name, scope)
            ) or self._sentinels.are_counted(name, scope)
        return known

    def _told_by_callbacks(self, name: str, scope: Scope) -> Iterator[tuple[syntax.Node, set[str]]]:
        """Yield what gives the task ``name`` a callback, and what that tells."""
        tree = self._tree
        for use in scope.uses(name):
            call = tree.parent[tree.parent[use]]
            if (
                not isinstance(call, syntax.Call)
                or not is_done_callback(call.func)
                or not call.args
            ):
                continue
            callback: syntax.Node | None = call.args[0].value
            if isinstance(callback, syntax.Name):
                callback = self._function(callback)
            if not isinstance(callback, (syntax.Lambda, syntax.FunctionDef)):
                continue
            given = {param.name.value for param in callback.params.params}
            paths = {dotted_text(node) or "" for node in tree.walk(callback.body)}
            yield (
                call,
                {
                    path
                    for path in paths - {"", "self", "cls", *given}
                    if path.startswith(("self.", "cls.")) or scope.binds(path.partition(".")[0])
                },
            )

    def _told_at_its_end(self, name: str, scope: Scope) -> Iterator[tuple[syntax.Node, set[str]]]:
        """Yield what makes the task ``name``, and what the last statement that it runs tells.

        It runs a function that stands in the same one, and shares its variables.
        """
        stores = scope.stores.get(name, [])
        made = assigned_value(self._tree, stores[0]) if len(stores) == 1 else None
        given = made.args[0].value if isinstance(made, syntax.Call) and made.args else None
        if (
            not isinstance(given, syntax.Call)
            or not isinstance(given.func, syntax.Name)
            or self._flow.loops(given)
        ):
            return
        function = self._function(given.func)
        if not isinstance(function, syntax.FunctionDef) or not function.asynchronous:
            return
        self._tree.whole()
        last = last_to_run(function.body)
        call = last.value if isinstance(last, syntax.Expr) else None
        if (
            isinstance(call, syntax.Call)
            and isinstance(call.func, syntax.Attribute)
            and call.func.attr.value in ("set", "set_result")
        ):
            path = dotted_text(call.func.value) or ""
            if scope.binds(path.partition(".")[0]):
                yield given, {path}

    def _function(self, name: syntax.Name) -> syntax.Node | None:
        """Return what binds ``name``, if nothing else does: the function of that name."""
        scope = self._tree.scope[name].owner(name.value)
        stores = scope.stores.get(name.value, []) if scope is not None else []
        return self._tree.parent[stores[0]] if len(stores) == 1 else None

    def _is_waited_for(self, told: set[str], call: syntax.Node) -> bool:
        """Tell whether the function around ``call`` awaits one of ``told`` after it.

        A wait that gives up, or for what others may give as well, ends before the task does.
        """
        tree, function = self._tree, self._tree.function_around(call)
        if not isinstance(function, syntax.FunctionDef):
            return False
        for waits in tree.walk(function.body):
            if not isinstance(waits, syntax.Await) or tree.order[waits] < tree.order[call]:
                continue
            for node in tree.walk(waits):
                path = dotted_text(node) or ""
                if path in told and self._is_for(node) and not self._is_cut_short(node):
                    return self._givers(path, function) == 1
        return False

    def _is_cut_short(self, node: syntax.Node) -> bool:
        """Tell whether the wait for ``node``, an event or a future, has a time limit."""
        method = self._tree.parent[node]
        called = self._tree.parent[method]
        return self._is_limited(called if isinstance(called, syntax.Call) else node)

    def _givers(self, path: str, function: syntax.FunctionDef) -> int:
        """Return how many parts of ``function`` may give the sign ``path``."""
        tree = self._tree
        return sum(
            dotted_text(node) == path and not self._only_takes(node)
            for node in tree.walk(function.body, into_functions=True)
            if isinstance(node, (syntax.Name, syntax.Attribute))
        )

    def _only_takes(self, node: syntax.Node) -> bool:
        """Tell whether ``node``, an event or a future, is made, asked or waited for."""
        holder = self._tree.parent[node]
        if isinstance(holder, syntax.Attribute):
            return holder.attr.value in (*_WAITS, "is_set", "done", "result", "clear")
        return isinstance(holder, (syntax.Await, syntax.AssignTarget, syntax.AnnAssign))

    def _is_for(self, node: syntax.Node) -> bool:
        """Tell whether an await with ``node`` in it waits for this, not for what it does else."""
        holder = self._tree.parent[node]
        return not isinstance(holder, syntax.Attribute) or holder.attr.value in _WAITS


def _is_there(test: syntax.BaseExpression, name: str) -> bool:
    """Tell whether ``test`` is true only where something is in the set ``name``."""
    if isinstance(test, syntax.BooleanOperation) and test.operator == "and":
        return _is_there(test.left, name) or _is_there(test.right, name)
    if isinstance(test, syntax.Comparison) and len(test.comparisons) == 1:
        [target] = test.comparisons
        return target.operator == "in" and is_name(target.comparator, name)
    return is_name(test, name)


def _is_done(test: syntax.BaseExpression, name: str, done: str) -> bool:
    """Tell whether ``test`` is true only where the task ``name`` is done: in ``done``, perhaps."""
    match test:
        case syntax.BooleanOperation():
            return test.operator == "and" and (
                _is_done(test.left, name, done) or _is_done(test.right, name, done)
            )
        case syntax.Call(func=syntax.Attribute() as method):
            return method.attr.value == "done" and is_name(method.value, name)
        case syntax.Comparison(left=left, comparisons=[target]):
            is_in_done = target.operator == "in" and is_name(target.comparator, done)
            return is_in_done and is_name(left, name)
        case _:
            return False


def _is_empty(test: syntax.BaseExpression, name: str) -> bool:
    """Tell whether ``test`` is ``not name``."""
    return (
        isinstance(test, syntax.UnaryOperation)
        and test.operator == "not"
        and is_name(test.expression, name)
    )


def is_partial(call: syntax.Call) -> bool:
    """Tell whether a wait may return with tasks still running."""
    for arg in call.args:
        keyword = arg.keyword.value if arg.keyword else ""
        none = isinstance(arg.value, syntax.Name) and arg.value.value == "None"
        if keyword == "timeout" and not none:
            return True
        if keyword == "return_when" and waits_for_first(arg.value) and not _is_for_one(call):
            return True
    return False


def _is_for_one(call: syntax.Call) -> bool:
    """Tell whether ``call`` waits for a single task, which is the first and the last to end."""
    waited = call.args[0].value
    return (
        isinstance(waited, (syntax.List, syntax.Tuple, syntax.Set))
        and len(waited.elements) == 1
        and not isinstance(waited.elements[0], syntax.StarredElement)
    )


def waits_for_first(value: syntax.BaseExpression) -> bool:
    """Tell whether ``value`` is asyncio.FIRST_COMPLETED or FIRST_EXCEPTION, or their text."""
    text = value.value.strip("\"'") if isinstance(value, syntax.SimpleString) else last_name(value)
    return text.startswith("FIRST_")


def around_in_function(tree: Tree, node: syntax.Node) -> list[syntax.Node]:
    """Return the nodes around ``node`` in its own function, the innermost first."""
    around: list[syntax.Node] = []
    for at in tree.ancestors(node):
        if isinstance(at, (syntax.FunctionDef, syntax.Lambda, syntax.ClassDef)):
            break
        around.append(at)
    return around

"""Workers whose ends a function counts: each puts a last message into a queue, and it gets them.

Until it has got the last one, its frame holds its tasks; then they are over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.flow import is_endless
from flake8_task_refs.analysis.names import assigned_value
from flake8_task_refs.analysis.syntax import dotted_text, is_name, last_name
from flake8_task_refs.analysis.tree import last_to_run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flake8_task_refs.analysis.flow import Flow
    from flake8_task_refs.analysis.tree import Scope, Tree

_PUTS: Final = ("put", "put_nowait")
_SAME: Final = ("is", "==")
# How a number that is counted down is compared with 0 as long as something is left, and when
# nothing is; and how one that is counted up, with what it comes to.
_LEFT: Final = ((">", "0"), ("!=", "0"), (">=", "1"))
_NOTHING_LEFT: Final = (("==", "0"), ("<=", "0"), ("<", "1"))
_BELOW: Final = ("<", "!=")
_REACHED: Final = ("==", ">=")


@dataclass(frozen=True, eq=False)
class _Workers:
    """The tasks of one local: the function that they run, and ``counts``, how many they are.

    ``counts`` are expressions as code, none of a single task. ``made`` is the last place that
    makes one.
    """

    function: syntax.FunctionDef
    made: syntax.Node
    counts: frozenset[str]
    single: bool


class _Messages(NamedTuple):
    """What is put into each queue, by its path, and what awaits a message of it."""

    puts: dict[str, list[syntax.Call]]
    gets: dict[str, list[syntax.Await]]


class Sentinels:
    """Tells of one parsed region which functions get a last message of each of their tasks."""

    def __init__(self, tree: Tree, flow: Flow) -> None:
        """``flow`` is that of ``tree``."""
        self._tree = tree
        self._flow = flow
        self._messages: dict[syntax.FunctionDef, _Messages] = {}

    def are_counted(self, name: str, scope: Scope) -> bool:
        """Tell whether the function of ``scope`` waits for the ends of the tasks in ``name``.

        ``name`` is a local that is a task, or a list of tasks that run one function.
        """
        around = scope.node
        if not isinstance(around, syntax.FunctionDef) or not around.asynchronous:
            return False
        workers = self._workers(name, scope)
        if workers is None:
            return False
        self._tree.whole()
        last = last_to_run(workers.function.body)
        put = last.value if isinstance(last, syntax.Expr) else None
        put = put.expression if isinstance(put, syntax.Await) else put
        queue = self._queue(put, _PUTS)
        if not isinstance(put, syntax.Call) or not queue or len(put.args) != 1:
            return False
        if not scope.binds(queue.partition(".")[0]):
            return False
        messages = self._messages_in(around)
        puts = messages.puts.get(queue, [])
        sentinel = self._tree.code_of(put.args[0].value)
        if any(
            call is not put and self._tree.code_of(call.args[0].value) == sentinel for call in puts
        ):
            return False
        once = puts == [put]  # there are no other messages
        return any(
            self._tree.order[gets] > self._tree.order[workers.made]
            and self._waits_for_all(gets, workers, "" if once else sentinel)
            for gets in messages.gets.get(queue, ())
        )

    # -- the tasks --------------------------------------------------------------------------

    def _workers(self, name: str, scope: Scope) -> _Workers | None:
        """Return the tasks that ``name`` holds, if all of them are seen and run one function."""
        stores = scope.stores.get(name, [])
        value = assigned_value(self._tree, stores[0]) if len(stores) == 1 else None
        counts = {f"len({name})"}
        match value:
            case syntax.Call() if not self._flow.loops(value):  # else it is bound anew
                made, single = [value], True
            case syntax.ListComp(elt=syntax.Call() as each, for_in=loop):
                made, single = [each], False
                if loop.inner_for_in is None and not loop.ifs:
                    counts |= self._counts(loop.iter)
            case syntax.List(elements=[]):
                made, single = list(self._appended(name, scope)), False
                if len(made) == 1 and (around := self._only_loop(made[0])) is not None:
                    counts |= self._counts(around.iter)
            case _:
                return None
        functions = {self._runs(call, scope) for call in made}
        function = functions.pop() if len(functions) == 1 else None
        if function is None:
            return None
        return _Workers(function, made[-1], frozenset(counts), single)

    def _appended(self, name: str, scope: Scope) -> Iterator[syntax.Call]:
        """Yield what is put into the list ``name``; a call of something else spoils the count."""
        for use in scope.uses(name):
            method = self._tree.parent[use]
            call = self._tree.parent[method]
            if isinstance(method, syntax.Attribute) and isinstance(call, syntax.Call):
                given = call.args[0].value if len(call.args) == 1 else None
                is_put = method.attr.value == "append" and isinstance(given, syntax.Call)
                yield given if is_put and isinstance(given, syntax.Call) else call

    def _only_loop(self, node: syntax.Node) -> syntax.For | None:
        """Return the loop that comes to ``node`` once in each turn, if no loop is around it."""
        loops = self._flow.loops(node)
        loop = loops[0] if len(loops) == 1 else None
        if not isinstance(loop, syntax.For) or self._tree.blocks(node)[0][0] is not loop.body:
            return None
        return loop if not self._tree.jumps(loop.body) else None

    def _counts(self, through: syntax.BaseExpression) -> set[str]:
        """Return how many turns a loop over ``through`` takes, as code."""
        if isinstance(through, syntax.Call):
            is_range = is_name(through.func, "range") and len(through.args) == 1
            return {self._tree.code_of(through.args[0].value)} if is_range else set()
        is_plain = isinstance(through, (syntax.Name, syntax.Attribute))
        return {f"len({self._tree.code_of(through)})"} if is_plain else set()

    def _runs(self, made: syntax.Call, scope: Scope) -> syntax.FunctionDef | None:
        """Return what the task ``made`` runs, if it is a function within that of ``scope``."""
        given = made.args[0].value if made.args else None
        if not isinstance(given, syntax.Call) or not isinstance(given.func, syntax.Name):
            return None
        stores = scope.stores.get(given.func.value, [])
        function = self._tree.parent[stores[0]] if len(stores) == 1 else None
        return (
            function if isinstance(function, syntax.FunctionDef) and function.asynchronous else None
        )

    # -- the messages -----------------------------------------------------------------------

    def _messages_in(self, around: syntax.FunctionDef) -> _Messages:
        """Return what goes through the queues of ``around``; it is asked for once a function."""
        found = self._messages.get(around)
        if found is not None:
            return found
        found = self._messages[around] = _Messages({}, {})
        for node in self._tree.walk(around.body, into_functions=True):
            queue = self._queue(node, _PUTS)
            if queue and isinstance(node, syntax.Call) and node.args:
                found.puts.setdefault(queue, []).append(node)
        for node in self._tree.walk(around.body):
            if isinstance(node, syntax.Await):
                for inner in self._tree.walk(node):
                    found.gets.setdefault(self._queue(inner, ("get",)), []).append(node)
        return found

    @staticmethod
    def _queue(call: syntax.Node | None, methods: tuple[str, ...]) -> str:
        """Return the path of the queue of which ``call`` calls one of ``methods``, or ``""``."""
        func = call.func if isinstance(call, syntax.Call) else None
        if not isinstance(func, syntax.Attribute) or func.attr.value not in methods:
            return ""
        return dotted_text(func.value) or ""

    def _waits_for_all(self, gets: syntax.Await, workers: _Workers, sentinel: str) -> bool:
        """Tell whether all ``workers`` are over when the function is through with ``gets``.

        ``sentinel`` is their last message as code, ``""`` if they put in no other.
        """
        loop = self._loop_of(gets)
        if loop is None:
            return workers.single and not sentinel
        if isinstance(loop, syntax.ListComp):
            through = loop.for_in
            return (
                not sentinel
                and through.inner_for_in is None
                and not through.ifs
                and (not self._counts(through.iter).isdisjoint(workers.counts))
            )
        inside = self._tree.jumps(loop.body)
        if any(isinstance(jump, syntax.Yield) for jump in inside):
            return False  # whoever it gives something may close it
        leaves = [
            jump
            for jump in inside
            if isinstance(jump, syntax.Return)
            or (isinstance(jump, syntax.Break) and self._flow.loops(jump)[:1] == [loop])
        ]
        if isinstance(loop, syntax.For):
            return not sentinel and not leaves and self._goes_through(loop, gets, workers)
        if workers.single:
            if not is_endless(loop):
                return not leaves and self._asks(loop.test, gets, sentinel, ("is not", "!="))
            return bool(leaves) and all(self._is_told(jump, gets, sentinel) for jump in leaves)
        return self._counts_ends(loop, leaves, gets, workers, sentinel)

    def _loop_of(self, gets: syntax.Await) -> syntax.While | syntax.For | syntax.ListComp | None:
        """Return the innermost loop that ``gets`` stands in: in its test or in its body."""
        inner: syntax.Node = gets
        for at in self._tree.ancestors(gets):
            if isinstance(at, syntax.FunctionDef):
                break
            if isinstance(at, syntax.While) or (isinstance(at, syntax.For) and at.body is inner):
                return at
            if isinstance(at, syntax.ListComp) and at.elt is inner:
                return at
            inner = at
        return None

    def _goes_through(self, loop: syntax.For, gets: syntax.Await, workers: _Workers) -> bool:
        """Tell whether each turn of ``loop`` gets one message, and there is one for each task."""
        return (
            self._tree.blocks(gets)[0][0] is loop.body
            and not self._tree.jumps(loop.body)
            and not self._counts(loop.iter).isdisjoint(workers.counts)
        )

    def _is_told(self, node: syntax.Node, gets: syntax.Await, sentinel: str) -> bool:
        """Tell whether control comes to ``node`` only if the message was ``sentinel``."""
        inner = node
        for at in self._tree.ancestors(node):
            if isinstance(at, (syntax.While, syntax.FunctionDef)):
                return not sentinel
            test = at.test if isinstance(at, syntax.If) and at.body is inner else None
            if test is not None and self._asks(test, gets, sentinel, _SAME):
                return True
            inner = at
        return False

    def _asks(
        self, test: syntax.BaseExpression, gets: syntax.Await, sentinel: str, how: tuple[str, ...]
    ) -> bool:
        """Tell whether ``test`` compares the message, or the await of it, with ``sentinel``."""
        if not isinstance(test, syntax.Comparison) or len(test.comparisons) != 1:
            return False
        [target] = test.comparisons
        left = test.left
        if isinstance(left, syntax.NamedExpr):
            is_message = left.value is gets
        else:
            holder = self._tree.parent[gets]
            names = holder.targets if isinstance(holder, syntax.Assign) else []
            is_message = left is gets or (
                isinstance(left, syntax.Name)
                and any(is_name(name.target, left.value) for name in names)
            )
        said = self._tree.code_of(target.comparator)
        return is_message and target.operator in how and said == sentinel

    # -- the count --------------------------------------------------------------------------

    def _counts_ends(
        self,
        loop: syntax.While,
        leaves: Sequence[syntax.Node],
        gets: syntax.Await,
        workers: _Workers,
        sentinel: str,
    ) -> bool:
        """Tell whether ``loop`` goes on until it has counted as many ends as there are tasks."""
        tree = self._tree
        steps = [
            node
            for node in tree.walk(loop.body)
            if isinstance(node, syntax.AugAssign)
            and isinstance(node.target, syntax.Name)
            and isinstance(node.value, syntax.Integer)
            and node.value.value == "1"
            and self._is_told(node, gets, sentinel)
        ]
        for step in steps:
            number = last_name(step.target)
            begins = self._begins(number, step, workers)
            if begins is None:
                continue
            if not is_endless(loop):
                if not leaves and self._compares(loop.test, number, begins, workers, ends=False):
                    return True
            elif leaves and all(
                any(
                    isinstance(at, syntax.If)
                    and tree.holds(at.body, jump)
                    and self._compares(at.test, number, begins, workers, ends=True)
                    for at in tree.ancestors(jump)
                    if tree.holds(loop.body, at)
                )
                for jump in leaves
            ):
                return True
        return False

    def _begins(self, number: str, step: syntax.AugAssign, workers: _Workers) -> str | None:
        """Return what ``number`` is before ``step`` changes it: "all" of the tasks, or "none".

        None if it is neither, or anything else changes it.
        """
        tree = self._tree
        scope = tree.scope[step.target]
        stores = scope.stores.get(number, [])
        changes = sum(
            isinstance(tree.parent[use], syntax.AugAssign) and tree.parent[use] is not step
            for use in scope.loads.get(number, [])
        )
        value = assigned_value(tree, stores[0]) if len(stores) == 1 and not changes else None
        if value is None or tree.order[stores[0]] > tree.order[step]:
            return None
        if step.operator == "-=" and tree.code_of(value) in workers.counts:
            # Before the list is filled, it is shorter.
            return "all" if tree.order[stores[0]] > tree.order[workers.made] else None
        return "none" if step.operator == "+=" and tree.code_of(value) == "0" else None

    def _compares(
        self,
        test: syntax.BaseExpression,
        number: str,
        begins: str,
        workers: _Workers,
        *,
        ends: bool,
    ) -> bool:
        """Tell whether ``test`` is true when ``number`` has reached its end, or until it has."""
        if begins == "all" and not ends and is_name(test, number):
            return True
        if isinstance(test, syntax.UnaryOperation):
            is_none = test.operator == "not" and is_name(test.expression, number)
            return begins == "all" and ends and is_none
        if not isinstance(test, syntax.Comparison) or len(test.comparisons) != 1:
            return False
        [target] = test.comparisons
        if not is_name(test.left, number):
            return False
        said = self._tree.code_of(target.comparator)
        if begins == "all":
            return (target.operator, said) in (_NOTHING_LEFT if ends else _LEFT)
        return target.operator in (_REACHED if ends else _BELOW) and said in workers.counts

"""Waits that give up, in a loop that puts them again until the task is done: the frame holds it.

``asyncio.wait()`` for what comes next or for the sign to stop, left only by that sign, and
``wait_for(shield(task), 15)`` with a keep-alive in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.flow import ends_all, is_endless
from flake8_task_refs.analysis.names import assigned_value
from flake8_task_refs.analysis.syntax import dotted_text, is_name, last_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flake8_task_refs.analysis.flow import Flow
    from flake8_task_refs.analysis.tree import Tree

# What a handler may be for that meets the end of a time limit.
_TIMEOUTS: Final = ("TimeoutError", "Exception", "BaseException")
_SETS: Final = 2  # that a wait returns


class _Signs(NamedTuple):
    """What tells that a task is done.

    ``task``, ``done`` and ``pending`` are the names of it, of the set that it comes to be in, and
    of that in which it is until then; ``event`` is the path of what it waits for, and for nothing
    else.
    """

    task: str
    done: str
    pending: str
    event: str | None


class Turns:
    """Answers for the loops of one parsed region."""

    def __init__(self, tree: Tree, flow: Flow) -> None:
        """``flow`` is that of ``tree``."""
        self._tree = tree
        self._flow = flow

    def waits_until_done(self, call: syntax.Call, task: syntax.Node) -> bool:
        """Tell whether the loop around the wait ``call`` is left only when its ``task`` is done.

        ``if stop_task in done: break``; or the event is set that is all that the task waits for.
        """
        loop = self._loop(call, task)
        if loop is None or not isinstance(task, syntax.Name):
            return False
        signs = _Signs(task.value, *self._sets(call), self._event(task))
        anew = self._bound_in(loop, task)
        if not all(self._comes_if_done(store, signs, loop) for store in anew):
            return False
        exits = self._exits(loop)
        if not exits if is_endless(loop) else not self._says_running(loop.test, signs):
            return False
        return all(self._comes_if_done(jump, signs, loop, anew) for jump in exits)

    def shields_until_done(self, shield: syntax.Call, task: syntax.Node) -> bool:
        """Tell whether the loop around ``shield`` goes on after each time limit on it.

        So it is if the handler of that comes to nothing that leaves the loop.
        """
        loop = self._loop(shield, task)
        if loop is None or not is_endless(loop) or not isinstance(task, syntax.Name):
            return False
        if self._bound_in(loop, task):
            return False
        tree, order = self._tree, self._tree.order
        guarded = next(
            (
                at
                for at in tree.ancestors(shield)
                if isinstance(at, syntax.Try) and at.handlers and tree.holds(at.body, shield)
            ),
            None,
        )
        if guarded is None or not tree.holds(loop, guarded):
            return False
        limit = next((at for at in guarded.handlers if _meets_timeout(at)), None)
        if limit is None:
            return False
        signs = _Signs(task.value, "", "", self._event(task))
        # Whatever comes behind the statement may do so after a time limit, unless that goes back.
        goes_back = self._goes_back(limit)
        for jump in self._exits(loop):
            if tree.holds(limit, jump) or order[jump] < order[guarded]:
                is_late = False
            elif tree.holds(guarded.body, jump):
                is_late = order[jump] > order[shield] or tree.holds(jump, shield)
            else:
                is_late = tree.holds(guarded, jump) or goes_back
            if not is_late and not self._comes_if_done(jump, signs, loop):
                return False
        return True

    def is_left_early(self, call: syntax.Call) -> bool:
        """Tell whether a loop over ``as_completed()``, the ``call``, is left once it has enough.

        Not by the handler of an error, nor where it has counted that all are done.
        """
        loop = self._tree.parent[call]
        if not isinstance(loop, syntax.For) or loop.iter is not call:
            return False
        return any(not self._is_error_or_count(jump, loop) for jump in self._exits(loop))

    def is_left_with_some(self, loop: syntax.While, tasks: str) -> bool:
        """Tell whether a loop that goes on while there are ``tasks`` is left once it has enough."""
        tree = self._tree
        counted = {
            node.target.value
            for node in tree.walk(loop.body)
            if isinstance(node, syntax.AugAssign) and isinstance(node.target, syntax.Name)
        }
        return any(
            not self._is_error_or_count(jump, loop)
            and not any(
                isinstance(node, syntax.Name) and (node.value == tasks or node.value in counted)
                for at in tree.ancestors(jump)
                if isinstance(at, syntax.If) and tree.holds(loop, at)
                for node in tree.walk(at.test)
            )
            for jump in self._exits(loop)
        )

    def _is_error_or_count(self, jump: syntax.Node, loop: syntax.While | syntax.For) -> bool:
        """Tell whether ``jump`` leaves ``loop`` for an error, or for what it has counted."""
        for at in self._tree.ancestors(jump):
            if at is loop:
                break
            if isinstance(at, syntax.ExceptHandler):
                return True
            if isinstance(at, syntax.If) and any(
                isinstance(node, syntax.Call) and last_name(node.func) == "len"
                for node in self._tree.walk(at.test)
            ):
                return True
        return False

    def waits_for_all(self, site: syntax.Call) -> bool:
        """Tell whether all tasks of the loop are what the function waits for next after ``site``.

        ``await gather(*(all_tasks() - {current_task()}))``, or a loop that awaits each of them.
        """
        tree, order = self._tree, self._tree.order
        if not tree.mentions("all_tasks"):
            return False
        function = tree.function_around(site)
        if not isinstance(function, syntax.FunctionDef):
            return False
        awaits = [node for node in tree.walk(function.body) if isinstance(node, syntax.Await)]
        loops = self._flow.loops(site)
        if loops and any(tree.holds(loops[-1], node) for node in awaits):
            return False
        following = (at for at in awaits if order[at] > order[site])
        first = next((at for at in following if self._flow.may_follow(site, at)), None)
        if first is None:
            return False
        # Each element of what the loops around go through is waited for.
        sources = [loop.iter for loop in self._flow.loops(first) if isinstance(loop, syntax.For)]
        return any(
            self._is_all_tasks(node) or (isinstance(node, syntax.Name) and self._named_all(node))
            for source in (first.expression, *sources)
            for node in tree.walk(source)
        )

    @staticmethod
    def _is_all_tasks(node: syntax.Node) -> bool:
        return isinstance(node, syntax.Call) and last_name(node.func) == "all_tasks"

    def _named_all(self, name: syntax.Name) -> bool:
        """Tell whether the local ``name`` is bound to all tasks of the loop."""
        made = (
            assigned_value(self._tree, store)
            for store in self._tree.scope[name].stores.get(name.value, ())
        )
        return any(
            self._is_all_tasks(node)
            for value in made
            if value is not None
            for node in self._tree.walk(value)
        )

    def _loop(self, wait: syntax.Call, task: syntax.Node) -> syntax.While | None:
        """Return the loop that puts ``wait`` again for the same ``task``, if there is one."""
        loop = next(iter(self._flow.loops(wait)), None)
        if not isinstance(loop, syntax.While) or not isinstance(task, syntax.Name):
            return None
        scope = self._tree.scope[task].owner(task.value)
        return loop if scope is not None and scope.kind == "function" else None

    def _bound_in(self, loop: syntax.While, task: syntax.Name) -> list[syntax.Name]:
        """Return where ``loop`` binds the name of ``task`` anew."""
        scope = self._tree.scope[task].owner(task.value)
        stores = scope.stores.get(task.value, ()) if scope is not None else ()
        return [store for store in stores if self._tree.holds(loop, store)]

    def _exits(self, loop: syntax.While | syntax.For) -> list[syntax.Node]:
        """Return what leaves ``loop``; an error is no end that it means to come to."""
        return [
            jump
            for jump in self._tree.jumps(loop.body)
            if isinstance(jump, syntax.Return)
            or (isinstance(jump, syntax.Break) and self._flow.loops(jump)[:1] == [loop])
        ]

    def _comes_if_done(
        self,
        node: syntax.Node,
        signs: _Signs,
        loop: syntax.Node,
        anew: Sequence[syntax.Node] = (),
    ) -> bool:
        """Tell whether control comes to ``node`` only where the task is done.

        It is another one once one of ``anew`` has bound it in between.
        """
        tree, order, inner = self._tree, self._tree.order, node
        for at in tree.ancestors(node):
            if at is loop:
                break
            if isinstance(at, syntax.If) and (
                (at.body is inner and self._says_done(at.test, signs))
                or (at.orelse is inner and self._says_running(at.test, signs))
            ):
                return not any(
                    order[store] < order[node] and tree.holds(inner, store) for store in anew
                )
            inner = at
        return False

    def _says_done(self, test: syntax.BaseExpression, signs: _Signs) -> bool:
        """Tell whether ``test`` is true only where the task is done."""
        match test:
            case syntax.BooleanOperation():
                parts = [self._says_done(part, signs) for part in (test.left, test.right)]
                return any(parts) if test.operator == "and" else all(parts)
            case syntax.UnaryOperation():
                return test.operator == "not" and self._says_running(test.expression, signs)
            case syntax.Comparison(comparisons=[target]) if target.operator == "in":
                return is_name(test.left, signs.task) and is_name(target.comparator, signs.done)
            case syntax.Comparison(comparisons=[target]) if target.operator == "not in":
                return is_name(test.left, signs.task) and is_name(target.comparator, signs.pending)
            case syntax.Comparison(comparisons=[target]) if target.operator in ("is", "=="):
                sides = (test.left, target.comparator)
                return any(is_name(side, signs.task) for side in sides) and any(
                    self._is_one_of(side, signs.done) for side in sides
                )
            case syntax.Call(func=syntax.Attribute() as method):
                asks_task = method.attr.value == "done" and is_name(method.value, signs.task)
                asks_event = method.attr.value == "is_set" and signs.event is not None
                return asks_task or (asks_event and dotted_text(method.value) == signs.event)
        return False

    def _says_running(self, test: syntax.BaseExpression, signs: _Signs) -> bool:
        """Tell whether ``test`` is true wherever the task is not done."""
        match test:
            case syntax.BooleanOperation():
                parts = [self._says_running(part, signs) for part in (test.left, test.right)]
                return any(parts) if test.operator == "or" else all(parts)
            case syntax.UnaryOperation():
                return test.operator == "not" and self._says_done(test.expression, signs)
            case syntax.Comparison(comparisons=[target]) if target.operator == "not in":
                return is_name(test.left, signs.task) and is_name(target.comparator, signs.done)
            case syntax.Comparison(comparisons=[target]) if target.operator == "in":
                return is_name(test.left, signs.task) and is_name(target.comparator, signs.pending)
        return is_name(test, "True")

    def _is_one_of(self, node: syntax.Node, done: str) -> bool:
        """Tell whether ``node`` is what a loop over the set ``done`` goes through."""
        if not isinstance(node, syntax.Name):
            return False
        stores = self._tree.scope[node].stores.get(node.value, ())
        holders = [self._tree.parent[store] for store in stores]
        return bool(holders) and all(
            isinstance(holder, syntax.For) and is_name(holder.iter, done) for holder in holders
        )

    def _sets(self, wait: syntax.Call) -> tuple[str, str]:
        """Return what the two sets are called that ``wait`` returns; "" if they have no name."""
        outer = self._tree.parent[wait]
        assign = self._tree.parent[outer]
        if not isinstance(outer, syntax.Await) or not isinstance(assign, syntax.Assign):
            return "", ""
        target = assign.targets[0].target
        if not isinstance(target, (syntax.Tuple, syntax.List)) or len(target.elements) != _SETS:
            return "", ""
        done, pending = (element.value for element in target.elements)
        return (
            done.value if isinstance(done, syntax.Name) else "",
            pending.value if isinstance(pending, syntax.Name) else "",
        )

    def _event(self, task: syntax.Name) -> str | None:
        """Return the path of the event that ``task`` waits for, and nothing else."""
        scope = self._tree.scope[task].owner(task.value)
        stores = scope.stores.get(task.value, ()) if scope is not None else ()
        made = assigned_value(self._tree, stores[0]) if len(stores) == 1 else None
        given = made.args[0].value if isinstance(made, syntax.Call) and made.args else None
        if isinstance(given, syntax.Call) and last_name(given.func) == "wait" and not given.args:
            return (
                dotted_text(given.func.value) if isinstance(given.func, syntax.Attribute) else None
            )
        return None

    def _goes_back(self, handler: syntax.ExceptHandler) -> bool:
        """Tell whether a handler always ends in a new turn of the loop."""
        self._tree.steering()
        return any(
            isinstance(small, syntax.Continue)
            for line in handler.body.body
            for small in (line.body if isinstance(line, syntax.SimpleStatementLine) else ())
        )


def _meets_timeout(handler: syntax.ExceptHandler) -> bool:
    """Tell whether ``handler`` is run after a time limit, if none before it is."""
    kind = handler.type
    if kind is None:
        return True
    if ends_all([kind]):
        return False
    kinds = [item.value for item in kind.elements] if isinstance(kind, syntax.Tuple) else [kind]
    return any(last_name(item) in _TIMEOUTS for item in kinds)

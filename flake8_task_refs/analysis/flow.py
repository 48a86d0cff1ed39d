"""When one place of a function can run after another: enough control flow to follow a name.

The answers lean towards "yes": a rule stays silent where a path cannot be ruled out.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from enum import IntEnum
from itertools import accumulate, islice
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.names import assigned_value
from flake8_task_refs.analysis.syntax import children, is_name, last_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from flake8_task_refs.analysis.tree import Tree

_LOOPS = (syntax.While, syntax.For)
# What ends a whole program, or a task from outside: who handles it expects no other end.
_ENDS_ALL: Final = ("CancelledError", "KeyboardInterrupt", "SystemExit", "GeneratorExit")
# Context managers that end their block after a time.
_LIMITS: Final = ("timeout", "timeout_at", "fail_after", "fail_at", "move_on_after", "move_on_at")


class Stays(IntEnum):
    """How long control stays in a statement."""

    NOT = 0
    UNTIL_AN_ERROR = 1  # an endless loop
    FOR_EVER = 2  # a wait for what never comes


def last_in(tree: Tree, node: syntax.Node) -> int:
    """Return the place in source order of the last of what stands in ``node``, or of itself."""
    inside = children(node)
    while inside:
        node = inside[-1][1]
        inside = children(node)
    return tree.order[node]


class Flow:
    """Control flow questions about one parsed region."""

    def __init__(
        self, tree: Tree, stays_at: Callable[[syntax.BaseExpression], Stays] | None = None
    ) -> None:
        """Answer for ``tree``; ``stays_at`` knows more awaits that do not end."""
        self.tree = tree
        self._stays_at = stays_at
        # Where in a block the last return stands, and where the statements that do not end.
        self._returns_in: dict[syntax.Node, int] = {}
        self._staying_in: dict[syntax.Node, tuple[list[int], list[Stays]]] = {}
        # The stores of a name, told by the first, as `_blocks_of` sorts them.
        self._stores_in: dict[syntax.Node, dict[syntax.Node, list[syntax.Name]]] = {}
        # Answers of `_latest` (in the second, of all uses of a name, told by the first of them),
        # `_bound_later`, `_surely_bound` and `loops`: a function may bind one name a thousand
        # times, and each binding is held against each use.
        self._latest_before: dict[syntax.Node, int] = {}
        self._latest_of: dict[syntax.Node, list[int]] = {}
        self._bound_later_in: dict[tuple[syntax.Node, syntax.Node], bool] = {}
        self._surely_bound_in: dict[tuple[syntax.Node, syntax.Node], list[syntax.Name]] = {}
        # The last of the stores of a name that a block always comes to, as `_stores_in`.
        self._always_bound_in: dict[syntax.Node, dict[syntax.Node, int]] = {}
        self._last_yields_of: dict[syntax.FunctionDef, tuple[int, int]] = {}
        self._loops_around: dict[syntax.Node, list[syntax.While | syntax.For]] = {}

    def reaches(self, start: syntax.Node, use: syntax.Node, stores: list[syntax.Name]) -> bool:
        """Tell whether ``use`` can see what ``start`` bound, nothing bound anew in between.

        ``start`` is the binding (a name or the call that stored it), ``stores`` all that bind the
        name, in source order; all lie in one function.
        """
        order = self.tree.order
        first = order[start]
        if order[use] > first and self._latest(use, stores) <= first and self._forward(start, use):
            return True
        return self._around(start, use, stores)

    def may_follow(self, start: syntax.Node, node: syntax.Node) -> bool:
        """Tell whether ``node`` can run after ``start``, in the same turn of a loop or a later."""
        order = self.tree.order
        return (order[node] > order[start] and self._forward(start, node)) or any(
            self.tree.holds(loop, node) for loop in self.loops(start)
        )

    def is_one_of(self, name: syntax.Name, names: list[syntax.Name]) -> bool:
        """Tell whether ``name`` is among ``names``, which are in source order."""
        order = self.tree.order
        at = bisect_left(names, order[name], key=order.__getitem__)
        return names[at : at + 1] == [name]

    def may_reach(
        self, start: syntax.Node, uses: list[syntax.Name], stores: list[syntax.Name]
    ) -> Iterator[syntax.Name]:
        """Yield those of ``uses`` that ``reaches`` may tell yes of, at a small cost for each.

        ``start`` and ``stores`` are as for ``reaches``; ``uses`` are in source order.
        """
        order, loops = self.tree.order, self.loops(start)
        first = order[start]
        inner, around = (loops[0], loops[-1]) if loops else (start, start)
        low = bisect_right(uses, order[around], key=order.__getitem__)
        if low == len(uses):
            return
        latest = self._latest_of.get(uses[0])
        if latest is None:
            latest = self._latest_of[uses[0]] = [self._latest(use, stores) for use in uses]
        high = low
        if loops:
            high = bisect_right(uses, last_in(self.tree, around), key=order.__getitem__)
            begin = order[inner]
            for use, bound in zip(uses[low:high], latest[low:high], strict=True):
                # What the same turn surely binds before, hides what another one bound.
                if bound <= begin or bound == first or bound < first < order[use]:
                    yield use
        for use, bound in zip(uses[high:], latest[high:], strict=True):
            if bound <= first:
                yield use

    def _latest(self, use: syntax.Node, stores: list[syntax.Name]) -> int:
        """Return where the last of ``stores`` stands that has surely run before ``use``, or -1."""
        known = self._latest_before.get(use)
        if known is None:
            last = (
                next(self._certain(use, stores, block), None) for block, _ in self.tree.blocks(use)
            )
            order = self.tree.order
            known = max((order[store] for store in last if store is not None), default=-1)
            self._latest_before[use] = known
        return known

    def _certain(
        self, use: syntax.Node, stores: list[syntax.Name], block: syntax.Node
    ) -> Iterator[syntax.Name]:
        """Yield those of ``stores`` in ``block`` that have surely run before ``use``, last first.

        All such stand in one of the blocks around ``use``: anywhere else may be passed by.
        """
        order, inside = self.tree.order, self._blocks_of(stores).get(block, [])
        for at in range(bisect_left(inside, order[use], key=order.__getitem__) - 1, -1, -1):
            if self._is_bound_before(inside[at], use):
                yield inside[at]

    def _is_bound_before(self, store: syntax.Name, use: syntax.Node) -> bool:
        """Tell whether ``store``, in a block around the later ``use``, binds before that runs."""
        _, statement = self.tree.blocks(store)[0]
        if self.tree.holds(statement, use):
            # `t = f(t)` reads before it binds; a loop's target is bound before its body.
            return isinstance(statement, _LOOPS) and self.tree.holds(statement.body, use)
        return not isinstance(statement, _LOOPS)

    def _blocks_of(self, stores: list[syntax.Name]) -> dict[syntax.Node, list[syntax.Name]]:
        """Return the blocks that ``stores`` stand in, those of each in source order.

        A parameter stands in none.
        """
        if not stores:
            return {}
        found = self._stores_in.get(stores[0])
        if found is None:
            found = self._stores_in[stores[0]] = {}
            for store in stores:
                for block, _ in self.tree.blocks(store)[:1]:
                    found.setdefault(block, []).append(store)
        return found

    def _forward(self, start: syntax.Node, use: syntax.Node) -> bool:
        """Tell whether control can run from ``start`` down to ``use`` without a loop's way back."""
        tree = self.tree
        below = dict(tree.blocks(use))
        for block, statement in tree.blocks(start):
            if block in below:
                other = below[block]
                return other is not statement or not self._apart(statement, start, use)
            if self._leaves(block, statement) and not self._diverted(block, use):
                return False
        return True

    def _apart(self, statement: syntax.Node, start: syntax.Node, use: syntax.Node) -> bool:
        """Tell whether two places in one compound statement exclude each other."""
        tree = self.tree
        if self._is_read_first(start, use):
            return True
        if isinstance(statement, syntax.If):
            return (
                tree.holds(statement.body, start)
                and not tree.holds(statement.body, use)
                and (statement.orelse is not None and tree.holds(statement.orelse, use))
            ) or (
                isinstance(statement.orelse, syntax.If)
                and tree.holds(statement.orelse, start)
                and tree.holds(statement.orelse, use)
                and self._apart(statement.orelse, start, use)
            )
        if isinstance(statement, syntax.Match):
            arms: list[syntax.Node] = list(statement.cases)
        elif isinstance(statement, syntax.Try):
            arms = [*statement.handlers, *([statement.orelse] if statement.orelse else [])]
        else:
            return False
        homes = [next((arm for arm in arms if tree.holds(arm, at)), None) for at in (start, use)]
        return None not in homes and homes[0] is not homes[1]

    def _is_read_first(self, start: syntax.Node, use: syntax.Node) -> bool:
        """Tell whether ``start`` binds what ``use`` is part of: ``t = f(t)`` reads before."""
        value = assigned_value(self.tree, start) if isinstance(start, syntax.Name) else None
        return value is not None and self.tree.holds(value, use)

    def _leaves(self, block: syntax.Node, statement: syntax.Node) -> bool:
        """Tell whether the rest of ``block`` after ``statement`` returns."""
        last = self._returns_in.get(block)
        if last is None:
            order = self.tree.order
            returns = (
                order[line]
                for line in getattr(block, "body", ())
                if isinstance(line, syntax.SimpleStatementLine)
                and any(isinstance(small, syntax.Return) for small in line.body)
            )
            last = self._returns_in[block] = max(returns, default=-1)
        return last > self.tree.order[statement]

    def _diverted(self, block: syntax.Node, use: syntax.Node) -> bool:
        """Tell whether a try statement may bring control from ``block`` to ``use`` all the same.

        Its ``finally`` runs on a return; its handlers run when something before the return raises.
        """
        tree = self.tree
        for outer in tree.ancestors(block):
            if not isinstance(outer, syntax.Try):
                continue
            if outer.finalbody is not None and tree.holds(outer.finalbody, use):
                return True
            if outer.handlers and tree.holds(outer.body, block) and not tree.holds(outer.body, use):
                return True
        return False

    def _around(self, start: syntax.Node, use: syntax.Node, stores: list[syntax.Name]) -> bool:
        """Tell whether a loop's next turn brings ``start``'s binding to ``use``."""
        loops = self.loops(start)
        if not loops:
            return False
        tree = self.tree
        if tree.order[use] > tree.order[start] and self._certain_start(start, use):
            return False
        return any(
            tree.holds(loop, use)
            and not self._bound_later(start, loop, stores)
            and all(store is start for store in self._surely_bound(use, loop, stores))
            for loop in loops
        )

    def _bound_later(
        self, start: syntax.Node, loop: syntax.Node, stores: list[syntax.Name]
    ) -> bool:
        """Tell whether a turn of ``loop`` that comes through ``start`` binds the name once more."""
        known = self._bound_later_in.get((start, loop))
        if known is None:
            tree, blocks = self.tree, self._blocks_of(stores)
            known = self._bound_later_in[start, loop] = any(
                tree.order[store] > tree.order[start] and tree.holds(loop, store)
                for block, _ in tree.blocks(start)
                for store in reversed(blocks.get(block, []))
            )
        return known

    def _surely_bound(
        self, use: syntax.Node, loop: syntax.Node, stores: list[syntax.Name]
    ) -> list[syntax.Name]:
        """Return what each turn of ``loop`` surely binds before ``use``: two of ``stores`` do."""
        known = self._surely_bound_in.get((use, loop))
        if known is None:
            certain = (
                store
                for block, _ in self.tree.blocks(use)
                for store in self._certain(use, stores, block)
                if self.tree.holds(loop, store)
            )
            known = self._surely_bound_in[use, loop] = list(islice(certain, 2))
        return known

    def _certain_start(self, start: syntax.Node, use: syntax.Node) -> bool:
        """Tell whether ``start`` itself binds anew before each run of the later ``use``."""
        block, statement = self.tree.blocks(start)[0]
        around = (outer for outer, _ in self.tree.blocks(use))
        return block in around and not self.tree.holds(statement, use)

    def loops(self, node: syntax.Node) -> list[syntax.While | syntax.For]:
        """Return the loops of the same function whose body holds ``node``, innermost first."""
        found = self._loops_around.get(node)
        if found is not None:
            return found
        found = self._loops_around[node] = []
        inner = node
        for outer in self.tree.ancestors(node):
            if isinstance(outer, (syntax.FunctionDef, syntax.Lambda, syntax.ClassDef)):
                break
            if isinstance(outer, _LOOPS) and inner is outer.body:
                found.append(outer)
            inner = outer
        return found

    def last_yields(self, function: syntax.FunctionDef) -> tuple[int, int]:
        """Return where in source order ``function`` yields last, and last in a loop, or -1."""
        known = self._last_yields_of.get(function)
        if known is None:
            order = self.tree.order
            yields = [at for at in self.tree.jumps(function.body) if isinstance(at, syntax.Yield)]
            repeated = [order[at] for at in yields if self._is_repeated(at, function)]
            last = max((order[at] for at in yields), default=-1)
            known = self._last_yields_of[function] = (last, max(repeated, default=-1))
        return known

    def _is_repeated(self, node: syntax.Node, function: syntax.FunctionDef) -> bool:
        """Tell whether ``node`` stands in a loop of ``function``."""
        for outer in self.tree.ancestors(node):
            if outer is function:
                break
            if isinstance(outer, _LOOPS):
                return True
        return False

    def overwritten_further_on(self, start: syntax.Name, stores: list[syntax.Name]) -> bool:
        """Tell whether the block of ``start`` comes to one of ``stores`` later on, in any case."""
        known = self._always_bound_in.get(stores[0])
        if known is None:
            known = self._always_bound_in[stores[0]] = {}
            for store in stores:
                for block in self._always_comes_from(store):
                    known[block] = self.tree.order[store]
        block, _ = self.tree.blocks(start)[0]
        return known.get(block, -1) > self.tree.order[start]

    def _always_comes_from(self, store: syntax.Name) -> Iterator[syntax.Node]:
        """Yield the blocks that run an assignment, ``store``, whenever they come to their end.

        That is its own block, and those around it if it stands in the body of a ``with`` or a
        ``try``.
        """
        tree = self.tree
        if not isinstance(tree.parent[store], (syntax.AssignTarget, syntax.AnnAssign)):
            return
        if assigned_value(tree, store) is None:
            return
        for block, _ in tree.blocks(store):
            yield block
            holder = tree.parent.get(block)
            if not isinstance(holder, (syntax.With, syntax.Try)) or holder.body is not block:
                break

    def overwritten_in_loop(self, start: syntax.Node, uses: list[syntax.Node]) -> bool:
        """Tell whether a loop binds anew at ``start`` while only later code looks at the name.

        Then every handle but the last is lost, unless something leaves the loop early.
        """
        loops = self.loops(start)
        if not loops:
            return False
        loop = loops[0]
        if self._is_conditional(start, loop):
            return False
        if any(self.tree.holds(loop, use) for use in uses):
            return False
        leaving = (syntax.Break, syntax.Return, syntax.Raise)
        return not any(isinstance(node, leaving) for node in self.tree.jumps(loop.body))

    def _is_conditional(self, node: syntax.Node, loop: syntax.Node) -> bool:
        """Tell whether ``node`` runs on some turns of ``loop`` only: ``if task is None:``."""
        conditional = (syntax.If, syntax.Match, syntax.ExceptHandler, syntax.While, syntax.For)
        for outer in self.tree.ancestors(node):
            if outer is loop:
                return False
            if isinstance(outer, conditional):
                return True
        return False

    def loops_for_ever(self, start: syntax.Node) -> bool:
        """Tell whether a loop around ``start`` never ends."""
        return any(
            self._never_leaves(loop, stays)
            for loop in self.loops(start)
            if (stays := self._stays(loop))
        )

    def starts_if_gone(self, start: syntax.Name) -> bool:
        """Tell whether a loop that never ends binds at ``start`` only if the name says so.

        ``if task is None: task = ...`` keeps its task over the turns until somebody lets go of it.
        """
        loops = self.loops(start)
        stays = self._stays(loops[0]) if loops else Stays.NOT
        if not stays or not self._never_leaves(loops[0], stays):
            return False
        for outer in self.tree.ancestors(start):
            if outer is loops[0]:
                break
            if isinstance(outer, syntax.If) and any(
                isinstance(node, syntax.Name) and node.value == start.value
                for node in self.tree.walk(outer.test)
            ):
                return True
        return False

    def never_leaves(self, start: syntax.Node, within: syntax.Node | None = None) -> bool:
        """Tell whether the function cannot end after ``start``: it loops or waits for ever.

        With ``within``, a loop around ``start``: whether its turn cannot.
        """
        return self._never_leaves(start, Stays.NOT, within)

    def _never_leaves(
        self, start: syntax.Node, stays: Stays, within: syntax.Node | None = None
    ) -> bool:
        """Tell whether the function cannot end after ``start``, in which control ``stays``."""
        order = self.tree.order
        for block, statement in self.tree.blocks(start):
            if within is not None and not self.tree.holds(within, block):
                break
            stays = max(stays, self._stays_after(block, order[start]))
            items = statement.body if isinstance(statement, syntax.SimpleStatementLine) else ()
            for item in items:
                if order[item] > order[start]:
                    stays = max(stays, self._stays(item))
            if stays and self._goes_on_after(block, stays):
                stays = Stays.NOT
        return bool(stays)

    def stays_in(self, block: syntax.Node) -> Stays:
        """Tell whether control comes to the end of ``block``, the body of a function."""
        return self._stays_after(block, -1)

    def _stays_after(self, block: syntax.Node, start: int) -> Stays:
        """Tell the same of what stands behind ``start``, a place in source order."""
        known = self._staying_in.get(block)
        if known is None:
            order = self.tree.order
            found = [(order[item], self._stays(item)) for item in getattr(block, "body", ())]
            found = [(at, stays) for at, stays in found if stays]
            # Of each such statement, how long control stays in it, or in one behind it.
            longest = accumulate((stays for _, stays in reversed(found)), max)
            known = self._staying_in[block] = ([at for at, _ in found], [*longest][::-1])
        places, stays_from = known
        at = bisect_right(places, start)
        return stays_from[at] if at < len(places) else Stays.NOT

    def _stays(self, statement: syntax.Node) -> Stays:
        """Tell how long control stays in ``statement``, and does not come to the next."""
        tree = self.tree
        if isinstance(statement, syntax.While):
            leaves = not is_endless(statement) or any(
                isinstance(node, syntax.Return)
                or (isinstance(node, syntax.Break) and self.loops(node)[:1] == [statement])
                or (isinstance(node, syntax.Yield) and self._may_be_closed(node))
                for node in tree.jumps(statement.body)
            )
            return Stays.NOT if leaves else Stays.UNTIL_AN_ERROR
        if isinstance(statement, (syntax.With, syntax.Try)):
            stays = self.stays_in(statement.body)
            goes_on = stays and self._goes_on_after(statement.body, stays)
            return Stays.NOT if goes_on else stays
        if isinstance(statement, syntax.If):
            stays = self.stays_in(statement.body)
            other = statement.orelse
            if not stays or other is None:
                return Stays.NOT
            is_elif = isinstance(other, syntax.If)
            return min(stays, self._stays(other) if is_elif else self.stays_in(other.body))
        if isinstance(statement, syntax.SimpleStatementLine):
            return max(self._stays(small) for small in statement.body)
        value = statement.value if isinstance(statement, (syntax.Expr, syntax.Return)) else None
        is_awaited = isinstance(value, syntax.Await)
        if value is None or not (is_awaited or isinstance(statement, syntax.Expr)):
            return Stays.NOT
        if _waits_for_ever(value):
            return Stays.FOR_EVER
        if self._stays_at is not None and isinstance(value, syntax.Await):
            return self._stays_at(value.expression)
        return Stays.NOT

    def _may_be_closed(self, node: syntax.Yield) -> bool:
        """Tell whether its user may close the asynchronous generator that ``node`` stands in.

        One that cancels something when it is cancelled itself, as a server does with a stream, is
        taken to come to its end so.
        """
        function = self.tree.function_around(node)
        if not isinstance(function, syntax.FunctionDef) or not function.asynchronous:
            return False
        tries = (at for at in self.tree.ancestors(node) if isinstance(at, syntax.Try))
        return not any(
            ends_all([handler.type]) and self._cancels(handler)
            for at in tries
            if self.tree.holds(function, at) and self.tree.holds(at.body, node)
            for handler in at.handlers
        )

    def _cancels(self, handler: syntax.ExceptHandler) -> bool:
        return any(
            isinstance(at, syntax.Attribute) and at.attr.value == "cancel"
            for at in self.tree.walk(handler.body)
        )

    def _goes_on_after(self, block: syntax.Node, stays: Stays) -> bool:
        """Tell whether the statement that ``block`` is the body of expects control to leave it.

        Nothing but a time limit ends a wait, and an error nothing but a loop. One that nobody
        handles, or that is raised again, is no end that the function means to come to.
        """
        outer = self.tree.parent.get(block)
        if isinstance(outer, syntax.With) and outer.body is block:
            calls = [item.item for item in outer.items if isinstance(item.item, syntax.Call)]
            return any(_is_limit(call) for call in calls) or (
                stays is Stays.UNTIL_AN_ERROR
                and any(map(_swallows, calls))
                and not self._only_sleeps(block)
            )
        return (
            stays is Stays.UNTIL_AN_ERROR
            and isinstance(outer, syntax.Try)
            and outer.body is block
            and any(
                not ends_all([handler.type]) and self._goes_on(handler)
                for handler in outer.handlers
            )
            and not self._only_sleeps(block)
        )

    def _only_sleeps(self, block: syntax.Node) -> bool:
        """Tell whether the endless loops of ``block`` do nothing that comes to an error."""
        self.tree.whole()
        loops = [
            loop
            for loop in getattr(block, "body", ())
            if isinstance(loop, syntax.While) and is_endless(loop)
        ]
        return bool(loops) and all(
            _sleeps(small)
            for loop in loops
            for line in loop.body.body
            for small in (line.body if isinstance(line, syntax.SimpleStatementLine) else [line])
        )

    def _goes_on(self, handler: syntax.ExceptHandler) -> bool:
        """Tell whether control may go on, or the function return, after ``handler``."""
        if any(isinstance(jump, syntax.Return) for jump in self.tree.jumps(handler.body)):
            return True
        return not self.stays_in(handler.body) and not any(
            isinstance(small, syntax.Raise) or _exits(small)
            for line in handler.body.body
            for small in (line.body if isinstance(line, syntax.SimpleStatementLine) else [line])
        )


def is_endless(loop: syntax.While) -> bool:
    """Tell whether ``loop`` has no condition. A flag may be cleared where nobody looks."""
    if isinstance(loop.test, syntax.Integer):
        return loop.test.evaluated_value != 0
    return isinstance(loop.test, syntax.Name) and loop.test.value == "True"


def _waits_for_ever(value: syntax.BaseExpression) -> bool:
    """Recognise ``await Event().wait()``, ``await Future()``, ``serve_forever()`` and such."""
    if isinstance(value, syntax.Await):
        value = value.expression
    if not isinstance(value, syntax.Call):
        return False
    func = value.func
    name = last_name(func)
    if name in ("serve_forever", "run_forever", "sleep_forever"):
        return True
    if name in ("Future", "create_future") and not value.args:
        return True
    return (
        name == "wait"
        and isinstance(func, syntax.Attribute)
        and isinstance(func.value, syntax.Call)
        and last_name(func.value.func) == "Event"
    )


def _is_limit(call: syntax.Call) -> bool:
    """Tell whether a context manager ends its block after a time: ``asyncio.timeout(5)``."""
    return last_name(call.func) in _LIMITS and not any(
        is_name(arg.value, "None") for arg in call.args
    )


def _swallows(call: syntax.Call) -> bool:
    """Tell whether a context manager swallows errors that do not end all."""
    return last_name(call.func) == "suppress" and not ends_all([arg.value for arg in call.args])


def ends_all(kinds: Sequence[syntax.BaseExpression | None]) -> bool:
    """Tell whether errors of these ``kinds``, or tuples of them, end the program or the task."""
    flat = [
        item
        for kind in kinds
        for item in (
            [element.value for element in kind.elements]
            if isinstance(kind, syntax.Tuple)
            else [kind]
        )
    ]
    return all(item is not None and last_name(item) in _ENDS_ALL for item in flat)


def _sleeps(statement: syntax.Node) -> bool:
    """Tell whether ``statement`` is ``await asyncio.sleep(60)``."""
    value = statement.value if isinstance(statement, syntax.Expr) else None
    call = value.expression if isinstance(value, syntax.Await) else None
    return isinstance(call, syntax.Call) and last_name(call.func) == "sleep"


def _exits(statement: syntax.Node) -> bool:
    """Tell whether ``statement`` ends the program: ``sys.exit(1)``."""
    call = statement.value if isinstance(statement, syntax.Expr) else None
    return isinstance(call, syntax.Call) and last_name(call.func) in ("exit", "_exit")

"""Follow a handle from the call that creates it to whoever holds it in the end.

``Ownership.holds`` climbs from an expression to what is done with its value, follows names
through their function, and returns every hold it finds. An empty answer means that nothing
keeps the handle once the function returns. Where the analysis cannot tell, it says ``UNKNOWN``,
which is a hold: silence is better than a false alarm.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.assertions import (
    is_asked_in_assert,
    is_asserted,
    is_asserted_empty,
)
from flake8_task_refs.analysis.effects import (
    ADDERS,
    CONTAINER_NEUTRAL,
    CONTAINER_TAKERS,
    DROPPING,
    LOCAL_CONTAINERS,
    LOG_METHODS,
    OBSERVERS,
    PASS_ON,
    WEAK,
    WEAK_CONTAINERS,
    WEAK_FOR_KEYS,
    WEAK_FOR_VALUES,
    is_log_method,
)
from flake8_task_refs.analysis.flow import Flow
from flake8_task_refs.analysis.frames import never_ends, patient_flow
from flake8_task_refs.analysis.helpers import find_coroutine, find_helper, parameter_of
from flake8_task_refs.analysis.lifetime import locals_outlive
from flake8_task_refs.analysis.names import Names, assigned_value
from flake8_task_refs.analysis.outline import ANNOTATION
from flake8_task_refs.analysis.registrations import Registrations
from flake8_task_refs.analysis.sites import Sites, is_done_callback
from flake8_task_refs.analysis.syntax import last_name
from flake8_task_refs.analysis.tree import last_small
from flake8_task_refs.analysis.turns import Turns
from flake8_task_refs.analysis.waits import (
    Waits,
    around_in_function,
    is_partial,
    waits_for_first,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flake8_task_refs.analysis.tree import Scope, Tree


class How(Enum):
    """How something holds a handle."""

    AWAITED = "awaited"
    CANCELLED = "cancelled"
    RETURNED = "returned"
    PASSED = "passed"
    STORED = "stored"  # on an attribute, a global, a subscript of something that outlives us
    CONTAINER = "container"  # added to a container that outlives us
    CAPTURED = "captured"  # by a closure that is itself held
    ALIVE = "alive"  # a local of a function that does not end
    UNKNOWN = "unknown"


@dataclass(frozen=True, eq=False)
class Hold:
    """One holder of a handle. ``node`` is the container for CONTAINER, else where it happens."""

    how: How
    node: syntax.Node


_FIXED: Final = (syntax.SimpleString, syntax.Integer, syntax.ConcatenatedString)  # keys
_MAX_DEPTH: Final = 3  # of helpers within helpers
_ENOUGH_HOLD: Final = 30  # uses of one name: more of them tell nothing new
# What is done with a container now says nothing of tasks that are added later.
_AT_THE_TIME: Final = (How.AWAITED, How.CANCELLED)
_NEVER: Final = sys.maxsize
# What is known of a use that holds nothing, observes nothing and binds nothing.
_HOLDS_NOTHING: Final[tuple[list[Hold], list[tuple[Tree, syntax.Call]], bool]] = ([], [], False)


class Ownership:
    """Answers who holds the handles made in one parsed region."""

    def __init__(
        self, tree: Tree, names: Names, sites: Sites, parse: Callable[[int], Tree | None]
    ) -> None:
        """``parse`` returns the tree of the region around an offset of the source, or None."""
        self.tree = tree
        self.names = names
        self.sites = sites
        self.flow = Flow(tree)
        self.parse = parse
        self.was_bound = False  # to a name, or weakly, since the caller last cleared it
        # What the followed handles met that holds none of them: methods that look at a task and
        # waits that may give up; and what functions of the file do with a handle they are given.
        self.observed: list[tuple[Tree, syntax.Call]] = []
        self.inside: dict[syntax.Node, list[tuple[Tree, Hold]]] = {}
        # The names that are being followed, each with how many were before it.
        self._following: dict[tuple[str, syntax.Node], int] = {}
        self._callers: set[syntax.Node] = set()  # nested functions that are being followed
        # The first of them that was met once more since `_held_by` was asked.
        self._turned_back = _NEVER
        # What `holds` said of a use of a name, what it observed there, and whether it bound a name.
        self._held: dict[syntax.Node, tuple[list[Hold], list[tuple[Tree, syntax.Call]], bool]] = {}
        # Answers of `_is_drained` and `is_asserted_empty`, by name and scope.
        self._drained: dict[tuple[str, Scope], bool] = {}
        self._asserted_empty: dict[tuple[str, Scope], bool] = {}
        # The uses of a name, told by the first of them, of which more is to be said than that.
        self._rest_of: dict[syntax.Node, list[syntax.Name]] = {}
        self.depth = 0

    def of(self, tree: Tree) -> Ownership:
        """Return what answers for the handles of ``tree``: this, or one for another region."""
        if tree is self.tree:
            return self
        return Ownership(tree, self.names, self.sites, self.parse)

    @cached_property
    def waits(self) -> Waits:
        """What is known of the waits of this region; most handles never ask."""
        return Waits(self.tree, self.names, self.flow)

    @cached_property
    def registrations(self) -> Registrations:
        """What the functions of this region add their tasks to."""
        return Registrations(self.tree)

    @cached_property
    def turns(self) -> Turns:
        """What is known of the loops of this region."""
        return Turns(self.tree, self.flow)

    @cached_property
    def patient(self) -> Flow:
        """The control flow of this region, for whoever knows what is awaited for ever."""
        return patient_flow(self)

    # -- climbing from an expression --------------------------------------------------------

    def holds(self, node: syntax.Node) -> list[Hold]:
        """Return what comes to hold the value of expression ``node``."""
        tree = self.tree
        parent = tree.parent[node]
        match parent:
            case syntax.Expr() | syntax.Del() | syntax.Assert() | syntax.CompIf():
                return []
            case syntax.Await() | syntax.From():
                return [Hold(How.AWAITED, parent)]
            case syntax.Return() | syntax.Yield():
                return [Hold(How.RETURNED, parent)]
            case syntax.Arg():
                return self._as_argument(node, parent)
            case syntax.Attribute():
                return self._as_receiver(node, parent)
            case syntax.Assign():
                if _makes_several(node):
                    return self._assigned_each(node, parent)
                return self._assigned(node, [target.target for target in parent.targets])
            case syntax.AnnAssign():
                return self._assigned(node, [parent.target])
            case syntax.AugAssign():
                return [] if parent.target is node else self._stored_in(parent.target, node)
            case syntax.NamedExpr():
                return self._assigned(node, [parent.target]) + self.holds(parent)
            case (
                syntax.Element()
                | syntax.StarredElement()
                | syntax.DictElement()
                | syntax.StarredDictElement()
            ):
                return self._as_element(node, parent)
            case syntax.GeneratorExp() | syntax.ListComp() | syntax.SetComp() | syntax.DictComp():
                return self.holds(parent)
            case syntax.CompFor():
                return [] if parent.target is node else self._each(parent.target)
            case syntax.For():
                return self._each(parent.target) if parent.iter is node else []
            case syntax.IfExp():
                return [] if parent.test is node else self.holds(parent)
            case syntax.BooleanOperation():
                dropped = parent.left is node and parent.operator == "and"
                return [] if dropped else self.holds(parent)
            case syntax.BinaryOperation():
                return self.holds(parent)
            case syntax.UnaryOperation():
                return [Hold(How.AWAITED, parent)] if self.waits.ends_a_loop(parent) else []
            case syntax.Comparison():
                # `assert task in done`: that it is done is known from there on.
                is_asserted_done = self.waits.is_in_done(parent) and is_asserted(tree, parent)
                return [Hold(How.AWAITED, parent)] if is_asserted_done else []
            case syntax.ComparisonTarget():
                return []
            case syntax.FormattedStringExpression() | syntax.TemplatedStringExpression():
                return []
            case syntax.If() | syntax.AssignTarget():
                return []
            case syntax.While():
                # `while tasks:` waits until callbacks have emptied the container.
                return [] if self._is_left_with_some(parent, node) else [Hold(How.AWAITED, parent)]
            case syntax.Subscript():
                return self._subscripted(node, parent)
            case syntax.Index():
                return self._as_key(parent)
            case syntax.Param():
                return self._captured(node, self.tree.function_around(parent))
            case syntax.Lambda():
                return self._result_of(parent) if parent.body is node else self._unknown(node)
            case _:
                return self._unknown(node)

    def _short_lived(self) -> list[Hold]:
        """Return no hold: something does refer to the handle, but not for long enough."""
        self.was_bound = True
        return []

    @staticmethod
    def _unknown(node: syntax.Node) -> list[Hold]:
        return [Hold(How.UNKNOWN, node)]

    def _as_element(self, node: syntax.Node, element: syntax.Node) -> list[Hold]:
        """Follow an element of a display; ``a, b = x, y`` is taken apart."""
        display = self.tree.parent[element]
        holder = self.tree.parent[display]
        if isinstance(holder, syntax.Arg) and self._is_waited_for_in_turns(node, holder):
            return [Hold(How.AWAITED, self.tree.parent[holder])]
        if isinstance(display, (syntax.Tuple, syntax.List)) and isinstance(holder, syntax.Assign):
            at = next((i for i, item in enumerate(display.elements) if item is element), 0)
            pairs = [
                self._part(target.target, at, len(display.elements)) for target in holder.targets
            ]
            if all(part is not None for part in pairs):
                return self._assigned(node, [part for part in pairs if part is not None])
        if isinstance(element, syntax.DictElement) and isinstance(holder, syntax.Arg):
            call = self.tree.parent[holder]
            if isinstance(call, syntax.Call) and last_name(call.func) == "update":
                held = self.holds(display)
                return _in_slot(held) if isinstance(element.key, _FIXED) else held
        return self.holds(display)

    def _is_waited_for_in_turns(self, node: syntax.Node, arg: syntax.Arg) -> bool:
        """Tell whether ``arg``, with ``node`` in it, is waited for until that one is done."""
        call = self.tree.parent[arg]
        if not isinstance(call, syntax.Call) or not is_partial(call):
            return False
        if self.names.canonical(self.tree, call.func) != "asyncio.wait":
            return False
        if not self.turns.waits_until_done(call, node):
            return False
        self.observed.append((self.tree, call))
        return True

    def _is_left_with_some(self, loop: syntax.While, tasks: syntax.Node) -> bool:
        """Tell whether ``while tasks:`` waits for the first ones, and ends when it has enough."""
        return (
            isinstance(tasks, syntax.Name)
            and any(self.tree.holds(loop, call) for call in self.waits.giving_up(loop))
            and self.turns.is_left_with_some(loop, tasks.value)
        )

    @staticmethod
    def _part(target: syntax.Node, at: int, count: int) -> syntax.Node | None:
        if not isinstance(target, (syntax.Tuple, syntax.List)) or len(target.elements) != count:
            return None
        if any(isinstance(element, syntax.StarredElement) for element in target.elements):
            return None
        return target.elements[at].value

    def _as_key(self, index: syntax.Index) -> list[Hold]:
        """``d[task] = x`` stores the task as a key; ``d[task]`` only looks it up."""
        element = self.tree.parent[index]
        subscript = self.tree.parent[element]
        if isinstance(subscript, syntax.Subscript) and isinstance(
            self.tree.parent[subscript], (syntax.AssignTarget, syntax.AnnAssign)
        ):
            return self._stored_in(subscript.value, index, weak=WEAK_FOR_KEYS)
        return []

    def _subscripted(self, node: syntax.Node, subscript: syntax.Subscript) -> list[Hold]:
        if isinstance(
            self.tree.parent[subscript], (syntax.AssignTarget, syntax.Del, syntax.AugAssign)
        ):
            return []
        return self.holds(subscript) if subscript.value is node else []

    # -- calls ------------------------------------------------------------------------------

    def _as_argument(self, node: syntax.Node, arg: syntax.Arg) -> list[Hold]:
        call = self.tree.parent[arg]
        if not isinstance(call, syntax.Call):
            return self._unknown(node)
        func = call.func
        path = self.names.canonical(self.tree, func)
        if path in ("builtins.len", "builtins.bool") and self.waits.ends_a_loop(call):
            return [Hold(How.AWAITED, call)]
        if self.keeps_nothing(func):
            return []
        if path in WEAK and not (path == "weakref.finalize" and call.args[0] is not arg):
            return self._short_lived()
        if path == "builtins.setattr" and call.args[0] is arg:
            return []
        if path == "asyncio.wait":
            return self._waited(call)
        if path == "asyncio.shield":
            return self._shielded(call, node)
        if path in PASS_ON:
            return self.holds(call)
        if path == "asyncio.wait_for" and self.is_left_behind(node):
            return self._short_lived()
        if path == "asyncio.as_completed" and self.turns.is_left_early(call):
            self.observed.append((self.tree, call))
            return self._short_lived()
        if path is not None and path.startswith("asyncio."):
            return [Hold(How.AWAITED, call)]
        if is_done_callback(func):
            return self._as_callback(node, func)
        if isinstance(func, syntax.Attribute) and func.attr.value in ADDERS:
            holds = self._stored_in(func.value, node)
            is_slot = func.attr.value == "update" and arg.keyword is not None
            return _in_slot(holds) if is_slot else holds
        if isinstance(func, syntax.Attribute) and func.attr.value in CONTAINER_NEUTRAL:
            return []
        return self._given_to_helper(call, arg)

    def keeps_nothing(self, func: syntax.BaseExpression) -> bool:
        """Tell whether a call of ``func`` is known to drop what it is given, as ``print`` does."""
        path = self.names.canonical(self.tree, func)
        if path in DROPPING or is_log_method(func):
            return True
        is_of_library = path is not None and path.startswith(("logging.", "loguru."))
        return is_of_library and last_name(func) in LOG_METHODS

    def _waited(self, call: syntax.Call) -> list[Hold]:
        """``asyncio.wait`` with a timeout or FIRST_* keeps only what is done with ``pending``."""
        kept = [Hold(How.AWAITED, call)]
        outer = self.tree.parent[call]
        if not is_partial(call) and not self.waits.may_be_abandoned(call):
            return kept
        self.observed.append((self.tree, call))
        if not is_partial(call):
            return self._short_lived()
        if not isinstance(outer, syntax.Await):
            return kept
        statement = self.tree.parent[outer]
        if isinstance(statement, syntax.Expr):
            return self._short_lived()
        if isinstance(statement, syntax.Assign) and len(statement.targets) == 1:
            if self.waits.is_polled(call, self._part(statement.targets[0].target, 0, 2)):
                return kept
            pending = self._part(statement.targets[0].target, 1, 2)
            if pending is not None:
                if self._is_asserted_empty(pending):
                    return kept
                self.was_bound = True
                return self._assigned(outer, [pending])
        return kept

    def _is_asserted_empty(self, container: syntax.Node) -> bool:
        if not isinstance(container, syntax.Name):
            return False
        scope = self.tree.scope[container]
        known = self._asserted_empty.get((container.value, scope))
        if known is None:
            known = is_asserted_empty(self.tree, self.names, container)
            self._asserted_empty[container.value, scope] = known
        return known

    def done_of(self, call: syntax.Call) -> list[Hold] | None:
        """Return what holds the tasks that an awaited ``asyncio.wait`` returns as done.

        None if its value is not taken apart where it is awaited.
        """
        outer = self.tree.parent[call]
        assign = self.tree.parent[outer]
        if isinstance(assign, syntax.Assign) and len(assign.targets) == 1:
            done = self._part(assign.targets[0].target, 0, 2)
            if done is not None:
                return self._assigned(outer, [done])
        return None

    def _shielded(self, call: syntax.Call, node: syntax.Node) -> list[Hold]:
        """Judge a shield: one that may be abandoned (``wait_for``, ``timeout``) keeps nothing."""
        if isinstance(node, syntax.Call) and self.sites.creator(self.tree, node.func) is None:
            return [Hold(How.AWAITED, call)]
        if self.waits.may_be_abandoned(call) and not self.turns.shields_until_done(call, node):
            return self._short_lived()
        return [Hold(How.AWAITED, call)]

    def is_left_behind(self, node: syntax.Node) -> bool:
        """Tell whether a time limit around ``node`` leaves a task that only ``shield`` knows.

        ``wait_for(shield(work()), 5)`` leaves the task that ``shield`` makes of the coroutine.
        """
        if (
            not isinstance(node, syntax.Call)
            or self.names.canonical(self.tree, node.func) != "asyncio.shield"
            or not self.waits.may_be_abandoned(node)
        ):
            return False
        given = node.args[0].value if node.args else None
        if not isinstance(given, syntax.Call):
            return False
        found = find_coroutine(self.tree, given, self.parse)
        return found is not None and found[1].asynchronous

    def _as_callback(self, node: syntax.Node, func: syntax.BaseExpression) -> list[Hold]:
        """Judge a done-callback, which only its future holds: another handle may do, if held."""
        base = func.value if isinstance(func, syntax.Attribute) else func
        kept = [Hold(How.PASSED, node)]
        if isinstance(base, syntax.Call):
            return [] if self.sites.creator(self.tree, base.func) else kept
        if not isinstance(base, syntax.Name):
            return kept
        scope = self.tree.scope[base].owner(base.value)
        stores = scope.stores.get(base.value, ()) if scope is not None else ()
        if scope is None or not any(self._binds_handle(store) for store in stores):
            return kept
        met = next((at for (name, _), at in self._following.items() if name == base.value), None)
        if met is not None:
            self._turned_back = min(self._turned_back, met)
            return []
        return kept if any(self._follow(base.value, scope, store) for store in stores) else []

    def _binds_handle(self, store: syntax.Name) -> bool:
        """Tell whether ``store`` binds a task made here (directly, or out of a loop)."""
        value = assigned_value(self.tree, store)
        if isinstance(value, syntax.Call):
            return self.sites.creator(self.tree, value.func) is not None
        if isinstance(value, (syntax.IfExp, syntax.BooleanOperation)):
            return True
        return isinstance(self.tree.parent[store], (syntax.For, syntax.CompFor))

    def _given_to_helper(self, call: syntax.Call, arg: syntax.Arg) -> list[Hold]:
        """Follow an argument into a function of this file; any other callee may keep it."""
        kept = [Hold(How.PASSED, call)]
        if arg.star or self.depth >= _MAX_DEPTH:
            return kept
        found = find_helper(self.tree, call.func, self.parse)
        name = parameter_of(found, call, arg) if found is not None else None
        if found is None or name is None:
            return kept
        inner = Ownership(found.tree, self.names, self.sites, self.parse)
        inner.depth = self.depth + 1
        inner.observed, inner.inside = self.observed, self.inside
        scope = found.tree.inner[found.function]
        if len(scope.stores.get(name, ())) > 1 or scope.loads.get("locals"):
            return kept
        holds: list[Hold] = []
        for use in scope.uses(name):
            holds += inner.holds(use) or inner.in_closure(use, scope, None)
        self.inside[call] = [(found.tree, hold) for hold in holds]
        handed_back = all(isinstance(hold.node, syntax.Return) for hold in holds)
        if holds and handed_back and not found.function.asynchronous:
            return self.holds(call)
        return kept if holds else []

    def _as_receiver(self, node: syntax.Node, attribute: syntax.Attribute) -> list[Hold]:
        """Follow ``handle.method``: called, or taken as a bound method."""
        tree = self.tree
        name = attribute.attr.value
        call = tree.parent[attribute]
        if not (isinstance(call, syntax.Call) and call.func is attribute):
            if isinstance(
                call, (syntax.AssignTarget, syntax.AnnAssign, syntax.AugAssign, syntax.Del)
            ):
                return []
            # A bound method holds its object: `stack.callback(task.cancel)`.
            return self.holds(attribute)
        if name == "cancel":
            return [Hold(How.CANCELLED, call)]
        if name in OBSERVERS:
            return self._observed(node, name, call)
        if name in CONTAINER_NEUTRAL:
            return []
        if name in CONTAINER_TAKERS:
            return self.holds(call)
        return self._unknown(call)

    def _observed(self, node: syntax.Node, name: str, call: syntax.Call) -> list[Hold]:
        self.observed.append((self.tree, call))
        if name in ("done", "cancelled"):
            # `while not task.done(): await sleep(1)` waits for it; `assert task.done()` has waited.
            waits = name == "done" and any(
                isinstance(at, syntax.While) for at in around_in_function(self.tree, call)
            )
            return [Hold(How.AWAITED, call)] if waits or is_asserted(self.tree, call) else []
        if name in ("result", "exception"):
            threadsafe = isinstance(node, syntax.Call) and (
                self.sites.aggregate(self.tree, node.func) == "asyncio.run_coroutine_threadsafe"
            )
            # Whoever asks for the result knows that it is there, unless a wait may have given up.
            if threadsafe or (
                isinstance(node, syntax.Name)
                and (not self.waits.gives_up(call) or is_asked_in_assert(self.tree, call))
            ):
                return [Hold(How.AWAITED, call)]
        return []

    # -- stores -----------------------------------------------------------------------------

    def _assigned(self, node: syntax.Node, targets: list[syntax.Node]) -> list[Hold]:
        found: list[Hold] = []
        for target in targets:
            match target:
                case syntax.Name():
                    found += self._named(target)
                case syntax.Attribute() if _same_name(target.value, node):
                    pass  # `task.owner = task` holds itself
                case syntax.Attribute():
                    found.append(Hold(How.STORED, target))
                case syntax.Subscript():
                    found += self._slot(target, node)
                case syntax.Tuple() | syntax.List():
                    found += self._assigned(node, [element.value for element in target.elements])
                case _:
                    found += self._unknown(node)
        return found

    def _assigned_each(self, handles: syntax.Node, assign: syntax.Assign) -> list[Hold]:
        """Follow tasks that get a name each; nothing holds them if one of the names does not.

        ``first, second = map(create_task, (one(), other()))``.
        """
        target = assign.targets[0].target
        names = [element.value for element in getattr(target, "elements", ())]
        if len(assign.targets) > 1 or not all(
            isinstance(name, (syntax.Name, syntax.Attribute)) for name in names
        ):
            names = []
        each = [self._assigned(handles, [name]) for name in names]
        if not each:
            return self._assigned(handles, [target.target for target in assign.targets])
        return [hold for holds in each for hold in holds] if all(each) else []

    def _slot(self, target: syntax.Subscript, node: syntax.Node) -> list[Hold]:
        """Follow a handle stored under a key: a fixed key of a lasting container is one slot."""
        holds = self._stored_in(target.value, node)
        index = target.slice[0].slice if len(target.slice) == 1 else None
        is_fixed = isinstance(index, syntax.Index) and isinstance(index.value, _FIXED)
        return _in_slot(holds) if is_fixed else holds

    def _each(self, target: syntax.Node) -> list[Hold]:
        """Follow the elements of a container that a loop goes through."""
        if isinstance(target, (syntax.Tuple, syntax.List)):
            return [hold for element in target.elements for hold in self._each(element.value)]
        if not isinstance(target, syntax.Name):
            return self._unknown(target)
        return self._named(target)

    def _stored_in(
        self,
        container: syntax.Node,
        node: syntax.Node,
        *,
        weak: frozenset[str] = WEAK_FOR_VALUES,
    ) -> list[Hold]:
        """Follow a handle that is put into ``container`` at ``node``; ``weak`` hold it weakly."""
        root = container
        while isinstance(root, syntax.Subscript):
            root = root.value
        if isinstance(root, syntax.Name):
            scope = self.tree.scope[root].owner(root.value)
            if scope is None or scope.kind != "function":
                if self._is_weak(root.value, weak, attribute=False):
                    return self._short_lived()
                return [Hold(How.CONTAINER, container)]
            # What a wait returns is a new set, each time.
            makers = [
                assigned_value(self.tree, store)
                for store in scope.stores.get(root.value, ())
                if not self._is_returned_by_wait(store)
            ]
            here = self.tree.scope[node].function
            if scope is here and makers and all(self._is_new_container(maker) for maker in makers):
                if any(self._is_call_of(maker, weak) for maker in makers):
                    return self._short_lived()
                return self._follow(root.value, scope, node)
            return [Hold(How.CONTAINER, container)]
        if isinstance(root, syntax.Attribute):
            if self._is_weak(root.attr.value, weak, attribute=True):
                return self._short_lived()
            return [Hold(How.CONTAINER, container)]
        if isinstance(root, syntax.Call) and last_name(root.func) in ("setdefault", "get"):
            inner = root.func
            if isinstance(inner, syntax.Attribute):
                return self._stored_in(inner.value, node, weak=weak)
        return [Hold(How.PASSED, container)]

    def _is_returned_by_wait(self, store: syntax.Name) -> bool:
        """Tell whether ``store`` binds a set of ``done, pending = await asyncio.wait(...)``."""
        display = self.tree.parent[self.tree.parent[store]]
        target = self.tree.parent[display] if isinstance(display, syntax.Tuple) else None
        assign = self.tree.parent[target] if isinstance(target, syntax.AssignTarget) else None
        awaited = assign.value if isinstance(assign, syntax.Assign) else None
        call = awaited.expression if isinstance(awaited, syntax.Await) else None
        return (
            isinstance(call, syntax.Call)
            and self.names.canonical(self.tree, call.func) == "asyncio.wait"
        )

    def _is_new_container(self, maker: syntax.BaseExpression | None) -> bool:
        if isinstance(
            maker,
            (
                syntax.List,
                syntax.Set,
                syntax.Dict,
                syntax.ListComp,
                syntax.SetComp,
                syntax.DictComp,
                syntax.Tuple,
            ),
        ):
            return True
        return self._is_call_of(maker, LOCAL_CONTAINERS | WEAK_CONTAINERS)

    def _is_call_of(self, maker: syntax.BaseExpression | None, names: frozenset[str]) -> bool:
        return isinstance(maker, syntax.Call) and (
            self.names.canonical(self.tree, maker.func) in names
        )

    def _is_weak(self, name: str, weak: frozenset[str], *, attribute: bool) -> bool:
        """Tell whether the module's ``name``, or an attribute of that name, is made by ``weak``."""
        if not self.tree.outline.mentions(("Weak",)):
            return False
        before = r"\." if attribute else r"^"
        makers = "|".join(sorted(path.removeprefix("weakref.") for path in weak))
        pattern = rf"{before}{name}[ \t]*{ANNOTATION}=[ \t]*\(?\s*(?:weakref\.)?(?:{makers})\b"
        field = (
            rf"^[ \t]+{name}[ \t]*{ANNOTATION}=[ \t]*(?:\w+\.)?field\("
            rf"\s*default_factory[ \t]*=[ \t]*(?:weakref\.)?(?:{makers})\b"
        )
        has = self.tree.outline.has
        return has(pattern) or (attribute and has(field))

    # -- names ------------------------------------------------------------------------------

    def _named(self, store: syntax.Name) -> list[Hold]:
        """Follow a handle that is bound to a name."""
        name = store.value
        here = self.tree.scope[store]
        if name in here.function.elsewhere and here.kind != "comprehension":
            return [Hold(How.STORED, store)]
        scope = here if here.binds(name) else (here.owner(name) or here)
        if scope.kind in ("module", "class"):
            return [Hold(How.STORED, store)]
        if name == "_" and self.names.settings.allow_underscore:
            return [Hold(How.UNKNOWN, store)]
        return self._follow(name, scope, store)

    def _in_nested(self, use: syntax.Name, scope: Scope) -> bool:
        return self.tree.scope[use].function is not scope.function

    def _follow(self, name: str, scope: Scope, start: syntax.Node) -> list[Hold]:
        """Return the holds of what variable ``name`` of ``scope`` got at ``start``."""
        met = self._following.get((name, start))
        if met is not None:
            self._turned_back = min(self._turned_back, met)
            return []
        self._following[name, start] = len(self._following)
        self.was_bound |= name != "_"
        try:
            return self._follow_uses(name, scope, start)
        finally:
            del self._following[name, start]

    def _follow_uses(self, name: str, scope: Scope, start: syntax.Node) -> list[Hold]:
        stores = scope.stores.get(name, [])
        binding = isinstance(start, syntax.Name) and self.flow.is_one_of(start, stores)
        found: list[Hold] = []
        holding: list[syntax.Node] = []
        for use in self._uses_to_follow(name, scope, start, binding=binding):
            if len(holding) == _ENOUGH_HOLD:
                break
            if self._in_nested(use, scope):
                held = self.in_closure(use, scope, start)
            elif self._held.get(use) == _HOLDS_NOTHING:
                continue
            elif scope.kind == "comprehension" or self.flow.reaches(start, use, stores):
                held = [] if self.waits.is_only_if_done(use) else self._held_by(use)
            elif not binding and self._reaches_any(stores, use):
                # A container that somebody holds already, before it is filled.
                held = [hold for hold in self._held_by(use) if hold.how not in _AT_THE_TIME]
            else:
                continue
            if held:
                found += held
                holding.append(use)
        if not binding:
            found += [hold for store in stores for hold in self._other_targets(store)]
        if found and binding and self._only_last(start, holding):
            found = []
        if (
            found
            and isinstance(start, syntax.Name)
            and binding
            and all(self._is_before_a_raise(start, use) for use in holding)
        ):
            found = []
        if found:
            return found
        if not binding and (self.flow.loops_for_ever(start) or self._is_drained(name, scope)):
            return [Hold(How.ALIVE, start)]
        if isinstance(start, syntax.Name) and binding and self.flow.starts_if_gone(start):
            return [Hold(How.ALIVE, start)]
        if self.waits.tells_the_function(name, scope):
            return [Hold(How.ALIVE, start)]
        outlives = locals_outlive(self.flow, scope, start, name) or never_ends(self, scope, start)
        if outlives and not (binding and name != "_" and self._is_surely_overwritten(start, scope)):
            return [Hold(How.ALIVE, start)]
        return []

    def _is_surely_overwritten(self, start: syntax.Node, scope: Scope) -> bool:
        """Tell whether a later statement, or each turn of a loop, binds anew what nobody keeps."""
        if not isinstance(start, syntax.Name) or scope.loads.get("locals"):
            return False
        if "all_tasks" in self.tree.text or isinstance(self.tree.parent[start], syntax.For):
            return False
        if self.flow.overwritten_further_on(start, scope.stores[start.value]):
            return True
        if not self.flow.overwritten_in_loop(start, []):
            return False
        loop = self.flow.loops(start)[0]
        return not self.flow.never_leaves(start, loop) and not any(
            (isinstance(node, syntax.Continue) and self._may_pass_all_but_one(node, loop))
            or (isinstance(node, syntax.Call) and last_name(node.func) in ("exit", "_exit"))
            or (isinstance(node, syntax.Name) and node.value == start.value and node is not start)
            for node in self.tree.walk(loop)
        )

    def _may_pass_all_but_one(self, skip: syntax.Continue, loop: syntax.Node) -> bool:
        """Tell whether all turns of ``loop`` but one may end at ``skip``.

        So it may be where a condition looks for equals, or for a flag that the loop sets.
        """
        tree = self.tree
        flags = {
            store.value
            for store in tree.walk(loop)
            if isinstance(store, syntax.Name)
            and isinstance(value := assigned_value(tree, store), (syntax.Name, syntax.Integer))
            and (isinstance(value, syntax.Integer) or value.value in ("True", "False", "None"))
        }
        for outer in tree.ancestors(skip):
            if outer is loop:
                break
            if isinstance(outer, syntax.If) and any(
                (isinstance(at, syntax.Name) and at.value in flags)
                or (isinstance(at, syntax.ComparisonTarget) and at.operator in ("==", "!="))
                for at in tree.walk(outer.test)
            ):
                return True
        return False

    def _uses_to_follow(
        self, name: str, scope: Scope, start: syntax.Node, *, binding: bool
    ) -> Iterator[syntax.Name]:
        """Yield the uses of a variable, but for some that surely do not see its ``binding``."""
        loads = scope.loads.get(name, [])
        if binding and scope.kind == "function":
            yield from self.flow.may_reach(start, loads, scope.stores.get(name, []))
        elif loads:
            # A container may be filled a thousand times, each of which says nothing of the others.
            rest = self._rest_of.get(loads[0], loads)
            if rest and self._held.get(rest[0]) == _HOLDS_NOTHING:
                rest = [use for use in rest if self._held.get(use) != _HOLDS_NOTHING]
                self._rest_of[loads[0]] = rest
            yield from rest
        yield from scope.inner_uses(name)

    def _held_by(self, use: syntax.Name) -> list[Hold]:
        """Return what ``holds`` says of a use of a name; many bindings may come to it."""
        known = self._held.get(use)
        if known is not None:
            held, observed, bound = known
            self.observed += observed
            self.was_bound |= bound
            return held
        before, turned_back, was_bound = len(self.observed), self._turned_back, self.was_bound
        self.was_bound, self._turned_back = False, _NEVER
        held = self.holds(use)
        if self._turned_back >= len(self._following):  # else it depends on where it was asked from
            self._held[use] = (held, self.observed[before:], self.was_bound)
            self._turned_back = turned_back
        self._turned_back = min(self._turned_back, turned_back)
        self.was_bound |= was_bound
        return held

    def _reaches_any(self, stores: list[syntax.Name], use: syntax.Name) -> bool:
        """Tell whether ``use`` sees what one of ``stores`` bound."""
        return any(self.flow.reaches(store, use, stores) for store in stores)

    def _other_targets(self, store: syntax.Name) -> list[Hold]:
        """Return the holds of ``a = self.b = []`` besides the name ``a``."""
        target = self.tree.parent[store]
        assign = self.tree.parent[target]
        if not isinstance(assign, syntax.Assign):
            return []
        others = [other.target for other in assign.targets if other is not target]
        return [Hold(How.STORED, other) for other in others if not isinstance(other, syntax.Name)]

    def _is_drained(self, name: str, scope: Scope) -> bool:
        """Tell whether a container that is filled one by one is waited for in the end.

        Even a wait that gives up after a timeout says that somebody looks after its tasks.
        """
        known = self._drained.get((name, scope))
        if known is None:
            uses = (self.tree.parent[self.tree.parent[use]] for use in scope.uses(name))
            calls = (call for call in uses if isinstance(call, syntax.Call))
            canonical = self.names.canonical
            wait = next((c for c in calls if canonical(self.tree, c.func) == "asyncio.wait"), None)
            known = self._drained[name, scope] = wait is not None and not any(
                waits_for_first(arg.value) for arg in wait.args
            )
        return known

    def _only_last(self, start: syntax.Node, holding: list[syntax.Node]) -> bool:
        """Tell whether a loop overwrites the name before anyone looks at it."""
        if isinstance(self.tree.parent[start], (syntax.For, syntax.CompFor)):
            return False
        return self.flow.overwritten_in_loop(start, holding)

    def _is_before_a_raise(self, start: syntax.Name, use: syntax.Node) -> bool:
        """Tell whether ``use`` is in a handler that raises: who never gets there, keeps nothing.

        What it guards must not have to do with the task that was bound at ``start`` before.
        """
        tree = self.tree
        around = around_in_function(tree, use)
        handler = next((at for at in around if isinstance(at, syntax.ExceptHandler)), None)
        guarded = tree.parent[handler] if handler is not None else None
        if handler is None or not isinstance(guarded, syntax.Try) or tree.holds(handler, start):
            return False
        tree.steering()
        return isinstance(last_small(handler.body), syntax.Raise) and not any(
            tree.holds(guarded.body, other) for other in tree.scope[start].uses(start.value)
        )

    # -- closures ---------------------------------------------------------------------------

    def in_closure(self, use: syntax.Name, scope: Scope, start: syntax.Node | None) -> list[Hold]:
        """Return the holds that a use in a nested function makes of what was bound at ``start``."""
        node = self._nested_around(use, scope)
        if isinstance(node, syntax.ClassDef):
            return self._unknown(use)
        if not isinstance(node, (syntax.FunctionDef, syntax.Lambda)):
            return self.holds(use)
        escaped = self._function_value(node)
        if escaped:
            return [Hold(How.CAPTURED, use)]
        if isinstance(node, syntax.FunctionDef) and self._is_called(node, start):
            return self.holds(use)
        return []

    def _nested_around(self, use: syntax.Name, scope: Scope) -> syntax.Node:
        """Return the outermost function or class around ``use`` that stands in ``scope``'s."""
        outermost = self.tree.scope[use].function
        while outermost.parent is not None and outermost.parent.function is not scope.function:
            outermost = outermost.parent.function
        return outermost.node

    def _captured(
        self, default: syntax.Node, function: syntax.FunctionDef | syntax.Lambda | None
    ) -> list[Hold]:
        """Return what holds the ``default`` of a parameter: ``function`` does, if it is held."""
        held = function is not None and self._function_value(function)
        return [Hold(How.CAPTURED, default)] if held else []

    def _result_of(self, node: syntax.Lambda) -> list[Hold]:
        """Return what holds the result of a lambda: nothing if a scheduler or callback calls it."""
        arg = self.tree.parent[node]
        call = self.tree.parent[arg]
        if isinstance(call, syntax.Call) and (
            self.sites.is_scheduler(self.tree, call.func)
            or is_done_callback(call.func)
            or (
                isinstance(arg, syntax.Arg)
                and (self.sites.is_after_play(arg, call) or self.sites.is_qt_slot(arg, call))
            )
        ):
            return []
        if isinstance(call, syntax.Call) and self.sites.is_context_run(self.tree, call.func):
            return self.holds(call) if call.args[0] is arg else self._unknown(node)
        return self._unknown(node)

    def _function_value(self, node: syntax.FunctionDef | syntax.Lambda) -> list[Hold]:
        """Return what holds a nested function, and with it what it captures."""
        if isinstance(node, syntax.Lambda):
            return self.holds(node)
        if node.decorators:
            return self._unknown(node)
        scope = self.tree.scope[node]
        if scope.kind != "function":
            return self._unknown(node)
        found: list[Hold] = []
        for use in scope.uses(node.name.value):
            outer = self.tree.parent[use]
            is_called = isinstance(outer, syntax.Call) and outer.func is use
            if not self._in_nested(use, scope):
                found += [] if is_called else self.holds(use)
            elif not self.tree.holds(node, use):
                found += self._held_by_caller(use, scope) if is_called else self._unknown(use)
        return found

    def _held_by_caller(self, use: syntax.Name, scope: Scope) -> list[Hold]:
        """Return what holds the nested function that calls another one, which it captures."""
        caller = self._nested_around(use, scope)
        if not isinstance(caller, (syntax.FunctionDef, syntax.Lambda)):
            return self._unknown(use)
        if caller in self._callers:
            self._turned_back = -1
            return []
        self._callers.add(caller)
        try:
            return self._function_value(caller)
        finally:
            self._callers.discard(caller)

    def _is_called(self, node: syntax.FunctionDef, start: syntax.Node | None) -> bool:
        """Tell whether a nested function is called, other than to be the task itself."""
        tree = self.tree
        for use in tree.scope[node].uses(node.name.value):
            call = tree.parent[use]
            if not isinstance(call, syntax.Call) or call.func is not use:
                continue
            if start is None or not tree.holds(tree.statement_of(start), call):
                return True
        return False


def _in_slot(holds: list[Hold]) -> list[Hold]:
    """Return ``holds`` of what is put into a container under a fixed key, which is one slot."""
    return [Hold(How.STORED, h.node) if h.how is How.CONTAINER else h for h in holds]


def _makes_several(node: syntax.Node) -> bool:
    """Tell whether ``node`` makes a handle for each of what it goes through."""
    if isinstance(node, syntax.Call) and last_name(node.func) in ("list", "tuple") and node.args:
        node = node.args[0].value
    return isinstance(node, (syntax.ListComp, syntax.GeneratorExp)) or (
        isinstance(node, syntax.Call) and last_name(node.func) == "map"
    )


def _same_name(one: syntax.Node, other: syntax.Node) -> bool:
    return (
        isinstance(one, syntax.Name) and isinstance(other, syntax.Name) and one.value == other.value
    )

"""Who ends a task that is kept, and who hears its errors: TSK201 to TSK204, TSK301 to TSK303.

The holders that ``ownership`` found give the places where a task can be found again, and
``places`` every use of these in the file. What a use does with the task, ``ownership`` tells as
well. A use that is not understood is taken as a sign that somebody looks after the task.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.applications import application_of, stops_application
from flake8_task_refs.analysis.cancellation import is_wide, swallowers
from flake8_task_refs.analysis.effects import (
    ADDERS,
    CLOSERS,
    COMMANDS,
    CONTAINER_TAKERS,
    OBSERVERS,
    PASS_ON,
)
from flake8_task_refs.analysis.flow import is_endless, last_in
from flake8_task_refs.analysis.helpers import find_coroutine
from flake8_task_refs.analysis.lifetime import lasts_for_a_time
from flake8_task_refs.analysis.names import assigned_value
from flake8_task_refs.analysis.outline import ANNOTATION
from flake8_task_refs.analysis.owners import Owners, with_helpers
from flake8_task_refs.analysis.ownership import Hold, How, Ownership
from flake8_task_refs.analysis.places import Place, Places, key_of, place_of
from flake8_task_refs.analysis.syntax import last_name
from flake8_task_refs.analysis.workers import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flake8_task_refs.analysis.sites import CreationSite
    from flake8_task_refs.analysis.tree import Scope, Tree

_MAX_DEPTH: Final = 3  # of helpers within helpers
_SAFE_TO_AWAIT: Final = ("sleep", "wait", "acquire")
_LASTING: Final = (How.STORED, How.CONTAINER, How.ALIVE)
_KEPT: Final = (How.STORED, How.CONTAINER)
# Methods after which an object is of no more use.
_CLOSES: Final = ("close", "aclose", "disconnect", "dispose", "terminate", "wait_closed")
_RESULTS: Final = ("result", "exception")
# Methods of a task that tell of its failure, or have it told.
_HEARING: Final = (*_RESULTS, "add_done_callback")
# Methods of tasks, and of containers of them, that wait for nothing and hand nothing on.
_LETTING_ALONE: Final = ("cancel", "done", "get_name", "discard", "remove", "clear")
_COMPREHENSIONS: Final = (syntax.ListComp, syntax.SetComp, syntax.GeneratorExp)
_DISPLAYS: Final = (syntax.List, syntax.Tuple, syntax.Set)
_MADE: Final = r"[\w.()]*(?:create_task|ensure_future)\("


class Lifecycle:
    """Judges how the tasks of one region end."""

    def __init__(self, ownership: Ownership) -> None:
        """Use what ``ownership`` knows of the region."""
        self.ownership = ownership
        self.tree = ownership.tree
        self.owners = Owners(self.tree, ownership.names)
        self.places = Places(ownership.tree.outline, ownership.parse)
        # What a function says of all its tasks: what it looks after, what holds what (by a name,
        # those made of it), and what `_names_behind` finds.
        self._looked_after_in: dict[syntax.FunctionDef, tuple[int, dict[str, int]]] = {}
        self._held_in: dict[syntax.FunctionDef, dict[str, set[str]]] = {}
        self._behind: dict[syntax.FunctionDef, tuple[set[str], set[str]] | tuple[()]] = {}

    @property
    def code(self) -> str:
        """The file, strings and comments blanked."""
        return self.tree.outline.code

    # -- TSK201, TSK204 ---------------------------------------------------------------------

    def never_ends(
        self, site: CreationSite, holds: list[Hold], codes: frozenset[str]
    ) -> str | None:
        """Return the code for an endless task that its owner's end leaves running, or None.

        TSK201 for an application, TSK204 for another owner, if they are among ``codes``.
        """
        # Whoever asks for a result says that the task is over, and does not bring it about.
        holders = [hold for hold in holds if not _asks_result(hold.node)]
        if site.kind != "task" or not all(hold.how in _LASTING for hold in holders):
            return None
        owner = self.owners.owner(site.call, holders, codes)
        worker = self._worker(site) if owner is not None else None
        if owner is None or worker is None or not worker.is_endless():
            return None
        if owner.end & worker.signals() or self._is_told(site, worker):
            return None
        if "all_tasks(" in self.code:
            return None
        return None if self._is_looked_after(site, holders) else owner.code

    def is_told_behind_its_yield(self, site: CreationSite) -> bool:
        """Tell whether the end of a context manager, or of a dependency, tells its task to end.

        It sets a flag then, or closes what the task reads from, perhaps as a ``with`` ends.
        """
        tree, given = self.tree, site.given
        if given is None or not tree.mentions("yield"):
            return False
        function = tree.function_around(site.call)
        if not isinstance(function, syntax.FunctionDef) or not lasts_for_a_time(tree, function):
            return False
        names = self._behind.get(function)
        if names is None:
            names = self._behind[function] = _names_behind(tree, function)
        if not names:
            return False
        told, entered = names
        worker = self._worker(site)
        if worker is None:
            return True
        if worker.found is None:
            return bool((told | entered) - {""})
        is_endless = worker.is_endless()
        signs, sources = worker.signals(), worker.signals_of_sources()
        if not is_endless:
            signs |= worker.shared()
        for param, name in _given_names(worker.found[1], worker.call):
            signs |= {name} if param in signs or not is_endless else set()
            sources |= {name} if param in sources else set()
        return bool((signs & told | sources & entered) - {""})

    def _is_told(self, site: CreationSite, worker: Worker) -> bool:
        """Tell whether any function but the one that starts the worker changes its loop's flag."""
        start, end = self._span(site.call)
        for flag in worker.flags():
            changed = rf"\b{flag}[ \t]*{ANNOTATION}=(?!=)|\b{flag}\.(?:set|clear|cancel)\("
            for match in re.finditer(changed, self.code):
                around = self.tree.outline.enclosing(match.start())
                # What the class, its __init__ and the start say is the value to begin with.
                begins = start <= match.start() < end or not any(
                    outer.kind == "def" and outer.name != "__init__" for outer in around
                )
                if not begins:
                    return True
        return False

    def _is_looked_after(self, site: CreationSite, holders: list[Hold]) -> bool:
        """Tell whether any function of the file does more with the task than keep it."""
        todo = [hold.node for hold in holders if hold.how is not How.ALIVE]
        seen: set[tuple[str, str, str]] = set()
        tree = self.tree
        while todo:
            node = todo.pop()
            place, constant = place_of(tree, node), self._constant_key(node)
            if constant:  # `app[POLLER]`, POLLER a web.AppKey: who else names the key?
                if len(re.findall(rf"\b{constant}\b(?!\s*{ANNOTATION}=)", self.code)) > 1:
                    return True
                continue
            if place is None:
                return True
            key = (place.kind, place.name, place.owner)
            if key in seen:
                continue
            seen.add(key)
            if self.places.is_named(place.name):
                return True
            if place.scope is not None:
                todo += self._taken_from(place.scope, place.name)
            for home, use in self.places.uses(place, tree):
                ownership = self.ownership.of(home)
                if _takes_out(home, use):
                    continue
                for hold in ownership.holds(use):
                    if hold.how is How.ALIVE or self._is_before(site, home, hold):
                        continue
                    if hold.how not in (How.STORED, How.CONTAINER) or home is not tree:
                        return True
                    todo.append(hold.node)
        return False

    def _taken_from(self, scope: Scope, name: str) -> list[syntax.Node]:
        """Return what a local is another name for: ``tasks`` of ``tasks = app.state.tasks``."""
        values = (assigned_value(self.tree, store) for store in scope.stores.get(name, ()))
        return [at for at in values if isinstance(at, (syntax.Attribute, syntax.Subscript))]

    def _constant_key(self, node: syntax.Node) -> str:
        """Return the name of the constant under which an application has the task, if it is one."""
        slot = node if isinstance(node, syntax.Subscript) else self.tree.parent[node]
        if not isinstance(slot, syntax.Subscript) or len(slot.slice) != 1:
            return ""
        index = slot.slice[0].slice
        if not isinstance(index, syntax.Index):
            return ""
        name = last_name(index.value)
        # A web.AppKey of the module, whatever it is called, or one of another file.
        own = isinstance(index.value, syntax.Name) and self.ownership.names.assigned(name)
        return name if name.isupper() or own else ""

    def _is_before(self, site: CreationSite, home: Tree, hold: Hold) -> bool:
        """Tell whether ``hold`` ends the task before: a restart."""
        tree = self.tree
        return (
            home is tree
            and hold.how in (How.CANCELLED, How.AWAITED)
            and tree.function_around(hold.node) is tree.function_around(site.call)
            and tree.order[hold.node] < tree.order[site.call]
        )

    def _span(self, node: syntax.Node) -> tuple[int, int]:
        """Return where the outermost function around ``node`` lies (offsets in the source)."""
        tree = self.tree
        around = [at for at in tree.ancestors(node) if isinstance(at, syntax.FunctionDef)]
        if around:
            line = tree.position(around[-1].name)[0]
            for definition in tree.outline.definitions:
                if (
                    definition.name == around[-1].name.value
                    and tree.outline.position(definition.header)[0] == line
                ):
                    return definition.start, definition.end
        return tree.region.start, tree.region.end

    # -- the coroutine ----------------------------------------------------------------------

    def _worker(self, site: CreationSite) -> Worker | None:
        call = _call_given(site)
        return Worker(self.ownership, call) if call is not None else None

    def is_endless(self, site: CreationSite) -> bool:
        """Tell whether the spawned coroutine loops: by its code if it is here, else by its name."""
        worker = self._worker(site)
        return worker is not None and worker.is_endless()

    def coroutine(self, call: syntax.Call) -> tuple[Tree, syntax.FunctionDef] | None:
        """Return the function of this file that ``call`` makes a coroutine of."""
        return find_coroutine(self.tree, call, self.ownership.parse)

    # -- TSK202 -----------------------------------------------------------------------------

    def unawaited_cancels(self) -> Iterator[syntax.Call]:
        """Yield the ``cancel()`` calls of closing code after which nobody awaits the task."""
        tree = self.tree
        for call in tree.calls:
            func = call.func
            if not isinstance(func, syntax.Attribute) or func.attr.value != "cancel":
                continue
            if any(arg.keyword is None or arg.keyword.value != "msg" for arg in call.args):
                continue
            function = tree.function_around(call)
            if (
                not isinstance(function, syntax.FunctionDef)
                or not function.asynchronous
                or not self._is_ending(function, call)
                or not self._is_task(func.value)
            ):
                continue
            names = self.cancelled_names(func.value)
            if names and not (
                self._awaited_after(function, call, names)
                or self._awaited_elsewhere(names)
                or self._gives_back(function, {*names, last_name(func.value)})
            ):
                yield call

    def _gives_back(self, function: syntax.FunctionDef, names: set[str]) -> bool:
        """Tell whether the caller of ``function`` gets one of ``names``, and may await it."""
        return any(
            isinstance(jump, (syntax.Return, syntax.Yield))
            and isinstance(jump.value, (syntax.Name, syntax.Attribute))
            and last_name(jump.value) in names
            for jump in self.tree.jumps(function.body)
        )

    def _is_ending(self, function: syntax.FunctionDef, call: syntax.Call) -> bool:
        if _is_closer(function) or stops_application(self.tree, function):
            return True
        application = self.owners.application(function)
        if application is None or not application.yields or not application.sure:
            return False
        return any(
            isinstance(node, syntax.Yield) and self.tree.order[node] < self.tree.order[call]
            for node in self.tree.walk(function.body)
        )

    def _is_task(self, receiver: syntax.BaseExpression) -> bool:
        """Tell whether this file binds a new task to the name that is cancelled."""
        names = self.cancelled_names(receiver)
        place = place_of(self.tree, receiver)
        if place is not None and place.scope is not None:
            # What another function calls like this local, says nothing of it.
            names.discard(place.name)
            values = (assigned_value(self.tree, at) for at in place.scope.stores[place.name])
            creator = self.ownership.sites.creator
            if any(isinstance(at, syntax.Call) and creator(self.tree, at.func) for at in values):
                return True
        # Nor of one that it comes out of: `for task in pending`.
        whole, here = (0, len(self.code)), self._span(receiver)
        return any(
            self._is_filled(name, *(here if self._is_local(receiver, name) else whole))
            for name in names
        )

    def _is_local(self, receiver: syntax.BaseExpression, name: str) -> bool:
        """Tell whether ``name`` means a local, and no attribute or key, where ``receiver`` is."""
        owner = self.tree.scope[receiver].function.owner(name)
        if owner is None or owner.kind != "function":
            return False
        other = re.compile(rf"\.[\s\\]*{re.escape(name)}\b|[\"']{re.escape(name)}[\"']")
        return other.search(self.tree.outline.source, *self._span(receiver)) is None

    def _is_filled(self, name: str, start: int, end: int) -> bool:
        """Tell whether a new task is assigned to ``name``, or added to it, in a part of the file.

        ``start`` and ``end`` are the offsets of that part.
        """
        answers, key = self.tree.outline.answers, (f"filled in {start}:{end}", name)
        if key not in answers:
            answers[key] = self._is_surely_filled(name, start, end)
        return answers[key]

    def _is_surely_filled(self, name: str, start: int, end: int) -> bool:
        name = re.escape(name)
        slot = rf"\b{name}[\"']?\]?(?:\[[^\]\n]*\])?\s*{ANNOTATION}=\s*{_MADE}"
        outline = self.tree.outline
        noted = re.compile(rf"\b{name}[ \t]*:[^=\n]*\basyncio\.Task\b")
        if noted.search(self.code, start, end):
            return True
        given = re.compile(slot).finditer(outline.source, start, end)
        if any(outline.is_code(at.end() - 1) for at in given):
            return True
        put = rf"\b{name}(?:\[[^\]\n]*\])?\.(?:add|append)\(\s*"
        if re.compile(rf"{put}{_MADE}").search(self.code, start, end):
            return True
        # A local that has one: of an object that is not ours, only containers are known.
        slot = rf"(?:\b{name}\[[^\]\n]*\]|\bself\.{name})\s*{ANNOTATION}=(?!=)\s*"
        kept = rf"(?:{put}|(?P<slot>{slot}))(?P<local>\w+)[ \t]*(?:[);]|$)"
        for at in re.compile(kept, re.MULTILINE).finditer(self.code, start, end):
            local, near = at["local"], self._code_around(at.start())
            made = rf"\b{local}\s*{ANNOTATION}=\s*{_MADE}"
            # Whoever made it may await it.
            awaited = rf"\bawait\b[^\n]*(?:\([^)]*)?\b{local}\b"
            if re.search(made, near if at["slot"] else self.code) and not re.search(awaited, near):
                return True
        return False

    def _code_around(self, offset: int) -> str:
        """Return the code of the innermost function or class around ``offset``."""
        around = self.tree.outline.enclosing(offset)
        return self.code[around[-1].start : around[-1].end] if around else self.code

    def cancelled_names(self, receiver: syntax.BaseExpression) -> set[str]:
        """Return the names of what is cancelled: of the container, if it comes out of one."""
        place = place_of(self.tree, receiver)
        names = {place.name} if place is not None else {last_name(receiver)}
        names |= self._taken_out_of(receiver)
        if isinstance(receiver, syntax.Name):
            for outer in self.tree.ancestors(receiver):
                loops: list[syntax.Node] = [outer]
                if isinstance(outer, _COMPREHENSIONS):
                    loops = [at for at in self.tree.walk(outer) if isinstance(at, syntax.CompFor)]
                for loop in loops:
                    if isinstance(loop, (syntax.For, syntax.CompFor)) and (
                        receiver.value in map(last_name, self.tree.walk(loop.target))
                    ):
                        names |= self._names_held(loop.iter)
                        names |= self._names_copied(loop.iter)
            scope = self.tree.scope[receiver].owner(receiver.value)
            for store in scope.stores.get(receiver.value, ()) if scope is not None else ():
                value = assigned_value(self.tree, store) or _unpacked_value(self.tree, store)
                if isinstance(value, (syntax.Attribute, syntax.Subscript)):
                    names |= self._names_held(value)
                elif value is not None:
                    names |= self._taken_out_of(value)
        return names - {"self", "list", "tuple", "values", ""}

    def _taken_out_of(self, node: syntax.Node) -> set[str]:
        """Return the names of the container that ``node`` takes an element of, or its key.

        These are ``jobs`` of ``self.jobs.pop(key)``, ``poller`` of ``app.pop("poller")``.
        """
        while isinstance(node, syntax.Subscript):
            node = node.value  # self.jobs.popitem()[1]
        if not isinstance(node, syntax.Call) or not isinstance(node.func, syntax.Attribute):
            return set()
        if node.func.attr.value not in CONTAINER_TAKERS:
            return set()
        key = node.args[0].value if node.args else None
        if isinstance(key, syntax.SimpleString) and isinstance(key.evaluated_value, str):
            return {key.evaluated_value}
        return self._names_held(node.func.value)

    def _names_held(self, node: syntax.Node) -> set[str]:
        """Return the names of what ``node`` goes over: without ``items`` of ``jobs.items()``."""
        called = [at.func for at in self.tree.walk(node) if isinstance(at, syntax.Call)]
        inner = [at.value for at in called if isinstance(at, syntax.Attribute)]
        methods = {last_name(at) for at in called}
        return (self._names_in(node) - methods).union(*map(self._names_in, inner))

    def _names_copied(self, node: syntax.Node) -> set[str]:
        """Return the names of what the locals in ``node`` are made of: ``left = list(jobs)``."""
        found: set[str] = set()
        for name in self.tree.walk(node):
            if not isinstance(name, syntax.Name):
                continue
            scope = self.tree.scope[name].owner(name.value)
            if scope is None or scope.kind != "function":
                continue
            for store in scope.stores.get(name.value, ()):
                value = assigned_value(self.tree, store) or _unpacked_value(self.tree, store)
                if value is not None and self._hands_on(value):
                    found |= self._names_held(value)
        return found

    def _hands_on(self, value: syntax.BaseExpression) -> bool:
        """Tell whether ``value`` is, or holds, what it is made of."""
        if isinstance(value, syntax.Call):
            method = last_name(value.func) if isinstance(value.func, syntax.Attribute) else ""
            return method in CONTAINER_TAKERS or (
                self.ownership.names.canonical(self.tree, value.func) in PASS_ON
            )
        if isinstance(value, _COMPREHENSIONS):
            each = self._names_in(value.for_in.target)
            return not each.isdisjoint(self._names_in(value.elt))
        return isinstance(value, (syntax.Attribute, *_DISPLAYS))

    def _names_in(self, node: syntax.Node) -> set[str]:
        """Return the names, attributes and keys that ``node`` is made of."""
        return {
            key_of(inner) if isinstance(inner, syntax.Subscript) else last_name(inner)
            for inner in self.tree.walk(node)
            if isinstance(inner, (syntax.Name, syntax.Attribute, syntax.Subscript))
        }

    def _awaited_after(
        self, function: syntax.FunctionDef, call: syntax.Call, names: set[str]
    ) -> bool:
        """Tell whether the function awaits one of ``names``, or hands it on, after ``call``."""
        names = names | self._filtered(function, names)
        waited, last = self._looked_after(function)
        after = last_in(self.tree, call)
        return waited > after or any(last.get(name, -1) > after for name in names)

    def _looked_after(self, function: syntax.FunctionDef) -> tuple[int, dict[str, int]]:
        """Return where in source order the function last waits for what the tasks may bring about.

        And where it last awaits, or hands on, something of each name.
        """
        known = self._looked_after_in.get(function)
        if known is None:
            tree, waited, last = self.tree, -1, dict[str, int]()
            for node in tree.walk(function.body, into_functions=True):
                at = tree.order.get(node, -1)
                given: syntax.Node | None = None
                if isinstance(node, syntax.Await):
                    given = node
                    if _waits(node) and tree.function_around(node) is function:
                        waited = at
                elif isinstance(node, syntax.Call):
                    given = None if self._lets_alone(node) else node
                elif isinstance(node, (syntax.For, syntax.While)) and any(
                    isinstance(inner, syntax.Await) for inner in tree.walk(node.body)
                ):
                    given = node.iter if isinstance(node, syntax.For) else node.test
                if given is not None:
                    last.update(dict.fromkeys(self._names_in(given), at))
            known = self._looked_after_in[function] = (waited, last)
        return known

    def _lets_alone(self, call: syntax.Call) -> bool:
        """Tell whether a call looks after a task, or at it, without waiting for it."""
        name, holder = last_name(call.func), self.tree.parent[call]
        if name == "pop":
            # Taken out of its container, and thrown away.
            return isinstance(holder, (syntax.Expr, syntax.Attribute))
        if name in ("items", "values", "keys"):
            return isinstance(holder, (syntax.For, syntax.CompFor))
        return name in _LETTING_ALONE or self.ownership.keeps_nothing(call.func)

    def _filtered(self, function: syntax.FunctionDef, names: set[str]) -> set[str]:
        """Return the names that hold some of ``names``: ``left`` of ``left = [t for t in ts]``.

        A list that they are put into holds them as well: ``left.append(self.task)``.
        """
        held = self._held_in.get(function)
        if held is None:
            held = self._held_in[function] = defaultdict(set)
            for name, value in self._values_in(function):
                for other in self._names_held(value):
                    held[other].add(name)
        known, new = set(names), set(names)
        for _ in range(_MAX_DEPTH):
            new = {name for other in new for name in held.get(other, ())} - known
            known |= new
        return known - names

    def _values_in(self, function: syntax.FunctionDef) -> list[tuple[str, syntax.BaseExpression]]:
        """Return the locals of ``function``, each with what it is made of, or is put into it."""
        stores = self.tree.inner[function].stores
        values: list[tuple[str, syntax.BaseExpression]] = [
            (name, value)
            for name, found in stores.items()
            for value in (assigned_value(self.tree, store) for store in found)
            if value is not None and self._hands_on(value)
        ]
        values += [
            (call.func.value.value, arg.value)
            for call in self.tree.calls
            if isinstance(call.func, syntax.Attribute)
            and call.func.attr.value in ADDERS
            and isinstance(call.func.value, syntax.Name)
            and self.tree.function_around(call) is function
            for arg in call.args
        ]
        return values

    def _awaited_elsewhere(self, names: set[str]) -> bool:
        """Tell whether any function of the file awaits an attribute or item of those ``names``."""
        return any(map(self._is_awaited_elsewhere, sorted(names)))

    def _is_awaited_elsewhere(self, name: str) -> bool:
        outline = self.tree.outline
        key = ("awaited elsewhere", name)
        known = outline.answers.get(key)
        if known is None:
            text = re.escape(name)
            known = outline.answers[key] = (
                re.search(rf"\bawait\b[^\n]*(?:\([^)]*)?\.{text}\b(?!\.cancel\b)", self.code)
                is not None
                or re.search(rf"\bawait\b[^\n]*\[[\"']{text}[\"']\](?!\.cancel\b)", outline.source)
                is not None
                # Under another name: `for task in self.tasks: await task`.
                or any(
                    hold.how is How.AWAITED and _is_wait(home, hold.node)
                    for home, use in self.places.uses(Place("attribute", name), self.tree)
                    for hold in self.ownership.of(home).holds(use)
                )
            )
        return known

    # -- TSK205 -----------------------------------------------------------------------------

    def closed_first(self, site: CreationSite) -> list[tuple[Tree, syntax.Call]]:
        """Return the calls that close what the endless worker uses before its owner stops it."""
        worker = self._worker(site) if site.kind == "task" else None
        if worker is None or worker.found is None:
            return []
        used = worker.served_by()
        if not used or not worker.is_endless():
            return []
        found: list[tuple[Tree, syntax.Call]] = []
        for home, stop in self._stops(site):
            function = home.function_around(stop)
            if not isinstance(function, syntax.FunctionDef) or not self._is_end(
                home, function, stop
            ):
                continue
            found += [
                (home, call)
                for call in home.calls
                if home.function_around(call) is function
                and home.order[call] < home.order[stop]
                and self._is_end(home, function, call)
                and isinstance(call.func, syntax.Attribute)
                and call.func.attr.value in _CLOSES
                and last_name(call.func.value) in used
                and _always_both(home, call, stop)
            ]
        return found

    def _stops(self, site: CreationSite) -> Iterator[tuple[Tree, syntax.Node]]:
        """Yield where the file first cancels the task, in each function that does."""
        holds = self.ownership.holds(site.handle)
        stops = [(self.tree, hold.node) for hold in holds if hold.how is How.CANCELLED]
        for hold in holds:
            place = place_of(self.tree, hold.node) if hold.how in _KEPT else None
            if place is None or not (place.of_class or place.kind in ("key", "attribute")):
                continue
            for home, use in self.places.uses(place, self.tree):
                ended = self.ownership.of(home).holds(use)
                stops += [(home, end.node) for end in ended if end.how is How.CANCELLED]
        first: dict[syntax.Node | None, tuple[Tree, syntax.Node]] = {}
        for home, node in sorted(stops, key=lambda stop: stop[0].order[stop[1]]):
            first.setdefault(home.function_around(node), (home, node))
        yield from first.values()

    def _is_end(self, home: Tree, function: syntax.FunctionDef, node: syntax.Node) -> bool:
        """Tell whether ``node`` of ``function`` runs when its owner comes to its end."""
        if _is_closer(function) or stops_application(home, function):
            return True
        application = application_of(home, self.ownership.names, function)
        return (
            application is not None
            and application.yields
            and application.sure
            and any(
                isinstance(item, syntax.Yield) and home.order[item] < home.order[node]
                for item in home.walk(function.body)
            )
        )

    # -- TSK203 -----------------------------------------------------------------------------

    def swallowed(self, site: CreationSite) -> list[tuple[Tree, syntax.Node]]:
        """Return where the spawned coroutine's loops catch a cancellation and go on."""
        call = _call_given(site)
        found = self.coroutine(call) if call is not None else None
        if found is None:
            return []
        tree, function = found
        return [
            (tree, catcher)
            for loop, catcher in swallowers(tree, function)
            if isinstance(loop, syntax.While) and is_endless(loop)
        ]

    # -- TSK301, TSK303 ---------------------------------------------------------------------

    def is_unobserved(self, site: CreationSite, holds: list[Hold]) -> bool:
        """Tell whether the task is held for ever and nobody ever asks for its exception."""
        if site.kind != "task" or not holds or not self._may_fail(site):
            return False
        places = [place_of(self.tree, hold.node) for hold in holds]
        self.ownership.observed.clear()
        self.ownership.holds(site.handle)
        if self._hears(self.ownership) or not all(hold.how is How.STORED for hold in holds):
            return False
        for place in places:
            if place is None or not place.of_class or self.places.is_named(place.name):
                return False
            if self._lets_go(site, place.name):
                return False
            for home, use in self.places.uses(place, self.tree):
                ownership = self.ownership.of(home)
                ownership.observed.clear()
                held = [h.how for h in ownership.holds(use)]
                if any(how not in (How.CANCELLED, How.ALIVE) for how in held):
                    return False
                if self._hears(ownership):
                    return False
        return True

    @staticmethod
    def _hears(ownership: Ownership) -> bool:
        """Tell whether one of the methods that were just seen tells of the task's failure."""
        return any(last_name(call.func) in _HEARING for _, call in ownership.observed)

    def _lets_go(self, site: CreationSite, name: str) -> bool:
        """Tell whether the coroutine itself drops the handle: then the collector reports it."""
        call = _call_given(site)
        found = self.coroutine(call) if call is not None else None
        if found is None:
            return True
        tree, function = found
        return any(
            (isinstance(node, syntax.Del) and last_name(node.target) == name)
            or (
                isinstance(node, syntax.Assign)
                and last_name(node.value) == "None"
                and any(last_name(target.target) == name for target in node.targets)
            )
            for node in tree.walk(function.body)
        )

    def _may_fail(self, site: CreationSite) -> bool:
        """Tell whether the coroutine, as far as it is seen, can end with an exception."""
        call = _call_given(site)
        found = self.coroutine(call) if call is not None else None
        if found is None:
            return False
        return self._can_raise(*found, depth=0)

    def _can_raise(self, tree: Tree, function: syntax.FunctionDef, depth: int) -> bool:
        """Tell whether ``function`` awaits anything that may fail, outside any wide handler."""
        if function.decorators:
            return False  # a decorator may log what its function raises
        nodes = list(tree.walk(function.body))
        if any(isinstance(node, syntax.ExceptHandler) and is_wide(node) for node in nodes):
            return False
        awaited = [node.expression for node in nodes if isinstance(node, syntax.Await)]
        for call in awaited:
            if not isinstance(call, syntax.Call) or last_name(call.func) in _SAFE_TO_AWAIT:
                continue
            helper = find_coroutine(tree, call, self.ownership.parse)
            if helper is None or depth >= _MAX_DEPTH or self._can_raise(*helper, depth=depth + 1):
                return True
        return False

    def is_unnamed(self, site: CreationSite) -> bool:
        """Tell whether ``create_task`` is called without a name."""
        if site.path not in ("asyncio.create_task", "loop.create_task"):
            return False
        if site.kind != "task" or "set_task_factory" in self.code:
            return False
        if any(arg.star == "**" for arg in site.call.args) or self._is_named_later(site):
            return False
        return not any(arg.keyword and arg.keyword.value == "name" for arg in site.call.args)

    def _is_named_later(self, site: CreationSite) -> bool:
        """Tell whether the function calls ``set_name`` of what the task is assigned to."""
        assign = self.tree.parent[site.call]
        function = self.tree.function_around(site.call)
        if not isinstance(assign, (syntax.Assign, syntax.AnnAssign)) or function is None:
            return False
        if "set_name" not in self.code:
            return False
        targets = (
            [target.target for target in assign.targets]
            if isinstance(assign, syntax.Assign)
            else [assign.target]
        )
        names = {last_name(target) for target in targets} - {""}
        return any(
            isinstance(node, syntax.Attribute)
            and node.attr.value == "set_name"
            and last_name(node.value) in names
            for node in self.tree.walk(function)
        )


def _is_closer(function: syntax.FunctionDef) -> bool:
    """Tell whether ``function`` closes its object, by its name: not if it is a user's command."""
    decorators = (item.decorator for item in function.decorators)
    called = (at.func if isinstance(at, syntax.Call) else at for at in decorators)
    return function.name.value in CLOSERS and COMMANDS.isdisjoint(map(last_name, called))


def _call_given(site: CreationSite) -> syntax.Call | None:
    """Return the call whose coroutine ``site`` runs, None if it is given anything else."""
    given = site.given
    return given.value if given is not None and isinstance(given.value, syntax.Call) else None


def _names_behind(
    tree: Tree, function: syntax.FunctionDef
) -> tuple[set[str], set[str]] | tuple[()]:
    """Return the names behind the last ``yield`` of ``function``, and of the ``with`` around it.

    Behind it, what the file's own functions do counts as well. Nothing if there is no ``yield``.
    """
    yields = [jump for jump in tree.jumps(function.body) if isinstance(jump, syntax.Yield)]
    if not yields:
        return ()
    last = yields[-1]
    told = {
        last_name(node)
        for node in tree.walk(function.body, into_functions=True)
        if tree.order.get(node, 0) > tree.order[last]
        and not tree.holds(last, node)
        and not _is_released(tree, node)
    }
    entered = {
        last_name(node)
        for outer in tree.ancestors(last)
        if isinstance(outer, syntax.With)
        for item in outer.items
        for node in tree.walk(item)
    }
    return {*told, *with_helpers(tree, told, last), *_made_together(tree, function, told)}, entered


def _given_names(function: syntax.FunctionDef, call: syntax.Call) -> Iterator[tuple[str, str]]:
    """Yield the parameters of ``function``, and what ``call`` gives for each is called."""
    params = [*function.params.posonly_params, *function.params.params]
    if isinstance(call.func, syntax.Attribute):
        params = params[1:]  # `self`
    for at, arg in enumerate(call.args):
        if arg.keyword is not None:
            yield arg.keyword.value, last_name(arg.value)
        elif at < len(params):
            yield params[at].name.value, last_name(arg.value)


def _made_together(tree: Tree, function: syntax.FunctionDef, names: set[str]) -> set[str]:
    """Return what ``function`` binds together with one of ``names``: ``reader, writer = ...``."""
    found: set[str] = set()
    for node in tree.walk(function.body):
        if isinstance(node, syntax.AssignTarget) and isinstance(node.target, syntax.Tuple):
            bound = {last_name(element.value) for element in node.target.elements}
            found |= bound if bound & names else set()
    return found


def _is_released(tree: Tree, node: syntax.Node) -> bool:
    """Tell whether ``node`` is a lock that is released, which nobody is told by."""
    method = tree.parent[node]
    return isinstance(method, syntax.Attribute) and method.attr.value == "release"


def _unpacked_value(tree: Tree, store: syntax.Name) -> syntax.BaseExpression | None:
    """Return what ``a, b = x, y`` gives to ``store``, or the call that gives both."""
    element = tree.parent[store]
    targets = tree.parent.get(element)
    holder = tree.parent.get(targets) if isinstance(targets, syntax.Tuple) else None
    assign = tree.parent.get(holder) if isinstance(holder, syntax.AssignTarget) else None
    if not isinstance(targets, syntax.Tuple) or not isinstance(assign, syntax.Assign):
        return None
    if isinstance(assign.value, syntax.Call):
        return assign.value
    pairs = zip(targets.elements, getattr(assign.value, "elements", ()), strict=False)
    return next((value.value for target, value in pairs if target is element), None)


def _always_both(tree: Tree, earlier: syntax.Node, later: syntax.Node) -> bool:
    """Tell whether no branch has ``earlier`` but not ``later``, other than for what may be None."""
    blocks = [block for block, _ in tree.blocks(later)]
    for block, _ in tree.blocks(earlier):
        if block in blocks:
            return True
        outer = tree.parent[block]
        if isinstance(outer, (syntax.ExceptHandler, syntax.Else)) or (
            isinstance(outer, syntax.If) and not _asks_presence(outer.test)
        ):
            return False
    return False


def _asks_presence(test: syntax.BaseExpression) -> bool:
    """Tell whether a condition looks only whether something is there (``if self.pool:``)."""
    if isinstance(test, syntax.Comparison):
        return all(
            target.operator == "is not" and last_name(target.comparator) == "None"
            for target in test.comparisons
        )
    return isinstance(test, (syntax.Name, syntax.Attribute)) or (
        isinstance(test, syntax.Call) and last_name(test.func) == "hasattr"
    )


def _takes_out(tree: Tree, use: syntax.BaseExpression) -> bool:
    """Tell whether ``use`` is a container whose ``discard`` is handed on, as a done-callback."""
    method = tree.parent[use]
    return isinstance(method, syntax.Attribute) and method.attr.value in ("discard", "remove")


def _asks_result(node: syntax.Node) -> bool:
    return isinstance(node, syntax.Call) and last_name(node.func) in _RESULTS


def _is_wait(tree: Tree, node: syntax.Node) -> bool:
    """Tell whether what looks after a task waits: ``while tasks:`` may only take them out."""
    if isinstance(node, syntax.While):
        return any(isinstance(inner, syntax.Await) for inner in tree.walk(node.body))
    return not isinstance(node, syntax.Call) or last_name(node.func) not in OBSERVERS


def _waits(node: syntax.Await) -> bool:
    """Tell whether an ``await`` waits for something that the tasks may bring about.

    Several such, or one for a time, are as good: ``gather(self.read.wait(), self.sent.wait())``.
    """
    call = node.expression
    if isinstance(call, syntax.Call) and last_name(call.func) in ("gather", "wait_for"):
        return any(_waits_itself(arg.value) for arg in call.args)
    return _waits_itself(call)


def _waits_itself(call: syntax.BaseExpression) -> bool:
    return isinstance(call, syntax.Call) and last_name(call.func) in ("wait", "join", "wait_closed")

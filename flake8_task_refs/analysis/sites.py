"""Creation sites: the calls of a region that make a task, or an awaitable that holds tasks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.names import assigned_value
from flake8_task_refs.analysis.outline import ANNOTATION
from flake8_task_refs.analysis.sieve import NO_LOOPS
from flake8_task_refs.analysis.syntax import last_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flake8_task_refs.analysis.names import Names
    from flake8_task_refs.analysis.tree import Scope, Tree

CREATORS: Final = frozenset({"asyncio.create_task", "asyncio.ensure_future", "asyncio.Task"})
AGGREGATES: Final = frozenset(
    {
        "asyncio.gather",
        "asyncio.shield",
        "asyncio.run_coroutine_threadsafe",
        "asyncio.wait",
        "asyncio.wait_for",
    }
)
# Of these, what an await gives is what their first argument gives.
_SAME_VALUE: Final = ("asyncio.wait_for", "asyncio.shield")
_CREATOR_NAMES: Final = frozenset(path.rpartition(".")[2] for path in CREATORS)
# A loop of another file, imported itself or with what it is an attribute of.
_LOOP_OF_OTHERS: Final = re.compile(r"\.(?:\w*_)?loop\.create_task\Z")
_AGGREGATE_NAMES: Final = frozenset(path.rpartition(".")[2] for path in AGGREGATES)
# Loop methods that call what they are given and drop what it returns.
SCHEDULERS: Final = frozenset(
    {
        "call_soon", "call_later", "call_at", "call_soon_threadsafe", "add_signal_handler",
        "add_reader", "add_writer", "set_exception_handler",
    }
)  # fmt: skip
# asyncio's servers keep only what they make of a coroutine themselves (asyncio/streams.py). A
# finalizer gives what its function returns to nobody but who calls it by hand.
_OTHER_SCHEDULERS: Final = frozenset(
    {
        "signal.signal", "threading.Timer", "asyncio.start_server", "asyncio.start_unix_server",
        "atexit.register", "weakref.finalize",
    }
)  # fmt: skip
# discord.py and what came of it.
_DISCORD: Final = ("discord", "disnake", "nextcord")
# Qt's bindings for Python, and what runs asyncio on them.
_QT: Final = re.compile(
    r"(?:import|from)[ \t]+(?:PyQt[456]|PySide[26]?|qtpy|qasync|asyncqt|quamash)\b"
)
_OTHER_NAMES: Final = frozenset(path.rpartition(".")[2] for path in _OTHER_SCHEDULERS)
_CONTEXTS: Final = ("contextvars.copy_context", "contextvars.Context")
_CONTEXT_NAME: Final = re.compile(r"(?:\w*_)?(?:ctx|context)\d*\Z", re.IGNORECASE)
MAKES_FUTURE: Final = frozenset({"run_in_executor", "create_future", "wrap_future", "create_task"})
_FUTURE_NAME: Final = re.compile(
    r"(?:\w*_)?(?:fut|futs|future|futures|task|tasks)\d*\Z", re.IGNORECASE
)


@dataclass(frozen=True, eq=False)
class CreationSite:
    """One call that makes tasks.

    ``call`` is what a finding points at; its value is the handle (``kind`` "task"), a container
    of handles ("mapped"), an awaitable that holds them ("aggregate"), or something else because
    a scheduler makes the task later and drops it ("deferred"). ``coroutine`` is its name for
    messages, ``""`` if the source does not tell. ``path`` is the creator's canonical name; it is
    "wrapper" for a function of the file, "list" for one that returns a list of new tasks, "context"
    where the creator is handed to ``context.run``.
    ``awaited`` is the ``await`` of ``call`` where only that gives what the function makes.
    """

    call: syntax.Call
    kind: str
    coroutine: str
    path: str
    awaited: syntax.Await | None = None

    @property
    def handle(self) -> syntax.Call | syntax.Await:
        """The expression whose value is the handle."""
        return self.awaited or self.call

    @property
    def given(self) -> syntax.Arg | None:
        """The argument that is, or makes, what runs."""
        args = self.call.args[int(self.path == "context") :]
        return args[0] if args else None


class Wrapper(NamedTuple):
    """What a function of the file makes and hands on: a task, or an aggregate, by its ``path``.

    It is "list" where that is a list of new tasks, and "wrapper" where it is one task.
    ``fresh`` tells that an aggregate holds coroutines or tasks of its own, whoever calls it;
    ``asynchronous`` that the call has to be awaited for it. ``switches`` are the parameters, by
    name and by position, on which it depends whether that gives anything else: ``wait`` of
    ``if wait: return await work()``.
    """

    path: str
    fresh: bool
    asynchronous: bool
    switches: frozenset[str | int]


class Sites:
    """Finds the creation sites of parsed regions. ``wrappers`` are the file's own spawners."""

    def __init__(self, names: Names, *, may_rename: bool = True) -> None:
        """Use ``names`` to tell asyncio's functions from the user's.

        ``may_rename`` tells whether the file may give any of them another name.
        """
        self.names = names
        self._may_rename = may_rename
        self.wrappers: dict[tuple[str, str], Wrapper] = {}  # by (defined_in its scope, its name)

    @cached_property
    def aliases(self) -> list[str]:
        """The module's own names for creators and aggregates: ``spawn`` of ``as spawn``."""
        if not self.names.settings.task_factories and not self._may_rename:
            return []
        known = CREATORS | AGGREGATES | set(self.names.settings.task_factories)
        return [
            name
            for name in self.names.renamed(self._last_names)
            if self.names.module_origin(name) in known
        ]

    @cached_property
    def _last_names(self) -> frozenset[str]:
        """What creators and aggregates are called, without the module."""
        known = CREATORS | AGGREGATES | set(self.names.settings.task_factories)
        return frozenset(path.rsplit(".", 1)[-1] for path in known)

    @cached_property
    def _module_names(self) -> frozenset[str]:
        return self._last_names | set(self.aliases)

    def find(self, tree: Tree) -> list[CreationSite]:
        """Return the creation sites of ``tree``, in source order."""
        names = self._names_in(tree)
        found = (
            self._site(tree, call, names)
            for call in tree.marked_calls()
            if last_name(call.func) in names
            or any(last_name(arg.value) in names for arg in call.args[:3])
        )
        return [site for site in found if site is not None]

    def _names_in(self, tree: Tree) -> set[str]:
        """Return the last names that a creator or an aggregate may have in ``tree``."""
        names = self._module_names | {name for _, name in self.wrappers}
        grown = True
        while grown:
            more = {new for new, known in tree.renamings if known in names}
            grown = not more <= names
            names |= more
        return set(names)

    def _site(self, tree: Tree, call: syntax.Call, names: set[str]) -> CreationSite | None:
        """Return the site that ``call`` is; ``names`` are the last names that creators may have."""
        path = self.creator(tree, call.func)
        if path is not None:
            if path == "asyncio.ensure_future" and self._is_future(tree, call.args[:1]):
                return None
            first = call.args[0] if call.args else None
            if path == "wrapper" and first is not None and not isinstance(first.value, syntax.Call):
                first = None  # what the wrapper makes of it is not known here
            return CreationSite(call, "task", coroutine_name(first), path)
        path = self.aggregate(tree, call.func)
        if path is not None:
            single = path != "asyncio.gather" and call.args
            return CreationSite(
                call, "aggregate", self._inner_name(tree, call) if single else "", path
            )
        for at, arg in enumerate(call.args[:3]):
            if last_name(arg.value) in names:
                creator = self.creator(tree, arg.value)
                if creator is not None:
                    return self._handed_over(tree, call, at, creator)
        return self._dropped_list(tree, call) or self._made_by_awaiting(tree, call)

    def _dropped_list(self, tree: Tree, call: syntax.Call) -> CreationSite | None:
        """Return the site of ``start_all()``, a statement, if that returns a list of new tasks.

        Of any other call of it, what becomes of the list is not asked.
        """
        wrapper = self.wrapper(tree, call.func)
        if wrapper is None or wrapper.path != "list":
            return None
        outer = tree.parent[call]
        awaited = outer if wrapper.asynchronous and isinstance(outer, syntax.Await) else None
        if wrapper.asynchronous and awaited is None:
            return None
        if not isinstance(tree.parent[awaited or call], syntax.Expr):
            return None
        spawners = self.names.settings.managed_spawners
        if spawners and self.names.matches(tree, call.func, spawners):
            return None
        return CreationSite(call, "mapped", "", "list", awaited)

    def _made_by_awaiting(self, tree: Tree, call: syntax.Call) -> CreationSite | None:
        """Return the site of ``await start()``, if ``async def start()`` hands on what it makes.

        ``await wait_for(start(), 5)`` gives the same.
        """
        awaited, wrapper = tree.parent[call], self.wrapper(tree, call.func)
        while wrapper is not None and isinstance(awaited, syntax.Arg):
            waiter = tree.parent[awaited]
            if not isinstance(waiter, syntax.Call) or waiter.args[0] is not awaited:
                return None
            if self.names.canonical(tree, waiter.func) not in _SAME_VALUE:
                return None
            awaited = tree.parent[waiter]
        if wrapper is None or not wrapper.asynchronous or not isinstance(awaited, syntax.Await):
            return None
        if wrapper.path == "list":
            return None
        given = {arg.keyword.value if arg.keyword else at for at, arg in enumerate(call.args)}
        if wrapper.switches and (wrapper.switches & given or any(arg.star for arg in call.args)):
            return None
        spawners = self.names.settings.managed_spawners
        if spawners and self.names.matches(tree, call.func, spawners):
            return None
        # What the wrapper makes of anything but a coroutine is not known here.
        first = call.args[0] if call.args and isinstance(call.args[0].value, syntax.Call) else None
        kind = "task" if wrapper.path == "wrapper" else "aggregate"
        name = coroutine_name(first) if kind == "task" else ""
        return CreationSite(call, kind, name, wrapper.path, awaited)

    def _handed_over(
        self, tree: Tree, call: syntax.Call, at: int, path: str
    ) -> CreationSite | None:
        """Return the site of a creator that is passed as a callable: map, partial, call_soon."""
        following = call.args[at + 1] if at + 1 < len(call.args) else None
        callee = self.names.canonical(tree, call.func)
        if callee == "builtins.map" and at == 0:
            return CreationSite(call, "mapped", "", path)
        if at == 0 and self.is_context_run(tree, call.func):
            if path == "asyncio.ensure_future" and self._is_future(tree, call.args[1:2]):
                return None
            return CreationSite(call, "task", coroutine_name(following), "context")
        if self.is_scheduler(tree, call.func):
            return CreationSite(call, "deferred", coroutine_name(following), path)
        if callee == "functools.partial" and at == 0:
            outer = tree.parent[tree.parent[call]]
            if (
                isinstance(tree.parent[call], syntax.Arg)
                and isinstance(outer, syntax.Call)
                and (self.is_scheduler(tree, outer.func) or is_done_callback(outer.func))
            ):
                return CreationSite(call, "deferred", coroutine_name(following), path)
        return None

    def creator(self, tree: Tree, func: syntax.Node) -> str | None:
        """Return the canonical name of the task creator that ``func`` is, or None."""
        settings = self.names.settings
        if settings.managed_spawners and self.names.matches(tree, func, settings.managed_spawners):
            return None
        path = self._path_among(tree, func, _CREATOR_NAMES)
        if path in CREATORS:
            return path
        if (path is None or self._may_be_loop(path, func)) and self._is_loop_method(tree, func):
            return "loop.create_task"
        if settings.task_factories and self._is_factory(tree, func, settings.task_factories):
            return "factory"
        wrapper = self.wrapper(tree, func)
        is_one = wrapper is not None and wrapper.path == "wrapper" and not wrapper.asynchronous
        return "wrapper" if is_one else None

    def aggregate(self, tree: Tree, func: syntax.Node) -> str | None:
        """Return the canonical name of the aggregate that ``func`` is or returns, or None."""
        path = self._path_among(tree, func, _AGGREGATE_NAMES)
        if path in AGGREGATES:
            return path
        wrapper = self.wrapper(tree, func)
        if wrapper is None or wrapper.asynchronous or wrapper.path not in AGGREGATES:
            return None
        return wrapper.path

    def _inner_name(self, tree: Tree, call: syntax.Call) -> str:
        """Return how a message names what runs in an aggregate, which may be given a new task."""
        first = call.args[0] if call.args else None
        value = first.value if first is not None else None
        if not isinstance(value, syntax.Call):
            # What a wrapper makes of it is not known here.
            return coroutine_name(first) if self.wrapper(tree, call.func) is None else ""
        path = self.creator(tree, value.func) or self.aggregate(tree, value.func)
        if path is None or path in ("asyncio.gather", "asyncio.wait", "asyncio.wait_for"):
            return coroutine_name(first)
        return self._inner_name(tree, value)

    def _may_be_loop(self, path: str, func: syntax.Node) -> bool:
        """Tell whether ``path``, which is imported, may be the method of an imported loop.

        A module may be called ``loop`` or ``event_loop``, too.
        """
        if not isinstance(func, syntax.Attribute) or not _LOOP_OF_OTHERS.search(path):
            return False
        if isinstance(func.value, syntax.Name) and func.value.value in (
            "loop",
            "_loop",
            "event_loop",
        ):
            return False
        loop = path.rpartition(".")[0]
        return re.search(rf"\bimport[ \t]+{re.escape(loop)}\b", self.names.outline.code) is None

    def _path_among(self, tree: Tree, node: syntax.Node, last_names: frozenset[str]) -> str | None:
        """Return the canonical name of ``node`` where it may end in one of ``last_names``.

        That of an attribute ends as the attribute does, whatever it is an attribute of.
        """
        if isinstance(node, syntax.Attribute) and node.attr.value not in last_names:
            return None
        return self.names.canonical(tree, node)

    def is_context_run(self, tree: Tree, func: syntax.Node) -> bool:
        """Tell whether ``func`` is ``run`` of a context, which returns what its callable does."""
        if not isinstance(func, syntax.Attribute) or func.attr.value != "run":
            return False
        context = func.value
        if isinstance(context, syntax.Call):
            return self.names.canonical(tree, context.func) in _CONTEXTS
        if isinstance(context, syntax.Name):
            scope = tree.scope[context].owner(context.value)
            for store in scope.stores.get(context.value, ()) if scope is not None else ():
                value, note = assigned_value(tree, store), tree.annotation(tree.parent[store])
                said = note or (value.func if isinstance(value, syntax.Call) else None)
                if said is not None:
                    return self.names.canonical(tree, said) in _CONTEXTS
        name = last_name(context)
        other = rf"\b{name}[ \t]*{ANNOTATION}=[ \t]*(?:\w+\.)*(?!Context\b)[A-Z]\w*\("
        return _CONTEXT_NAME.match(name) is not None and not self.names.outline.has(other)

    def is_scheduler(self, tree: Tree, func: syntax.Node) -> bool:
        """Tell whether ``func`` drops what its callable returns: a loop's method, mostly."""
        if isinstance(func, syntax.Attribute) and func.attr.value in SCHEDULERS:
            return True
        return self._path_among(tree, func, _OTHER_NAMES) in _OTHER_SCHEDULERS

    def is_after_play(self, arg: syntax.Arg, call: syntax.Call) -> bool:
        """Tell whether ``arg`` is the ``after`` of a Discord bot's ``play(source, after=...)``.

        It is called at the end, and what it returns is dropped (``AudioPlayer`` of discord.py).
        """
        return (
            arg.keyword is not None
            and arg.keyword.value == "after"
            and isinstance(call.func, syntax.Attribute)
            and call.func.attr.value == "play"
            and self.names.outline.mentions(_DISCORD)
        )

    def is_qt_slot(self, arg: syntax.Arg, call: syntax.Call) -> bool:
        """Tell whether ``call`` connects ``arg`` to Qt's signal: ``button.clicked.connect(arg)``.

        Qt drops what its slots return.
        """
        func, outline = call.func, self.names.outline
        signal = func.value if isinstance(func, syntax.Attribute) else None
        while isinstance(signal, syntax.Subscript):
            signal = signal.value  # box.activated[str]
        return (
            isinstance(signal, syntax.Attribute)
            and isinstance(func, syntax.Attribute)
            and func.attr.value == "connect"
            and call.args[0] is arg
            and any(_QT.match(outline.source, at) for at in outline.imports)
        )

    def _is_loop_method(self, tree: Tree, func: syntax.Node) -> bool:
        """Tell whether ``func`` is ``create_task`` of an event loop, or a local name for it."""
        if isinstance(func, syntax.Name):
            scope = tree.scope[func].owner(func.value)
            stores = scope.stores.get(func.value, ()) if scope is not None else ()
            value = assigned_value(tree, stores[0]) if len(stores) == 1 else None
            return isinstance(value, syntax.Attribute) and self._is_loop_method(tree, value)
        return (
            isinstance(func, syntax.Attribute)
            and func.attr.value == "create_task"
            and last_name(func.value) not in NO_LOOPS
            and self.names.is_loop(tree, func.value)
        )

    def _is_factory(self, tree: Tree, func: syntax.Node, factories: tuple[str, ...]) -> bool:
        if isinstance(func, syntax.Name) and self.names.outline.top_level(func.value):
            return func.value in factories or any(f.endswith(f".{func.value}") for f in factories)
        return self.names.matches(tree, func, factories)

    def wrapper(self, tree: Tree, func: syntax.Node) -> Wrapper | None:
        """Return what the file's own function ``func`` makes and hands on, if it does so."""
        if not self.wrappers:
            return None
        if isinstance(func, syntax.Name):
            where = defined_in(tree.scope[func].owner(func.value))
            return self.wrappers.get((where, func.value))
        if not isinstance(func, syntax.Attribute) or not isinstance(func.value, syntax.Name):
            return None
        name = func.value.value
        if name in ("self", "cls"):
            around = tree.class_around(func)
            if around is None:
                return None
            return self.wrappers.get((defined_in(tree.inner[around]), func.attr.value))
        found = self.wrappers.get((name, func.attr.value))
        owner = tree.scope[func.value].owner(name) if found is not None else None
        if owner is not None and owner.kind != "module":
            return None
        classes = self.names.outline.top_level(name) if found is not None else ()
        return found if [c.kind for c in classes] == ["class"] else None

    def _is_future(self, tree: Tree, given: Sequence[syntax.Arg]) -> bool:
        """Tell whether ``ensure_future`` is ``given`` a future, which it returns unchanged."""
        if not given:
            return False
        value: syntax.Node = given[0].value
        if isinstance(value, syntax.Name):
            scope = tree.scope[value].owner(value.value)
            stores = scope.stores.get(value.value, ()) if scope is not None else ()
            # What is made of it here, under its own name, says nothing of what it is before.
            made = [
                item
                for store in stores
                for item in _values(tree, store)
                if item is not None and not tree.holds(item, value)
            ]
            if any(
                isinstance(item, syntax.Call) and self._makes_future(tree, item) for item in made
            ):
                return True
            if any(_annotated_future(tree, store) for store in stores):
                return True
            if any(isinstance(item, syntax.Call) for item in made):
                return False
        if isinstance(value, (syntax.Name, syntax.Attribute)):
            text = value.attr.value if isinstance(value, syntax.Attribute) else value.value
            return _FUTURE_NAME.match(text) is not None
        return isinstance(value, syntax.Call) and self._makes_future(tree, value)

    def _makes_future(self, tree: Tree, call: syntax.Call) -> bool:
        if isinstance(call.func, syntax.Attribute) and call.func.attr.value in MAKES_FUTURE:
            return True
        if isinstance(call.func, syntax.Attribute) and self._is_tornado(tree, call.func.value):
            return True
        if last_name(call.func) == "run" and call.args and self.creator(tree, call.args[0].value):
            return True
        path = self.creator(tree, call.func) or self.names.canonical(tree, call.func)
        return path is not None and (
            path in CREATORS or path in ("asyncio.wrap_future", "asyncio.Future")
        )

    def _is_tornado(self, tree: Tree, node: syntax.Node) -> bool:
        """Tell whether ``node`` is an object of Tornado's, whose methods return futures."""
        if isinstance(node, syntax.Name):
            scope = tree.scope[node].owner(node.value)
            stores = scope.stores.get(node.value, ()) if scope is not None else ()
            made = [assigned_value(tree, store) for store in stores]
            if any(
                isinstance(item, syntax.Call) and self._is_tornado(tree, item.func) for item in made
            ):
                return True
        if isinstance(node, syntax.Call):
            return self._is_tornado(tree, node.func)
        path = self.names.canonical(tree, node)
        return path is not None and path.startswith("tornado.")


def _values(tree: Tree, store: syntax.Name) -> list[syntax.BaseExpression | None]:
    """Return what ``store`` may be bound to: of a loop, the items that it is seen to go through."""
    loop = tree.parent[store]
    if not isinstance(loop, (syntax.For, syntax.CompFor)):
        return [assigned_value(tree, store)]
    through: syntax.BaseExpression | None = loop.iter
    if isinstance(through, syntax.Name):
        scope = tree.scope[through].owner(through.value)
        stores = scope.stores.get(through.value, ()) if scope is not None else ()
        through = assigned_value(tree, stores[0]) if len(stores) == 1 else None
    if isinstance(through, (syntax.ListComp, syntax.SetComp, syntax.GeneratorExp)):
        return [through.elt]
    if isinstance(through, (syntax.List, syntax.Tuple, syntax.Set)):
        return [element.value for element in through.elements]
    return []


def _annotated_future(tree: Tree, store: syntax.Name) -> bool:
    note = tree.annotation(tree.parent[store])
    return note is not None and re.search(r"\b(?:Future|Task)\b", tree.code_of(note)) is not None


def defined_in(scope: Scope | None) -> str:
    """Return the qualified name of ``scope`` as ``__qualname__`` has it, ``""`` for the module."""
    parts: list[str] = []
    while scope is not None:
        if isinstance(scope.node, syntax.ClassDef):
            parts.append(scope.node.name.value)
        elif isinstance(scope.node, syntax.FunctionDef):
            parts.append(f"{scope.node.name.value}.<locals>")
        scope = scope.parent
    return ".".join(reversed(parts))


def is_done_callback(func: syntax.Node) -> bool:
    """Tell whether ``func`` is a future's ``add_done_callback``."""
    return isinstance(func, syntax.Attribute) and func.attr.value == "add_done_callback"


def running(tree: Tree, site: CreationSite) -> str:
    """Return how a message names what ``site`` runs.

    Of a local that is bound once, to a call, that is the call: ``coro = work()``.
    """
    value = site.given.value if site.given is not None else None
    while isinstance(value, syntax.Call) and value.args:
        value = value.args[0].value  # of a task that a shield is given
    if not isinstance(value, syntax.Name) or value.value != site.coroutine:
        return site.coroutine
    # To ask for a name may take another look at the function.
    source, start, end = tree.outline.source, tree.region.start, tree.region.end
    if all(source.find(f"{value.value}{sign}", start, end) < 0 for sign in (" = ", ": ")):
        return site.coroutine
    scope = tree.scope[value].owner(value.value)
    if scope is not tree.scope[value].function or scope.kind != "function":
        return site.coroutine
    stores = scope.stores.get(value.value, ())
    made = assigned_value(tree, stores[0]) if len(stores) == 1 else None
    if not isinstance(made, syntax.Call):
        return site.coroutine
    return coroutine_name(syntax.Arg(None, made)) or site.coroutine


def coroutine_name(arg: syntax.Arg | None) -> str:
    """Return how a message names the coroutine in ``arg``: ``work()``, ``coro`` or ``""``."""
    value = arg.value if arg is not None else None
    suffix = ""
    if isinstance(value, syntax.Call):
        value, suffix = value.func, "()"
    if isinstance(value, syntax.Attribute):
        return value.attr.value + suffix
    return value.value + suffix if isinstance(value, syntax.Name) else ""

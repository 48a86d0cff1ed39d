"""A container that keeps its tasks for good: it gets the callback that takes them out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.syntax import is_name, last_name
from flake8_task_refs.analysis.tree import last_small
from flake8_task_refs.fix.container_uses import (
    home_of,
    is_counted,
    is_truth_test,
    is_wait,
    length_of,
    uses_of,
    whole,
)
from flake8_task_refs.fix.contract import Context, Plan
from flake8_task_refs.fix.source import body_of, dotted, last_part, statement_expression
from flake8_task_refs.fix.task_names import task_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flake8_task_refs.analysis.tree import Scope
    from flake8_task_refs.fix.edits import Edit
    from flake8_task_refs.fix.repair_sites import Site
    from flake8_task_refs.fix.source import SourceFile, Statement

    # What a container is called, and what it belongs to.
    _Container: TypeAlias = tuple[str, Scope | syntax.ClassDef | None]

_DISCARDS: Final = {"add": "discard", "append": "remove"}

OTHER_STORE: Final = (
    "the task is stored in another way than by add(), append() or under a key: "
    "take it out when it is done"
)
CHANGING_KEY: Final = (
    "the key of this task may be another by the time the task is done: take it out when it is done"
)
ASKED_LATER: Final = (
    "the container is asked for tasks that are done: decide when a result is no longer needed"
)
CHANGED_MEANWHILE: Final = (
    "a loop over the container awaits, and fails or skips tasks if one is taken out meanwhile: "
    "loop over a copy, list(...), first"
)
COUNTED: Final = (
    "the container is counted with len(), and the number would fall as tasks are done: decide "
    "which of them count"
)
SHOWN: Final = (
    "the container is read for more than to end its tasks, and those that are done would be "
    "missing there: decide when they may go"
)
LOOKED_UP: Final = (
    "the container is read under a key that it would not have any more once the task is done: read "
    "it with get(), and take the task out when it is done"
)
UNGUARDED: Final = (
    "asyncio.wait() fails for a container that is empty, as it will be once its tasks are done: "
    "ask first whether there are any"
)
USED_ELSEWHERE: Final = (
    "another file may use this container, and would miss the tasks that are done: decide when they "
    "may go"
)
_FILLING: Final = frozenset(
    {"add", "append", "appendleft", "extend", "insert", "setdefault", "update"}
)
_RESULTS: Final = frozenset({"result", "exception"})


@dataclass(frozen=True, slots=True)
class _Store:
    """The statement that puts a task into ``container``: by ``method``, or under ``key``.

    A ``key`` of None without a method is the task itself.
    """

    statement: Statement
    container: str
    method: str = ""
    key: syntax.BaseExpression | None = None


class GrowingContainers:
    """Registers the callback that takes a task out, next to where it is stored."""

    def __init__(self, context: Context) -> None:
        """Repair in ``context``."""
        self._context = context
        self._uses_of: dict[_Container, list[syntax.Node]] = {}
        # The uses of which there is something to say, and that.
        self._readers: dict[_Container, list[tuple[syntax.Node, str]]] = {}
        self._is_unguarded: dict[_Container, bool] = {}

    def accepts(self, site: Site) -> bool:
        """Take every task that its container keeps for good."""
        return site.code == "TSK101"

    def plan(self, sites: Sequence[Site]) -> Plan:
        """Add the callbacks."""
        found = Plan()
        for site in sites:
            direct = self._store(site.call) if site.function is not None else None
            store = direct or self._later_store(site)
            if store is None:
                found.decline([site], OTHER_STORE)
            elif store.key is not None and self._is_bound_anew(site, store.key):
                found.decline([site], CHANGING_KEY)
            elif self._is_asked_later(store):
                found.decline([site], ASKED_LATER)
            elif reason := self._read_otherwise(store) or self._unguarded(store):
                found.decline([site], reason)
            elif self._is_used_elsewhere(store):
                found.decline([site], USED_ELSEWHERE)
            else:
                found.edits += self._edits(site, store, split=store is direct)
                found.fixed.append(site.finding)
        return found

    def _store(self, node: syntax.Node) -> _Store | None:
        """Return what stores ``node``, a task, if that is all that its statement does."""
        file = self._context.file
        statement = file.statement(node)
        small = statement_expression(statement) if statement is not None else None
        if statement is None or small is None:
            return None
        if isinstance(small, syntax.Expr):
            call = small.value
            if not isinstance(call, syntax.Call) or not isinstance(call.func, syntax.Attribute):
                return None
            method, container = last_name(call.func), dotted(call.func.value)
            if method in _DISCARDS and container and [arg.value for arg in call.args] == [node]:
                return _Store(statement, container, method=method)
            return None
        if not isinstance(small, syntax.Assign) or len(small.targets) != 1:
            return None
        target = small.targets[0].target
        if not isinstance(target, syntax.Subscript) or len(target.slice) != 1:
            return None
        index, container = target.slice[0].slice, dotted(target.value)
        if not container or not isinstance(index, syntax.Index):
            return None
        if small.value is node:
            return _Store(statement, container, key=index.value)
        return _Store(statement, container) if index.value is node else None

    def _later_store(self, site: Site) -> _Store | None:
        """Return the statement that stores the local task in the function of ``site``."""
        if site.form != "assign" or site.function is None:
            return None
        file = self._context.file
        after = file.span(site.call).end
        for node in self._context.tree.walk(site.function):
            if isinstance(node, syntax.Name) and node.value == site.target:
                store = self._store(node)
                if store is not None and file.span(node).start > after:
                    return store
        return None

    def _is_asked_later(self, store: _Store) -> bool:
        """Tell whether a function takes tasks from the container and looks at what became of them.

        Whether they are done is also asked before they are cancelled.
        """
        file, name = self._context.file, last_part(store.container)
        for function in file.functions():
            if file.within(store.statement, function):
                continue
            mentioned = False
            called: set[str] = set()
            for node in file.inside(function.body):
                mentioned |= isinstance(node, syntax.Name) and node.value == name
                if isinstance(node, syntax.Call):
                    called.add(last_name(node.func))
            looks = called & _RESULTS or ("done" in called and "cancel" not in called)
            if mentioned and looks:
                return True
        return False

    def _read_otherwise(self, store: _Store) -> str:
        """Return why a reader of the container would miss tasks that are taken out, or ``""``."""
        file, container = self._context.file, self._container(store)
        # Of a container that is filled in a thousand places, each reader is looked at once.
        if container not in self._readers:
            reasons = ((use, self._reason(use, is_own=False)) for use in self._uses_of[container])
            self._readers[container] = [(use, reason) for use, reason in reasons if reason]
        reading = (
            self._reason(use, is_own=True) if file.within(use, store.statement) else reason
            for use, reason in self._readers[container]
        )
        return next(filter(None, reading), "")

    def _container(self, store: _Store) -> _Container:
        """Return what tells the container of ``store`` from all others, whose uses are known."""
        file, name, near = self._context.file, store.container, store.statement
        container = (name, home_of(file, name, near))
        if container not in self._uses_of:
            self._uses_of[container] = uses_of(file, name, near)
        return container

    def _reason(self, use: syntax.Node, *, is_own: bool) -> str:
        """Return why who reads at ``use`` would miss what is taken out, or ``""``.

        ``is_own`` tells that it is the statement that stores the task.
        """
        file = self._context.file
        if is_counted(file, use):
            return COUNTED
        tasks, copied = whole(file, use)
        holder = file.parent(tasks)
        is_looped = isinstance(holder, (syntax.For, syntax.CompFor)) and holder.iter is tasks
        if is_looped and not copied and self._awaits(holder):
            return CHANGED_MEANWHILE
        is_read = isinstance(holder, syntax.Subscript) and holder.value is tasks
        if is_read and not _fills(file, use) and not is_own:
            return LOOKED_UP
        if not (
            is_own
            or _fills(file, use)
            or self._ends_tasks(use)
            or is_truth_test(file, length_of(file, use) or use)
        ):
            return SHOWN
        if any(map(self._is_heard, self._waits_for(use))) or self._each_is_heard(holder):
            return ASKED_LATER
        return ""

    def _waits_for(self, use: syntax.Node) -> Iterator[syntax.Call]:
        """Yield the calls that wait for the container at ``use``, or for a local that is a copy."""
        file, tree = self._context.file, self._context.tree
        tasks, copied = whole(file, use)
        holder = file.parent(tasks)
        given = [tasks]
        if copied and isinstance(holder, syntax.Assign) and len(holder.targets) == 1:
            name = holder.targets[0].target
            if isinstance(name, syntax.Name):
                given += tree.scope[name].uses(name.value)
        for one in given:
            arg = file.parent(one)
            call = file.parent(arg)
            if isinstance(arg, syntax.Arg) and isinstance(call, syntax.Call) and is_wait(call):
                yield call

    def _is_heard(self, wait: syntax.Call) -> bool:
        """Tell whether somebody hears by ``wait`` what became of tasks that are done by then."""
        name, file = last_name(wait.func), self._context.file
        keeps_quiet = name == "wait" or any(
            arg.keyword is not None
            and arg.keyword.value == "return_exceptions"
            and not is_name(arg.value, "False")
            for arg in wait.args
        )
        statement = file.statement(wait)
        small = statement_expression(statement) if statement is not None else None
        return not keeps_quiet or not isinstance(small, syntax.Expr)

    def _each_is_heard(self, loop: syntax.Node) -> bool:
        """Tell whether ``loop``, over the tasks, awaits each, and says what became of it."""
        if not isinstance(loop, syntax.For):
            return False
        tree = self._context.tree
        for node in tree.walk(loop.body):
            if not isinstance(node, syntax.Await) or dotted(node.expression) != dotted(loop.target):
                continue
            around = next((at for at in tree.ancestors(node) if isinstance(at, syntax.Try)), None)
            handlers = around.handlers if around is not None else ()
            if not handlers or not all(_only_passes(handler) for handler in handlers):
                return True
        return False

    def _unguarded(self, store: _Store) -> str:
        """Return why a reader of the container would fail once it is empty, or ``""``."""
        container = self._container(store)
        if container not in self._is_unguarded:
            canonical = self._context.names.canonical
            self._is_unguarded[container] = any(
                canonical(wait.func) == "asyncio.wait" and not self._is_guarded(wait)
                for use in self._uses_of[container]
                for wait in self._waits_for(use)
            )
        return UNGUARDED if self._is_unguarded[container] else ""

    def _is_guarded(self, wait: syntax.Call) -> bool:
        """Tell whether ``wait`` is reached only if there are tasks, and at once."""
        tree, file = self._context.tree, self._context.file
        given = {dotted(node) for node in file.inside(wait.args[0].value)} - {""}
        for block, statement in tree.blocks(wait):
            holder = tree.parent[block]
            earlier = [st for st in getattr(block, "body", ()) if st is not statement]
            earlier = [st for st in earlier if file.span(st).start < file.span(wait).start]
            awaits = [
                st for st in earlier if any(isinstance(at, syntax.Await) for at in file.inside(st))
            ]
            for guard in earlier:
                if (
                    isinstance(guard, syntax.If)
                    and self._asks_for(guard.test, given)
                    and isinstance(last_small(guard.body), (syntax.Return, syntax.Raise))
                    and not any(file.span(st).start > file.span(guard).start for st in awaits)
                ):
                    return True
            if awaits:
                return False
            if (
                isinstance(holder, (syntax.If, syntax.While))
                and holder.body is block
                and self._asks_for(holder.test, given)
            ):
                return True
        return False

    def _asks_for(self, test: syntax.BaseExpression, given: set[str]) -> bool:
        return any(dotted(at) in given for at in self._context.file.inside(test))

    def _awaits(self, loop: syntax.Node) -> bool:
        """Tell whether ``loop`` waits in between, so that tasks may be done meanwhile."""
        body = loop.body if isinstance(loop, syntax.For) else loop
        while isinstance(body, syntax.CompFor):
            body = self._context.file.parent(body)
        return any(
            isinstance(node, syntax.Await)
            or (isinstance(node, (syntax.For, syntax.With, syntax.CompFor)) and node.asynchronous)
            for node in self._context.tree.walk(body)
        )

    def _ends_tasks(self, use: syntax.Node) -> bool:
        """Tell whether the function around ``use`` cancels tasks or waits for them."""
        file = self._context.file
        function = file.function(use)
        return function is not None and any(
            isinstance(node, syntax.Call) and (last_name(node.func) == "cancel" or is_wait(node))
            for node in file.inside(function)
        )

    def _is_used_elsewhere(self, store: _Store) -> bool:
        """Tell whether another file may use the container of an instance, or of the module."""
        owner, _, name = store.container.rpartition(".")
        settings = self._context.settings
        if owner == "self":
            around = self._context.tree.class_around(store.statement)
            return around is not None and settings.is_asked_for(around.name.value, name)
        return not owner and self._is_the_modules(store) and settings.is_taken(name)

    def _is_the_modules(self, store: _Store) -> bool:
        """Tell whether the container is a name of the module, and no local."""
        scope = self._context.tree.scope[store.statement].owner(store.container)
        return scope is not None and scope.kind == "module"

    def _is_bound_anew(self, site: Site, key: syntax.BaseExpression) -> bool:
        """Tell whether a name in ``key`` may mean something else by the time the task is done."""
        tree = self._context.tree
        names = [node for node in tree.walk(key) if isinstance(node, syntax.Name)]
        if names and self._context.judge.ownership.flow.loops(site.call):
            return True
        for node in names:
            scope = tree.scope[node].owner(node.value)
            stores = scope.stores.get(node.value, ()) if scope is not None else ()
            if scope is not None and scope.kind == "module" and len(stores) > 1:
                return True
            if any(tree.order[store] > tree.order[site.call] for store in stores):
                return True
        return False

    def _edits(self, site: Site, store: _Store, *, split: bool) -> list[Edit]:
        """Return the edits; ``split`` makes the creation a statement of its own first."""
        writer, file = self._context.writer, self._context.file
        indent, comment = file.indent(store.statement), writer.comment_after(store.statement)
        task, made = site.target, list[str]()
        if split:
            task = task_name(self._context, site)
            made = writer.layout.best(f"{task} = {writer.with_name(site)}", indent, comment)
        key, bound = file.code(store.key) if store.key is not None else "", list[str]()
        if store.key is not None and not isinstance(store.key, (syntax.Name, syntax.SimpleString)):
            # What is computed is computed once.
            local = self._context.locals.free("key", site.call)
            bound = writer.layout.best(f"{local} = {key}", indent)
            key = local
        put = f"{store.container}.{store.method}({task})"
        if store.key is not None:
            put = f"{store.container}[{key}] = {task}"
        release = self._release(store, key, site, task)
        if split:
            first, rest = made, [*bound, *writer.layout.best(put, indent), *release]
        elif bound:
            first, rest = [*bound, *writer.layout.best(put, indent, comment)], release
        else:
            return [writer.insert_after(store.statement, release)]
        return [
            writer.replace(file.span(store.statement), first, indent),
            writer.insert_after(store.statement, rest),
        ]

    def _release(self, store: _Store, key: str, site: Site, task: str) -> list[str]:
        """Return the lines that have ``task`` taken out when it is done."""
        layout, indent = self._context.writer.layout, self._context.file.indent(store.statement)
        if store.method:
            callback = f"{store.container}.{_DISCARDS[store.method]}"
            return layout.best(f"{task}.add_done_callback({callback})", indent)
        if store.key is None:
            callback = f"lambda done: {store.container}.pop(done, None)"
            return layout.best(f"{task}.add_done_callback({callback})", indent)
        asyncio = self._context.additions.module("asyncio")
        kind = self._context.additions.annotation(f"{asyncio}.Task[object]")
        forget, step = self._context.locals.free("forget", site.call), layout.step
        # Another task may have the key by then.
        return [
            "",
            f"{indent}def {forget}(done: {kind}) -> None:",
            f"{indent}{step}if {store.container}.get({key}) is done:",
            f"{indent}{step * 2}del {store.container}[{key}]",
            "",
            *layout.best(f"{task}.add_done_callback({forget})", indent),
        ]


def _only_passes(handler: syntax.ExceptHandler) -> bool:
    """Tell whether ``handler`` does nothing at all."""
    return all(
        isinstance(small, (syntax.Pass, syntax.Continue))
        for statement in body_of(handler)
        for small in (
            statement.body if isinstance(statement, syntax.SimpleStatementLine) else [statement]
        )
    )


def _fills(file: SourceFile, use: syntax.Node) -> bool:
    """Tell whether the container at ``use`` is made, or something is put into it."""
    holder = file.parent(use)
    if isinstance(holder, syntax.Attribute):
        return holder.attr.value in _FILLING
    if isinstance(holder, syntax.Subscript):
        holder = file.parent(holder)
    return isinstance(
        holder, (syntax.AnnAssign, syntax.AssignTarget, syntax.AugAssign, syntax.NameItem)
    )

"""Every task of a source, faults or not: who holds it, who ends it, who hears its errors.

The rules speak of faults; the survey tells the same analysis's answers for each creation site. A
handle is followed by ``ownership`` to its holders, and from each place that keeps it to every use
of that place in the file: what awaits or cancels it there ends it, what asks for its result or is
called back when it is done hears its errors.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import groups, syntax
from flake8_task_refs.analysis.callbacks import Callbacks
from flake8_task_refs.analysis.cancellation import is_wide
from flake8_task_refs.analysis.check import Module
from flake8_task_refs.analysis.effects import (
    ADDERS,
    CONTAINER_NEUTRAL,
    CONTAINER_TAKERS,
    LOG_METHODS,
)
from flake8_task_refs.analysis.finding import TOO_COMPLEX, SourceError
from flake8_task_refs.analysis.lifetime import is_main
from flake8_task_refs.analysis.micropython import is_micropython
from flake8_task_refs.analysis.noqa import unsilenced
from flake8_task_refs.analysis.outline import normalise_newlines
from flake8_task_refs.analysis.ownership import How
from flake8_task_refs.analysis.places import Place, Places, place_of
from flake8_task_refs.analysis.sieve import may_create_tasks, mentions, word_offsets
from flake8_task_refs.analysis.syntax import dotted_text, last_name
from flake8_task_refs.analysis.task import End, Holder, Listener, Survey, Task
from flake8_task_refs.analysis.workflows import runs_in_workflow
from flake8_task_refs.options import Settings

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from flake8_task_refs.analysis.finding import Finding
    from flake8_task_refs.analysis.ownership import Hold, Ownership
    from flake8_task_refs.analysis.sites import CreationSite
    from flake8_task_refs.analysis.tree import Tree
    from flake8_task_refs.analysis.verdict import Judge, Verdict


def survey_source(source: str, settings: Settings | None = None) -> Survey:
    """Return every task that ``source`` creates. Arguments are those of ``check_source``.

    Left out are ``await asyncio.gather(...)`` and its like, which wait where they stand, and
    calls of other objects' ``create_task`` that no option names. Raises ``SourceError`` if
    ``source`` mentions a task but is not valid Python.
    """
    settings = settings or Settings()
    try:
        return _survey(normalise_newlines(source), settings)
    except RecursionError:
        raise SourceError(TOO_COMPLEX) from None


def _survey(text: str, settings: Settings) -> Survey:
    offsets = mentions(text, settings).offsets if may_create_tasks(text, settings) else []
    others = groups.may_start(text) + _spawner_mentions(text, settings)
    if not offsets and not others:
        return Survey()
    module = Module(text, settings)
    verdicts = module.verdicts(offsets)
    findings = sorted(verdicts)
    if not settings.disable_noqa:
        findings = unsilenced(findings, text)
    surveyor = _Surveyor(module, {finding: verdicts[finding] for finding in findings})
    drafts: dict[tuple[int, int], _Draft] = {}
    for tree in module.trees(sorted({*offsets, *others})):
        for draft in surveyor.drafts(tree):
            drafts.setdefault((draft.line, draft.column), draft)
    tasks = [surveyor.finished(drafts[at]) for at in sorted(drafts)]
    told = {finding for task in tasks for finding in task.findings}
    rest = tuple(finding for finding in findings if finding not in told)
    return Survey(tuple(task for task in tasks if _is_told(task)), rest)


def _spawner_mentions(text: str, settings: Settings) -> list[int]:
    """Return where ``text`` mentions the last name of one of the managed spawners."""
    names = {glob.rpartition(".")[2] for glob in settings.managed_spawners}
    return [at for name in names if name.isidentifier() for at in word_offsets(text, name)]


def _is_told(task: Task) -> bool:
    """Tell whether a task belongs into the survey: aggregates do if they make tasks, or fail."""
    if task.kind != "aggregate" or task.findings:
        return True
    makes_tasks = task.creator.endswith(("gather", "run_coroutine_threadsafe"))
    return makes_tasks and bool(task.held_by)  # else its tasks have other owners


@dataclass
class _Draft:
    """What is found out about one task so far. ``spots`` are the places findings may point at."""

    tree: Tree
    call: syntax.Call
    handle: syntax.Node  # the expression whose value the task is: the call, or the await of it
    kind: str
    line: int
    column: int
    coroutine: str
    name: str = ""
    endless: bool | None = None
    in_sight: bool = True
    lasting: bool = False  # a local that lives on
    taken_out: bool = False  # of its container, by a callback
    held_by: dict[Holder, None] = field(default_factory=dict)
    ended_by: set[End] = field(default_factory=set)
    heard_by: set[Listener] = field(default_factory=set)
    spots: set[tuple[int, int]] = field(default_factory=set)


_ENDING: Final = (How.AWAITED, How.CANCELLED)
_RESULTS: Final = ("result", "exception")
_TAKERS: Final = ("discard", "remove", "pop")
# What is known of an object that this file does not make.
_APPLICATION: Final = ("app", "application", "state", "_")
_MAX_TEXT: Final = 60
# The holders of a handle whose further life this file does not show.
_OUT_OF_SIGHT: Final = ("returned", "passed", "unclear")


class _Surveyor:
    """Finds out about the tasks of one file."""

    def __init__(self, module: Module, findings: dict[Finding, list[Verdict]]) -> None:
        self.module = module
        self.findings = findings
        self.places = Places(module.outline, module.helper)
        # What holds every task of the file.
        self.keeper: Holder | None = None
        if module.keeps_every_task():
            self.keeper = Holder("factory", "set_task_factory", "")
        elif is_micropython(module.outline):
            self.keeper = Holder("loop", "MicroPython", "")

    def drafts(self, tree: Tree) -> list[_Draft]:
        """Return the tasks that the region ``tree`` creates."""
        judge = self.module.judge
        found = [
            self._drafted(judge(tree), site)
            for site in self.module.sites_in(tree)
            if not (site.kind == "aggregate" and isinstance(tree.parent[site.handle], syntax.Await))
            or judge(tree).ownership.is_left_behind(site.call)
            # What is dropped, and only gathers tasks of others, is held by these.
            if site.path != "asyncio.ensure_future"
            or not judge(tree).is_of_others(site)
            or judge(tree).ownership.holds(site.handle)
        ]
        found += [self._in_group(judge(tree), call, at) for call, at in groups.started(tree)]
        spawners = self.module.settings.managed_spawners
        if spawners:
            found += [
                self._managed(judge(tree), call)
                for call in tree.calls
                if self.module.names.matches(tree, call.func, spawners)
            ]
        return found

    def finished(self, draft: _Draft) -> Task:
        """Return the task of ``draft``."""
        return Task(
            line=draft.line,
            column=draft.column,
            function=_around(draft.tree, draft.call),
            kind=draft.kind,
            creator=_code(draft.tree, draft.call.func),
            coroutine=draft.coroutine,
            name=draft.name,
            endless=draft.endless,
            in_sight=draft.in_sight,
            held_by=tuple(draft.held_by),
            ended_by=tuple(sorted(draft.ended_by)),
            heard_by=tuple(sorted(draft.heard_by)),
            findings=tuple(f for f in self.findings if self._speaks_of(f, draft)),
        )

    def _speaks_of(self, finding: Finding, draft: _Draft) -> bool:
        """Tell whether ``finding`` is about the task, or about what is done with it somewhere."""
        sites = [verdict.site for verdict in self.findings[finding]]
        return (finding.line, finding.column) in draft.spots or any(
            site is not None and site.call is draft.call for site in sites
        )

    # -- one task ---------------------------------------------------------------------------

    def _draft(
        self, judge: Judge, call: syntax.Call, kind: str, coroutine: syntax.Arg | None
    ) -> _Draft:
        tree = judge.ownership.tree
        line, column = tree.position(call)
        draft = _Draft(tree, call, call, kind, line, column, _coroutine(tree, coroutine))
        draft.name = next(
            (_text(tree, arg.value) for arg in call.args if arg.keyword and _is_name(arg)), ""
        )
        draft.spots.add((line, column))
        made = coroutine.value if coroutine is not None else None
        if isinstance(made, syntax.Call):
            self._follow_coroutine(judge, draft, made)
        return draft

    def _follow_coroutine(self, judge: Judge, draft: _Draft, made: syntax.Call) -> None:
        """Note a handler that the coroutine itself has for its errors."""
        found = judge.lifecycle.coroutine(made)
        if found is None:
            return
        tree, function = found
        for node in tree.walk(function.body):
            if isinstance(node, syntax.ExceptHandler) and is_wide(node) and not _raises(tree, node):
                draft.heard_by.add(Listener(*_spot(tree, node), "handler", function.name.value))

    def _in_group(self, judge: Judge, call: syntax.Call, group: syntax.Node) -> _Draft:
        tree = judge.ownership.tree
        draft = self._draft(judge, call, "group", call.args[0] if call.args else None)
        receiver = call.func.value if isinstance(call.func, syntax.Attribute) else call.func
        draft.held_by[Holder("group", _code(tree, receiver), _around(tree, group))] = None
        draft.ended_by.add(End(*_spot(tree, group), "group"))
        draft.heard_by.add(Listener(*_spot(tree, group), "group"))
        return draft

    def _managed(self, judge: Judge, call: syntax.Call) -> _Draft:
        tree = judge.ownership.tree
        draft = self._draft(judge, call, "managed", call.args[0] if call.args else None)
        draft.held_by[Holder("passed", _callee(tree, call), _around(tree, call))] = None
        draft.in_sight = False
        return draft

    def _drafted(self, judge: Judge, site: CreationSite) -> _Draft:
        tree, args = judge.ownership.tree, site.call.args
        given = site.given if site.kind in ("task", "aggregate") else None
        draft = self._draft(judge, site.call, site.kind, given)
        draft.handle = site.handle
        draft.coroutine = draft.coroutine or site.coroutine
        if site.path == "asyncio.gather":
            draft.coroutine = ", ".join(_coroutine(tree, arg) for arg in args if not arg.keyword)
        if site.kind == "task":
            made = given.value if given is not None else None
            seen = isinstance(made, syntax.Call) and judge.lifecycle.coroutine(made) is not None
            endless = judge.lifecycle.is_endless(site)
            draft.endless = endless if endless or seen else None
        if self.keeper is not None:
            draft.held_by[self.keeper] = None
        elif runs_in_workflow(self.module.names, tree, site):
            draft.held_by[Holder("loop", "Temporal", "")] = None
        elif judge.is_over_at_once(site) and not judge.ownership.holds(site.handle):
            draft.held_by[Holder("loop", "asyncio", "")] = None
        elif judge.ownership.turns.waits_for_all(site.call):
            draft.held_by[Holder("local", "all_tasks()", _around(tree, site.call))] = None
        elif judge.lifecycle.is_told_behind_its_yield(site):
            here = _around(tree, site.call)
            draft.held_by[Holder("local", _bound(tree, site.handle), here)] = None
        if site.kind != "deferred":
            self._follow(judge, draft, judge.holds_of_itself(site))
        draft.in_sight &= not any(holder.kind in _OUT_OF_SIGHT for holder in draft.held_by)
        return draft

    def _follow(self, judge: Judge, draft: _Draft, own: Sequence[tuple[Tree, Hold]]) -> None:
        """Note the holders of the handle, and what its function and its places do with it.

        ``own`` are those that the coroutine gives its task to.
        """
        ownership = judge.ownership
        left = draft.kind == "aggregate" and ownership.is_left_behind(draft.handle)
        holds = ownership.holds(draft.handle) if not left else []
        draft.in_sight &= not _is_wrapped(draft)
        places: list[tuple[Tree, Place]] = []
        for hold in holds:
            self._note(ownership, ownership.tree, hold, draft, places)
        for home, hold in own:
            self._note(ownership.of(home), home, hold, draft, places)
        self._note_observed(ownership, draft)
        seen: set[tuple[str, str, str]] = set()
        for tree, place in places:
            key = (place.kind, place.name, place.owner)
            if key not in seen:
                seen.add(key)
                self._look_up(tree, place, draft)
        if _is_let_go(draft) and not draft.heard_by:
            draft.heard_by.add(Listener(*_spot(ownership.tree, draft.call), "collector"))

    def _look_up(self, tree: Tree, place: Place, draft: _Draft) -> None:
        """Note what the file does with what it finds at ``place``."""
        if place.kind == "attribute" and self.places.is_named(place.name):
            draft.in_sight = False
        known = set(draft.ended_by)
        for home, use in self.places.uses(place, tree):
            ownership = self.module.judge(home).ownership
            for hold in ownership.holds(use):
                if hold.how is How.PASSED:
                    draft.in_sight &= self._note_passed(ownership, home, hold, draft, None)
                elif hold.how in _ENDING or _is_dunder_await(hold.node):
                    self._note(ownership, home, hold, draft, None)
                elif hold.how is not How.ALIVE and not _is_same(home, hold.node, place):
                    draft.in_sight = False  # somebody else gets it
            self._note_observed(ownership, draft)
        # What the function does to the place before it starts the task is for the one before.
        here = _around(draft.tree, draft.call)
        for end in draft.ended_by - known:
            if end.function == here and (end.line, end.column) < (draft.line, draft.column):
                draft.ended_by -= {end}
                draft.ended_by |= {replace(end, kind="replaced")}

    # -- notes ------------------------------------------------------------------------------

    def _note(
        self,
        ownership: Ownership,
        tree: Tree,
        hold: Hold,
        draft: _Draft,
        places: list[tuple[Tree, Place]] | None,
    ) -> None:
        """Note one hold; with ``places``, its holder as well, and where it can be found again."""
        node = hold.node
        if hold.how is How.CANCELLED:
            draft.ended_by.add(End(*_spot(tree, node), "cancelled"))
            draft.spots.add(tree.position(node))
        elif hold.how is How.AWAITED or _is_dunder_await(node):
            self._note_await(ownership, tree, node, draft)
        if places is None:
            return
        inside = _around(tree, node)
        if hold.how in _ENDING or hold.how is How.ALIVE:
            here = _around(draft.tree, draft.call)
            draft.held_by[Holder("local", _bound(draft.tree, draft.handle), here)] = None
        if hold.how in _ENDING:
            return
        if hold.how is How.ALIVE:
            draft.lasting = True
            function = tree.function_around(node)
            if isinstance(function, syntax.FunctionDef) and is_main(tree, function):
                spot = *tree.position(function.name), _around(tree, function, inclusive=True)
                draft.ended_by.add(End(*spot, "runner"))
        elif hold.how in (How.STORED, How.CONTAINER):
            self._note_place(tree, hold, draft, places)
        elif hold.how is How.PASSED:
            if not self._note_passed(ownership, tree, hold, draft, places):
                callee = _callee(tree, node)
                draft.held_by[Holder("passed", callee, inside)] = None
        elif hold.how is How.CAPTURED:
            draft.held_by[Holder("captured", _code(tree, node), inside)] = None
            for deeper in ownership.holds(node):
                self._note(ownership, tree, deeper, draft, None)
        elif hold.how is How.RETURNED:
            draft.held_by[Holder("returned", "", inside)] = None
        else:
            draft.held_by[Holder("unclear", "", inside)] = None

    def _note_place(
        self, tree: Tree, hold: Hold, draft: _Draft, places: list[tuple[Tree, Place]]
    ) -> None:
        place = place_of(tree, hold.node)
        if place is None:
            draft.held_by[Holder("unclear", "", _around(tree, hold.node))] = None
            return
        contained = hold.how is How.CONTAINER
        kind = "container" if contained else "attribute"
        if place.kind in ("variable", "local") and not contained:
            kind = "variable"
        owner = place.owner.removesuffix(".")
        if place.scope is not None and isinstance(place.scope.node, syntax.FunctionDef):
            owner = _around(tree, place.scope.node, inclusive=True)
            stores = place.scope.stores.get(place.name, ())
            # Whose container a parameter is, the caller knows.
            draft.in_sight &= not any(
                isinstance(tree.parent[store], syntax.Param) for store in stores
            )
        if place.kind == "attribute" and not place.of_class and not _is_application(place.owner):
            draft.in_sight = False
        name = _code(tree, hold.node) if place.kind != "key" else f"{owner}[{place.name!r}]"
        draft.held_by[Holder(kind, name, owner)] = None
        places.append((tree, place))

    def _note_passed(
        self,
        ownership: Ownership,
        tree: Tree,
        hold: Hold,
        draft: _Draft,
        places: list[tuple[Tree, Place]] | None,
    ) -> bool:
        """Note what a call does with a handle it is given; tell whether the file shows it."""
        call = hold.node
        for arg in call.args if isinstance(call, syntax.Call) else ():
            if last_name(arg.value) == "cancel":
                draft.ended_by.add(End(*_spot(tree, call), "cancelled"))
        inner = ownership.inside.get(call)
        if inner is None:
            return False
        for home, deeper in inner:
            if deeper.how is How.RETURNED and isinstance(call, syntax.Call):
                for after in ownership.holds(call):
                    self._note(ownership, tree, after, draft, places)
            else:
                self._note(ownership, home, deeper, draft, places)
        return True

    def _note_await(
        self, ownership: Ownership, tree: Tree, node: syntax.Node, draft: _Draft
    ) -> None:
        spot = _spot(tree, node)
        name = last_name(node.func) if isinstance(node, syntax.Call) else ""
        if name in _RESULTS:
            draft.heard_by.add(Listener(*spot, "result"))
            return
        draft.ended_by.add(End(*spot, "awaited"))
        if name == "wait" and isinstance(node, syntax.Call):
            self._note_wait(ownership, tree, node, draft)
        elif (
            not isinstance(node, syntax.While) and name != "done" and not _drops_errors(tree, node)
        ):
            draft.heard_by.add(Listener(*spot, "awaited"))

    def _note_wait(
        self, ownership: Ownership, tree: Tree, call: syntax.Call, draft: _Draft
    ) -> None:
        """Note who looks at the tasks that ``asyncio.wait``, which raises nothing, has waited for.

        Where its value is not taken apart, somebody may look.
        """
        outer = tree.parent[call]
        if isinstance(outer, syntax.Await) and isinstance(tree.parent[outer], syntax.Expr):
            return
        done = ownership.done_of(call) if tree is ownership.tree else None
        if done is None or any(hold.how is not How.ALIVE for hold in done):
            draft.heard_by.add(Listener(*_spot(tree, call), "result"))

    def _note_observed(self, ownership: Ownership, draft: _Draft) -> None:
        """Note the methods that were called on the followed handles, and keep nothing."""
        for tree, call in list(ownership.observed):
            name = last_name(call.func)
            if name in _RESULTS:
                draft.heard_by.add(Listener(*_spot(tree, call), "result"))
            elif name == "wait":
                draft.ended_by.add(End(*_spot(tree, call), "awaited"))
                self._note_wait(ownership, tree, call, draft)
            elif name == "set_name" and call.args and not draft.name:
                draft.name = _text(tree, call.args[0].value)
            elif name == "add_done_callback" and call.args:
                draft.spots.add(tree.position(call))
                callback = call.args[0].value
                draft.taken_out |= self._calls(tree, callback, _TAKERS)
                if self._may_hear(tree, callback):
                    name = _callee(tree, _unwrapped(callback))
                    listener = Listener(*_spot(tree, call), "callback", name)
                    draft.heard_by.add(listener)

    def _may_hear(self, tree: Tree, callback: syntax.BaseExpression) -> bool:
        """Tell whether a done-callback asks for the exception or logs, or is not of this file."""
        callback = _unwrapped(callback)
        if last_name(callback) in CONTAINER_NEUTRAL | CONTAINER_TAKERS | {"set", "cancel"}:
            return False
        _, body = self._body(tree, callback)
        return body is None or self._calls(tree, callback, {*_RESULTS, *LOG_METHODS})

    def _calls(self, tree: Tree, callback: syntax.BaseExpression, names: Collection[str]) -> bool:
        """Tell whether a callback is, or calls, a method of one of ``names``."""
        callback = _unwrapped(callback)
        home, body = self._body(tree, callback)
        return last_name(callback) in names or (
            body is not None
            and any(
                isinstance(node, syntax.Call) and last_name(node.func) in names
                for node in home.walk(body)
            )
        )

    def _body(self, tree: Tree, callback: syntax.BaseExpression) -> tuple[Tree, syntax.Node | None]:
        """Return the body of a callback of this file, and the tree that it is in."""
        if isinstance(callback, syntax.Lambda):
            return tree, callback.body
        found = Callbacks(self.module.judge(tree).ownership).function(callback)
        return (found.tree, found.function.body) if found is not None else (tree, None)


def _around(tree: Tree, node: syntax.Node, *, inclusive: bool = False) -> str:
    """Return the dotted functions and classes around ``node``."""
    around = [node, *tree.ancestors(node)] if inclusive else tree.ancestors(node)
    names = [
        at.name.value for at in around if isinstance(at, (syntax.FunctionDef, syntax.ClassDef))
    ]
    return ".".join(reversed(names))


def _spot(tree: Tree, node: syntax.Node) -> tuple[int, int, str]:
    """Return line, column and function of ``node``, as a report says them."""
    return *tree.position(node), _around(tree, node)


def _code(tree: Tree, node: syntax.Node) -> str:
    """Return the source of ``node`` on one line, cut where it is long."""
    text = " ".join(tree.layout.code(node).split())
    return text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT - 1]}…"


def _text(tree: Tree, node: syntax.BaseExpression) -> str:
    """Return what a string constant says, the source of anything else."""
    value = node.evaluated_value if isinstance(node, syntax.SimpleString) else None
    return value if isinstance(value, str) else _code(tree, node)


def _callee(tree: Tree, node: syntax.Node) -> str:
    """Return what ``node`` calls, or names, as the source writes it."""
    return _code(tree, node.func if isinstance(node, syntax.Call) else node)


def _coroutine(tree: Tree, arg: syntax.Arg | None) -> str:
    """Return how the survey names the coroutine in ``arg``: ``self.poll()``, ``coro`` or ``""``."""
    if arg is None:
        return ""
    value, suffix = arg.value, ""
    if isinstance(value, syntax.Call):
        value, suffix = value.func, "()"
    return f"{dotted_text(value) or last_name(value) or _code(tree, value)}{suffix}"


def _is_name(arg: syntax.Arg) -> bool:
    return arg.keyword is not None and arg.keyword.value == "name"


def _bound(tree: Tree, call: syntax.Node) -> str:
    """Return the local that the creating statement puts the handle into, or binds it to."""
    statement = tree.statement_of(call)
    for outer in tree.ancestors(call):
        if outer is statement:
            break
        if isinstance(outer, syntax.Call) and isinstance(outer.func, syntax.Attribute):
            return _code(tree, outer.func.value) if outer.func.attr.value in ADDERS else ""
        targets: list[syntax.BaseExpression] = []
        if isinstance(outer, syntax.Assign):
            targets = [target.target for target in outer.targets]
        elif isinstance(outer, (syntax.AnnAssign, syntax.NamedExpr)):
            targets = [outer.target]
        elif isinstance(outer, syntax.Await):
            return ""
        for target in targets:
            root = target.value if isinstance(target, syntax.Subscript) else target
            if isinstance(root, syntax.Name):
                return root.value
    return ""


def _is_application(owner: str) -> bool:
    """Tell whether an object is an application or its state, which the file looks after."""
    return owner.partition(".")[0] in _APPLICATION


def _raises(tree: Tree, handler: syntax.ExceptHandler) -> bool:
    """Tell whether a handler lets the exception go on."""
    return any(isinstance(node, syntax.Raise) for node in tree.walk(handler.body))


def _drops_errors(tree: Tree, node: syntax.Node) -> bool:
    """Tell whether ``node`` is a ``gather`` whose exceptions are returned, and nobody looks."""
    if not isinstance(node, syntax.Call):
        return False
    returned = any(
        arg.keyword is not None
        and arg.keyword.value == "return_exceptions"
        and last_name(arg.value) == "True"
        for arg in node.args
    )
    outer = tree.parent[node]
    return (
        returned and isinstance(outer, syntax.Await) and isinstance(tree.parent[outer], syntax.Expr)
    )


def _is_let_go(draft: _Draft) -> bool:
    """Tell whether nothing holds the task once it is done: asyncio then logs what it raised."""
    kinds = {held.kind for held in draft.held_by}
    return (
        bool(kinds)
        and kinds <= {"local", "container"}
        and not draft.lasting
        and (draft.taken_out or "container" not in kinds)
    )


def _unwrapped(callback: syntax.BaseExpression) -> syntax.BaseExpression:
    """Return the function that a ``partial`` calls."""
    if (
        isinstance(callback, syntax.Call)
        and last_name(callback.func) == "partial"
        and callback.args
    ):
        return callback.args[0].value
    return callback


def _is_wrapped(draft: _Draft) -> bool:
    """Tell whether not the handle itself is kept, but a ``partial`` of a function that gets it."""
    outer = draft.tree.parent[draft.tree.parent[draft.call]]
    return isinstance(outer, syntax.Call) and last_name(outer.func) == "partial"


def _is_same(tree: Tree, node: syntax.Node, place: Place) -> bool:
    """Tell whether ``node`` names ``place`` again: ``tasks = [t for t in tasks if ...]``."""
    other = place_of(tree, node) if node in tree.parent else None
    return other is not None and (other.kind, other.name) == (place.kind, place.name)


def _is_dunder_await(node: syntax.Node) -> bool:
    return isinstance(node, syntax.Call) and last_name(node.func) == "__await__"

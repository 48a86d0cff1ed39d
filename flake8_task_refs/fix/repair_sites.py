"""What is to be repaired where: a finding's call, its statement, and how its handle is used."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.outline import ANNOTATION
from flake8_task_refs.analysis.syntax import last_name
from flake8_task_refs.fix.source import SourceFile, Statement, dotted, statement_expression

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flake8_task_refs.analysis.finding import Finding
    from flake8_task_refs.analysis.names import Names
    from flake8_task_refs.analysis.outline import Outline
    from flake8_task_refs.analysis.sites import CreationSite
    from flake8_task_refs.analysis.verdict import Verdict

_ON_THE_TASK: Final = frozenset({"add_done_callback", "set_name"})
GATHERED: Final = "gathered"
_COMBINATORS: Final = frozenset({"asyncio.wait_for", "asyncio.shield"})
# Methods by which a container takes a task.
TAKING: Final = frozenset({"add", "append", "insert", "put_nowait", "setdefault"})
# A file that puts another function in the creator's place, or knows tasks by asyncio's own names.
_OTHER_CREATOR: Final = re.compile(
    r"\.create_task\s*=(?!=)|[\"'][\w.]*\basyncio\.create_task[\"']"
    r"|\basyncio,\s*[\"']create_task[\"']|[\"']Task-"
)
_SHOWING: Final = ("locals()", "vars()", "dir()")
_NAMED_CREATORS: Final = frozenset({"asyncio.create_task", "asyncio.Task"})


@dataclass(frozen=True, eq=False, slots=True)
class Site:
    """Where a finding is.

    ``call`` is what the finding points at. ``form`` says what its statement does with the
    handle: ``discard`` (``create_task(...)`` or ``_ = create_task(...)`` alone on its line),
    ``chain`` (``create_task(...).set_name(...)``), ``assign`` (``name = create_task(...)``;
    ``target`` is the name; of a task that only wants an end, it may be an attribute or an item)
    or ``expression``. An argument of ``gather(...)`` is ``gathered``: a task for it is made only by
    the repair, and ``call`` is the coroutine. ``made`` is the creation site, if the rule speaks of
    one.
    """

    finding: Finding
    call: syntax.Call
    form: str
    statement: Statement | None
    function: syntax.FunctionDef | syntax.Lambda | None
    target: str
    made: CreationSite | None

    @property
    def code(self) -> str:
        """The rule that speaks."""
        return self.finding.code

    @property
    def is_handed_over(self) -> bool:
        """Whether ``call`` is given the creator, and makes no task itself."""
        return self.made is not None and self.made.kind in ("deferred", "mapped")

    @property
    def coroutine(self) -> syntax.BaseExpression | None:
        """The first argument: what runs as the task."""
        if self.form == GATHERED:
            return self.call
        return self.call.args[0].value if self.call.args else None


def site_of(file: SourceFile, finding: Finding, verdict: Verdict) -> Site | None:
    """Return the site of a finding, ``None`` if its rule does not speak of a call."""
    call = verdict.node
    if not isinstance(call, syntax.Call):
        return None
    statement = file.statement(call)
    form, target = form_of(file, call, statement)
    if finding.code == "TSK201" and form == "expression":
        target = _slot(file, call, statement)
        form = "assign" if target else form
    return Site(finding, call, form, statement, file.function(call), target, verdict.site)


def form_of(file: SourceFile, call: syntax.Call, statement: Statement | None) -> tuple[str, str]:
    """Return the form of a creation site, and its target."""
    small = statement_expression(statement) if statement else None
    if small is None or not isinstance(file.function(call), syntax.FunctionDef):
        return "expression", ""
    if file.method_class(call) is not None:
        return "expression", ""
    if file.brackets(call):
        return "expression", ""
    if isinstance(small, syntax.Expr):
        if small.value is call:
            return "discard", ""
        outer = small.value
        if (
            isinstance(outer, syntax.Call)
            and isinstance(outer.func, syntax.Attribute)
            and outer.func.value is call
            and outer.func.attr.value in _ON_THE_TASK
            and not file.brackets(outer)
        ):
            return "chain", ""
    if isinstance(small, syntax.Assign) and small.value is call and len(small.targets) == 1:
        name = dotted(small.targets[0].target)
        if name == "_":
            return "discard", ""
        if name.isidentifier():
            return "assign", name
    if (
        isinstance(small, syntax.AnnAssign)
        and small.value is call
        and dotted(small.target).isidentifier()
    ):
        return "assign", dotted(small.target)
    return "expression", ""


def _slot(file: SourceFile, call: syntax.Call, statement: Statement | None) -> str:
    """Return ``a.b`` or ``a["b"]`` where ``statement`` puts the value of ``call`` there and then.

    It can be read again at once, for the same value.
    """
    small = statement_expression(statement) if statement else None
    targets: list[syntax.BaseExpression] = []
    if isinstance(small, syntax.Assign) and small.value is call:
        targets = [item.target for item in small.targets]
    elif isinstance(small, syntax.AnnAssign) and small.value is call:
        targets = [small.target]
    if len(targets) != 1 or file.brackets(call):
        return ""
    target = slot = targets[0]
    if isinstance(slot, syntax.Subscript) and len(slot.slice) == 1:
        index = slot.slice[0].slice
        key = index.value if isinstance(index, syntax.Index) else None
        if not isinstance(key, syntax.SimpleString) and not dotted(key):
            return ""
        slot = slot.value
    span = file.span(target)
    return file.text[span.start : span.end] if dotted(slot) else ""


def has_handle(file: SourceFile, site: Site) -> bool:
    """Tell whether ``site.target`` is the task of ``site`` as long as anybody can ask for it.

    Nothing else of the file gives it another value, or takes it away.
    """
    if site.code != "TSK201" or site.form != "assign":
        return False
    tree, outline = file.tree, file.tree.outline
    last = re.escape(re.split(r"[.\[]", site.target)[-1].removesuffix("]").strip())
    before, after = r"(?<![\w.])", ""
    if site.target.endswith("]"):
        before, after = r"\[\s*", r"\s*\]"
    elif "." in site.target:
        before = r"\.\s*"
    elif site.function is not None:
        scope = tree.inner[site.function].owner(site.target)
        if scope is not None and scope.kind == "function":
            return len(scope.stores[site.target]) == 1
    given = [
        match.start()
        for match in re.finditer(rf"{before}{last}{after}[ \t]*{ANNOTATION}=(?!=)", outline.source)
        if outline.is_code(match.start())
        # What the module and an __init__ say is the value to begin with.
        and any(d.kind == "def" and d.name != "__init__" for d in outline.enclosing(match.start()))
    ]
    taken = rf"\bdel\b[^\n]*{before}{last}|\.pop\([^\n]*{last}"
    return len(given) == 1 and re.search(taken, outline.source) is None


def is_returned(file: SourceFile, site: Site) -> bool:
    """Tell whether the statement of ``site`` returns the task, and nothing else."""
    small = statement_expression(site.statement) if site.statement is not None else None
    return (
        isinstance(small, syntax.Return)
        and small.value is site.call
        and not file.brackets(site.call)
    )


def is_declared_future(file: SourceFile, site: Site) -> bool:
    """Tell whether the function declares the handle of ``site`` to be a future, and no more.

    A type checker lets nobody put it into a set of tasks.
    """
    if site.form != "assign" or site.function is None:
        return False
    stores = file.tree.inner[site.function].stores.get(site.target, ())
    declared = (getattr(file.parent(store), "annotation", None) for store in stores)
    return any(
        note is not None and re.search(r"\bFuture\b", file.code(note.annotation))
        for note in declared
    )


def names_task(file: SourceFile, site: Site, node: syntax.Node) -> bool:
    """Tell whether ``node`` is, or holds, the name by which a task that wants an end is kept."""
    return site.code == "TSK201" and any(
        file.code(inner) == site.target
        for inner in file.inside(node)
        if isinstance(inner, (syntax.Name, syntax.Attribute, syntax.Subscript))
    )


def is_collected(file: SourceFile, site: Site) -> bool:
    """Tell whether a task that wants an end is put into a container, or handed to something."""
    if site.code != "TSK201":
        return False
    if site.function is None or site.form != "assign":
        return site.form == "expression"
    return any(
        isinstance(node, syntax.Call)
        and isinstance(node.func, syntax.Attribute)
        and node.func.attr.value in TAKING
        and any(file.code(arg.value) == site.target for arg in node.args)
        for node in file.inside(site.function)
    )


# They run what they are given in a thread.
_IN_THREADS: Final = ("asyncio.to_thread", "anyio.to_thread.run_sync")


def named_callee(file: SourceFile, names: Names, site: Site) -> str:
    """Return the dotted name of the coroutine function that ``site`` runs, or ``""``.

    ``self.run`` of a class ``Server`` gives ``Server.run``, ``self.pool.run`` gives ``pool.run``.
    What a combinator (``wait_for``) runs counts, not the combinator; a variable
    that holds a function says nothing about which.
    """
    coroutine = site.coroutine
    while isinstance(coroutine, syntax.Call):
        if names.canonical(file.tree, coroutine.func) not in _COMBINATORS or not coroutine.args:
            break
        coroutine = coroutine.args[0].value
    if not isinstance(coroutine, syntax.Call):
        return ""
    callee = coroutine.func
    if names.canonical(file.tree, callee) in _IN_THREADS and coroutine.args:
        callee = coroutine.args[0].value
    if _is_variable(file, callee):
        return ""
    path = dotted(callee)
    head, _, rest = path.partition(".")
    if head not in {"self", "cls"} or not rest:
        return path
    around = file.tree.class_around(site.call)
    return f"{around.name.value}.{rest}" if around is not None and "." not in rest else rest


def _is_variable(file: SourceFile, callee: syntax.BaseExpression) -> bool:
    """Tell whether ``callee`` is a parameter or a local, and no function that is defined here."""
    if not isinstance(callee, syntax.Name):
        return False
    scope = file.tree.scope[callee].owner(callee.value)
    if scope is None or scope.kind == "module":
        return False
    stores = scope.stores.get(callee.value, ())
    return any(not isinstance(file.parent(store), syntax.FunctionDef) for store in stores)


@lru_cache(maxsize=1)  # the sites of a file come one after another
def _has_other_creator(outline: Outline) -> bool:
    return _OTHER_CREATOR.search(outline.source) is not None


def may_be_named(file: SourceFile) -> bool:
    """Tell whether tasks of ``file`` may get a name: nothing there makes or knows them otherwise.

    A task factory with two arguments fails on a name.
    """
    code = file.tree.outline.code
    return "set_task_factory" not in code and not _has_other_creator(file.tree.outline)


def takes_name(file: SourceFile, names: Names, site: Site) -> bool:
    """Tell whether ``name=`` can be added to the creating call, and isn't there yet."""
    if site.made is None or not may_be_named(file):
        return False
    if site.coroutine is None or site.call.args[0].keyword or site.call.args[0].star:
        return False
    if any(not arg.keyword or arg.keyword.value == "name" for arg in site.call.args[1:]):
        return False
    if site.made.path in _NAMED_CREATORS:
        return True
    if site.made.path != "loop.create_task" or last_name(site.call.func) != "create_task":
        return False
    receiver = site.call.func.value if isinstance(site.call.func, syntax.Attribute) else None
    return receiver is not None and names.is_asyncio_loop(file.tree, receiver)


def shows_locals(file: SourceFile, function: syntax.FunctionDef) -> bool:
    """Tell whether ``function`` hands all of its locals on, and one more would be seen."""
    return file.tree.outline.mentions(_SHOWING) and any(
        isinstance(node, syntax.Call) and not node.args and f"{dotted(node.func)}()" in _SHOWING
        for node in file.inside(function)
    )


def by_statement(sites: Sequence[Site]) -> list[list[Site]]:
    """Group ``sites`` by the statement they stand in; one that has none stands alone."""
    groups: dict[syntax.Node, list[Site]] = defaultdict(list)
    for site in sites:
        groups[site.statement or site.call].append(site)
    return list(groups.values())

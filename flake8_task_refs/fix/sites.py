"""A finding's place in the tree: the creating call, its statement, and how its handle is used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import libcst as cst

from flake8_task_refs.fix.names import FileNames, last_name_of
from flake8_task_refs.fix.source import SourceFile, Statement, dotted, statement_expression

if TYPE_CHECKING:
    from flake8_task_refs.analysis.finding import Finding

_TASK_CALLS: Final = frozenset({"create_task", "ensure_future", "Task"})
_AGGREGATES: Final = frozenset({"gather", "shield", "run_coroutine_threadsafe", "wait", "wait_for"})
_ON_THE_TASK: Final = frozenset({"add_done_callback", "set_name"})
_SCHEDULERS: Final = frozenset(
    {"call_soon", "call_soon_threadsafe", "call_later", "call_at", "add_signal_handler"}
)


@dataclass(frozen=True, eq=False, slots=True)
class Site:
    """Where a task is made.

    ``form`` says what the statement does with the handle: ``discard`` (``create_task(...)`` or
    ``_ = create_task(...)`` alone on its line), ``chain`` (``create_task(...).set_name(...)``),
    ``assign`` (``name = create_task(...)``; ``target`` is the name) or ``expression``.
    """

    finding: Finding
    call: cst.Call
    form: str
    statement: Statement | None
    function: cst.FunctionDef | cst.Lambda | None
    target: str = ""

    @property
    def coroutine(self) -> cst.BaseExpression | None:
        """The first argument: what runs as the task."""
        return self.call.args[0].value if self.call.args else None


def locate(file: SourceFile, names: FileNames, finding: Finding) -> Site | None:
    """Return the site of ``finding``, or ``None`` if no creating call begins there."""
    offset = file.offset(finding.line, finding.column - 1)
    call = _creating(names, file.calls_at(offset))
    if call is None:
        return None
    statement = file.statement(call)
    form, target = _form(file, call, statement)
    return Site(finding, call, form, statement, file.function(call), target)


def _creating(names: FileNames, calls: list[cst.Call]) -> cst.Call | None:
    """Choose among the calls that begin at one place: ``a().create_task(..).set_name(..)``."""
    for wanted in (_SCHEDULERS, _TASK_CALLS, _AGGREGATES):
        for call in calls:
            if last_name_of(call.func) in wanted:
                return call
            origin = names.canonical(call.func)
            if origin.startswith("asyncio.") and origin.rpartition(".")[2] in wanted:
                return call
    plain = [call for call in calls if last_name_of(call.func) not in _ON_THE_TASK]
    return plain[0] if plain else None


def is_scheduler(call: cst.Call) -> bool:
    """Tell whether ``call`` hands ``create_task`` over to be called later."""
    return last_name_of(call.func) in _SCHEDULERS


def _form(file: SourceFile, call: cst.Call, statement: Statement | None) -> tuple[str, str]:
    small = statement_expression(statement) if statement else None
    if small is None or not isinstance(file.function(call), cst.FunctionDef):
        return "expression", ""
    if file.method_class(call) is not None:
        return "expression", ""
    if call.lpar:
        return "expression", ""
    if isinstance(small, cst.Expr):
        if small.value is call:
            return "discard", ""
        outer = small.value
        if (
            isinstance(outer, cst.Call)
            and isinstance(outer.func, cst.Attribute)
            and outer.func.value is call
            and outer.func.attr.value in _ON_THE_TASK
            and not outer.lpar
        ):
            return "chain", ""
    if isinstance(small, cst.Assign) and small.value is call and len(small.targets) == 1:
        name = dotted(small.targets[0].target)
        if name == "_":
            return "discard", ""
        if name.isidentifier():
            return "assign", name
    if (
        isinstance(small, cst.AnnAssign)
        and small.value is call
        and dotted(small.target).isidentifier()
    ):
        return "assign", dotted(small.target)
    return "expression", ""


def named_callee(file: SourceFile, site: Site) -> str:
    """Return the dotted name of the coroutine function that ``site`` calls, or ``""``.

    For a method of ``self`` that is the class's: ``self.run`` of a class ``Server`` gives
    ``Server.run``.
    """
    coroutine = site.coroutine
    if not isinstance(coroutine, cst.Call):
        return ""
    path = dotted(coroutine.func)
    head, dot, rest = path.partition(".")
    if head in {"self", "cls"}:
        for outer in file.ancestors(site.call):
            if isinstance(outer, cst.ClassDef):
                return f"{outer.name.value}{dot}{rest}"
    return path


def takes_name(file: SourceFile, names: FileNames, site: Site) -> bool:
    """Tell whether ``name=`` can be added to the creating call, and isn't there yet."""
    if "set_task_factory" in names.calls or last_name_of(site.call.func) == "ensure_future":
        return False
    if site.coroutine is None or site.call.args[0].keyword or site.call.args[0].star:
        return False
    if any(not arg.keyword or arg.keyword.value == "name" for arg in site.call.args[1:]):
        return False
    origin = names.canonical(site.call.func)
    if origin in {"asyncio.create_task", "asyncio.tasks.create_task", "asyncio.Task"}:
        return True
    return last_name_of(site.call.func) == "create_task" and _is_asyncio_loop(file, names, site)


def _is_asyncio_loop(file: SourceFile, names: FileNames, site: Site) -> bool:
    """Tell whether the receiver comes from ``asyncio`` for certain, not only by its name."""
    receiver = site.call.func.value if isinstance(site.call.func, cst.Attribute) else None
    if isinstance(receiver, cst.Call):
        return _makes_loop(names, receiver)
    if not isinstance(receiver, cst.Name) or site.function is None:
        return False
    stores = [
        node.value
        for node in file.inside(site.function)
        if isinstance(node, cst.Assign)
        and any(dotted(target.target) == receiver.value for target in node.targets)
    ]
    return bool(stores) and all(
        isinstance(value, cst.Call) and _makes_loop(names, value) for value in stores
    )


def _makes_loop(names: FileNames, call: cst.Call) -> bool:
    return names.canonical(call.func) in {
        "asyncio.get_running_loop",
        "asyncio.get_event_loop",
        "asyncio.new_event_loop",
    }

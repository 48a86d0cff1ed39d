"""How long the locals of a function live: not long, but for a few kinds of function."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.applications import may_be_lifespan
from flake8_task_refs.analysis.names import assigned_value
from flake8_task_refs.analysis.outline import ANNOTATION
from flake8_task_refs.analysis.statement_text import CLOSING, OPENING
from flake8_task_refs.analysis.syntax import last_name

if TYPE_CHECKING:
    from flake8_task_refs.analysis.flow import Flow
    from flake8_task_refs.analysis.outline import Outline
    from flake8_task_refs.analysis.tree import Scope, Tree

# asyncio.run, Runner.run, run_until_complete, uvloop.run, anyio.run, and helpers named like them.
# It begins with what is literal, which makes the search ten times as fast.
_RUNNER: Final = re.compile(r"run(?:(?<!\wrun)|(?<=\w_run))(?:_\w+)?\(")
# The same where it is handed to a thread, and what it is to run behind it.
_HANDED_RUNNER: Final = re.compile(
    r"asyncio\.run(?<!\wasyncio\.run)[ \t\n]*,[ \t\n]*(?:args[ \t\n]*=[ \t\n]*[(\[])?"
)
_SURE_RUNNER: Final = re.compile(
    r"(?:\b(?:asyncio|anyio|uvloop)\.run|\brun_until_complete|(?<![\w.])run)\("
)
_FIRST_PARAMETER: Final = re.compile(r"\bdef[ \t]+\w+[ \t]*\([ \t\n]*(\w+)")
# What runs the coroutine that it is given, and what to look through for it.
_HANDING_ON: Final = ("wait_for", "shield", "create_task", "ensure_future", "Task")
_PART: Final = re.compile(r"[()\[\]{},\n]")
_MAX_ARGUMENT: Final = 2000  # characters
_MAX_DEPTH: Final = 3
# What runs a loop on after `run_until_complete` has come to its end.
_GOES_ON: Final = re.compile(r"\.run_(?:forever|app)\(")
_RESULT: Final = re.compile(r"\.(?:result|exception)\(")
_OTHERWISE: Final = re.compile(r"^[ \t]*(?:else|elif)\b", re.MULTILINE)

# What keeps a plain function until the loop stops, or a framework's own (Qt's, Tk's) does.
_LOOP_RUNNER: Final = re.compile(
    r"(?<=\.)(?:run(?:_until_complete|_forever|_app)?|exec_?|mainloop|serve_forever)\b"
)
# Of these, what runs a loop within the loop that is running: a window that waits for its user.
_NESTED_RUNNERS: Final = ("exec", "exec_", "mainloop")
# Decorators that make a coroutine of a generator: Tornado's, types', Twisted's.
_DRIVERS: Final = ("coroutine", "inlineCallbacks")


def locals_outlive(flow: Flow, scope: Scope, start: syntax.Node, name: str) -> bool:
    """Tell whether local ``name`` of ``scope`` lives as long as a task bound at ``start`` matters.

    They do in a function that cannot end after ``start``, in one that runs the event loop, in a
    generator that is suspended later (a lifespan, a fixture), in the coroutine that this file runs
    as its main program, and wherever ``locals()`` may hand them on.
    """
    function = scope.function.node
    shown = (*scope.loads.get("locals", ()), *scope.loads.get("vars", ()))
    if any(flow.may_follow(start, use) for use in shown):
        return True
    if not isinstance(function, syntax.FunctionDef):
        return False
    return (
        # Whoever calls it `_` does not mean to hold it until the generator ends.
        (name != "_" and _yields_after(flow, function, start))
        or flow.never_leaves(start)
        or (name != "_" and _runs_the_loop(flow, function, start))
        or is_main(flow.tree, function)
    )


def _yields_after(flow: Flow, function: syntax.FunctionDef, start: syntax.Node) -> bool:
    """Tell whether a generator is suspended after ``start`` for as long as something else runs.

    A lifespan or a fixture is; it gives one value, or is decorated. One that gives many,
    asynchronously, comes to its end as any function does, and so does the context manager or the
    dependency of a request.
    """
    if any(last_name(item.decorator) in _DRIVERS for item in function.decorators):
        return False  # its yield is an await
    after = flow.tree.order[start]
    last, last_repeated = flow.last_yields(function)
    if last <= after:
        return False
    if function.asynchronous and lasts_for_a_time(flow.tree, function):
        return False
    return bool(function.decorators) or not function.asynchronous or last_repeated <= after


def lasts_for_a_time(tree: Tree, function: syntax.FunctionDef) -> bool:
    """Tell whether a generator is left long before the program: a context manager, a dependency.

    Not one that may be the lifespan of an application, or that the main program is in.
    """
    # Each task of it asks the same.
    key = ("lasts for a time", f"{function.name.value} in {tree.region.start}")
    known = tree.outline.answers.get(key)
    if known is None:
        known = tree.outline.answers[key] = _lasts_for_a_time(tree, function)
    return known


def _lasts_for_a_time(tree: Tree, function: syntax.FunctionDef) -> bool:
    name, code = function.name.value, tree.outline.code
    if function.decorators:
        kinds = [last_name(item.decorator) for item in function.decorators]
        if kinds != ["asynccontextmanager"] or may_be_lifespan(tree, function):
            return False
    elif not re.search(rf"\bDepends\([ \t]*{name}\b", code):
        return False
    for use in re.finditer(rf"\b{name}\b", code):
        around = [at.name for at in tree.outline.enclosing(use.start()) if at.kind == "def"]
        if any(_is_run(tree.outline, outer) for outer in around if outer != name):
            return False
    return True


def _runs_the_loop(flow: Flow, function: syntax.FunctionDef, start: syntax.Node) -> bool:
    """Tell whether a plain function runs the loop itself: its locals outlive what runs in there."""
    if function.asynchronous:
        return False
    tree = flow.tree
    if not _LOOP_RUNNER.search(tree.outline.blanked(tree.region.start, tree.region.end)):
        return False
    nested = _is_made_in_a_running_loop(tree, start)
    # What gives the local its value has run before it holds anything: `context.run(create_task)`.
    made = assigned_value(tree, start) if isinstance(start, syntax.Name) else None
    return any(
        isinstance(node, syntax.Call)
        and node is not made
        and isinstance(node.func, syntax.Attribute)
        and _LOOP_RUNNER.fullmatch(f".{node.func.attr.value}", 1)
        and last_name(node.func.value) != "subprocess"
        and (not nested or (node.func.attr.value in _NESTED_RUNNERS and not node.args))
        and flow.may_follow(start, node)
        for node in tree.walk(function.body)
    )


def _is_made_in_a_running_loop(tree: Tree, start: syntax.Node) -> bool:
    """Tell whether the task bound at ``start`` is made by what wants its loop to be running."""
    made = assigned_value(tree, start) if isinstance(start, syntax.Name) else None
    if not isinstance(made, syntax.Call) or last_name(made.func) != "create_task":
        return False
    if not isinstance(made.func, syntax.Attribute):
        return True  # asyncio's own
    loop: syntax.BaseExpression | None = made.func.value
    if isinstance(loop, syntax.Name):
        if loop.value == "asyncio":
            return True
        stores = tree.scope[loop].stores.get(loop.value, ())
        loop = assigned_value(tree, stores[0]) if len(stores) == 1 else None
    return isinstance(loop, syntax.Call) and last_name(loop.func) == "get_running_loop"


def is_main(tree: Tree, function: syntax.FunctionDef) -> bool:
    """Tell whether this file hands ``function()`` to asyncio.run or its like, and runs no more."""
    outline = tree.outline
    key = ("is main", function.name.value)
    known = outline.answers.get(key)
    if known is None:
        known = outline.answers[key] = _is_run(outline, function.name.value)
    return known or any(_runs_what_it_decorates(tree, item) for item in function.decorators)


def _is_run(outline: Outline, name: str) -> bool:
    """Tell whether this file runs what ``name`` makes, or is, and no more."""
    code = outline.code
    handed = re.compile(rf"\s*(?:main\s*=\s*)?(?:\w+\.)*{name}\b")
    for runner in (*_RUNNER.finditer(code), *_HANDED_RUNNER.finditer(code)):
        is_it = handed.match(code, runner.end()) is not None or _comes_of(
            outline, _first_part(code, runner.end()), name, runner.start()
        )
        if is_it and not _goes_on(outline, runner) and not _is_for_a_loop(outline, runner):
            return True
    return False


def _comes_of(outline: Outline, value: str, name: str, at: int, depth: int = 0) -> bool:
    """Tell whether ``value``, which is run at the offset ``at``, is what ``name`` makes.

    ``Bot(token).start()`` is made by ``start``; so are ``wait_for(Bot().start(), 60)`` and a task
    of it, both also under the name of a variable of the same function.
    """
    path, given = _callee(value)
    last = path.rpartition(".")[2]
    if depth and last == name:
        return True
    if depth > _MAX_DEPTH:
        return False
    if given is not None:
        if last in _HANDING_ON:
            return _comes_of(outline, given, name, at, depth + 1)
        return last == name
    if not path.isidentifier():
        return False
    around, code = outline.enclosing(at), outline.code
    # What is literal stands first, which makes the search fast.
    bound = re.compile(rf"{path}[ \t]*{ANNOTATION}=(?!=)")
    return any(
        not code[code.rfind("\n", 0, match.start()) + 1 : match.start()].strip()
        and outline.enclosing(match.start()) == around
        and _comes_of(outline, _first_part(code, match.end(), "\n"), name, at, depth + 1)
        for match in bound.finditer(code, 0, at)
    )


def _first_part(code: str, start: int, end: str = ",") -> str:
    """Return ``code`` from ``start`` to the first ``end`` outside of brackets that open in it."""
    depth = 0
    for match in _PART.finditer(code, start, start + _MAX_ARGUMENT):
        part = match[0]
        if part in OPENING:
            depth += 1
        elif part in CLOSING:
            depth -= 1
        if depth < 0 or (depth == 0 and part == end):
            return code[start : match.start()]
    return ""


def _callee(value: str) -> tuple[str, str | None]:
    """Return what ``value`` calls last, brackets left out, and the first argument that it gives.

    They are ``Bot.start`` and ``60`` of ``Bot(token).start(60)``, and ``None`` of no call.
    """
    depth, begin, path, opened = 0, 0, "", 0
    for match in _PART.finditer(value):
        if match[0] in OPENING:
            if not depth:
                path, opened = path + value[begin : match.start()], match.end()
            depth += 1
        elif match[0] in CLOSING:
            depth -= 1
            begin = match.end()
    rest = value[begin:].strip()
    is_call = bool(path) and not rest and value.rstrip().endswith(")")
    return (path + rest).strip(), _first_part(value, opened) if is_call else None


def _runs_what_it_decorates(tree: Tree, decorator: syntax.Decorator) -> bool:
    """Tell whether a decorator of this file makes a program of a coroutine.

    Such is ``def wrapper(*args): return asyncio.run(function(*args))``, for click and its like.
    """
    outline, given = tree.outline, decorator.decorator
    if isinstance(given, syntax.Call):
        given = given.func
    if not isinstance(given, syntax.Name):
        return False
    for definition in outline.functions(given.value):
        code = outline.code[definition.start : definition.end]
        taken = set(_FIRST_PARAMETER.findall(code))
        for runner in _SURE_RUNNER.finditer(code):
            path, arguments = _callee(_first_part(code, runner.end()))
            if arguments is not None and path in taken:
                return True
    return False


def _is_for_a_loop(outline: Outline, runner: re.Match[str]) -> bool:
    """Tell whether the loop of another thread is given the coroutine, as one of many.

    Where the same function waits for its result, it may be the main program.
    """
    if runner[0] != "run_coroutine_threadsafe(":
        return False
    around, at = outline.enclosing(runner.start()), runner.end()
    return not any(
        outline.enclosing(later.start()) == around for later in _RESULT.finditer(outline.code, at)
    )


def _goes_on(outline: Outline, runner: re.Match[str]) -> bool:
    """Tell whether the loop is run on once it has run what it is given at ``runner``."""
    if runner[0] != "run_until_complete(":
        return False
    around, at = outline.enclosing(runner.start()), runner.end()
    return any(
        outline.enclosing(later.start()) == around
        and not _OTHERWISE.search(outline.code, at, later.start())
        for later in _GOES_ON.finditer(outline.code, at)
    )

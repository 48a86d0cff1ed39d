"""What a shutdown tells its workers, and what they still do once they know.

A worker that has been told to end, or gives a sign that it will, must not be cut short in what it
does then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.helpers import likely_function
from flake8_task_refs.analysis.syntax import is_name, last_name
from flake8_task_refs.fix.free_names import names_in
from flake8_task_refs.fix.shutdown import only_reports
from flake8_task_refs.fix.source import body_of, dotted, statement_expression
from flake8_task_refs.fix.worker import LikelyWorker

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flake8_task_refs.fix.contract import Context
    from flake8_task_refs.fix.repair_sites import Site
    from flake8_task_refs.fix.source import Statement

_WAITS: Final = frozenset({"join", "wait", "wait_for", "gather", "drain"})
_CLOSED_BY: Final = frozenset({"close", "aclose", "disconnect"})
_TOLD_BY: Final = frozenset({"set", "clear", "put", "put_nowait", "send", "send_nowait", "stop"})


def are_told_last(context: Context, before: Sequence[Statement], sites: Sequence[Site]) -> bool:
    """Tell whether the last that is done ``before`` is to set what all tasks of ``sites`` wait for.

    They have had no turn since then.
    """
    while True:
        before = [statement for statement in before if not only_reports(context.file, statement)]
        last = before[-1] if before else None
        if isinstance(last, syntax.Try):
            before = body_of(last.finalbody) if last.finalbody is not None else ()
        elif isinstance(last, syntax.With):
            before = body_of(last)
        else:
            break
    small = statement_expression(last) if last is not None else None
    call = small.value if isinstance(small, syntax.Expr) else None
    if not isinstance(call, syntax.Call) or not isinstance(call.func, syntax.Attribute):
        return False
    event = call.func.value
    return call.func.attr.value == "set" and all(_ends_with(context, site, event) for site in sites)


def _ends_with(context: Context, site: Site, event: syntax.BaseExpression) -> bool:
    """Tell whether the task of ``site`` waits for ``event``, and has no loop that goes on then."""
    worker = LikelyWorker.of(context, site).function
    tree, file = context.tree, context.file
    if worker is None or not isinstance(site.coroutine, syntax.Call):
        return False
    inside = list(file.inside(worker.body))
    waited = [
        node.value
        for node in inside
        if isinstance(node, syntax.Attribute) and node.attr.value == "wait"
    ]
    name = last_name(event)
    if isinstance(event, syntax.Name):
        # As it is known to both, or handed over under the same name.
        home = tree.scope[event].owner(name)
        is_given = any(is_name(arg.value, name) for arg in site.coroutine.args)
        waits = [
            node
            for node in waited
            if is_name(node, name) and (is_given or tree.scope[node].owner(name) is home)
        ]
    else:
        owner, _, _ = dotted(event).rpartition(".")
        is_its = bool(owner) and dotted(site.coroutine.func).rpartition(".")[0] == owner
        waits = [node for node in waited if is_its and dotted(node) == f"self.{name}"]
    return bool(waits) and not any(
        node.asynchronous
        if isinstance(node, syntax.For)
        else isinstance(node, syntax.While)
        and name not in names_in(file, node.test)
        and not any(isinstance(at, (syntax.Break, syntax.Return)) for at in tree.jumps(node.body))
        for node in inside
    )


def is_only_told(
    context: Context, close: syntax.FunctionDef, site: Site, worker: syntax.FunctionDef
) -> bool:
    """Tell whether ``close`` lets the worker finish, but does not wait until it has.

    A cancellation right after would cut short what it still has to do.
    """
    file, used = context.file, LikelyWorker.of(context, site).used().names
    inside = list(file.inside(worker.body))
    asked, flags = (
        frozenset().union(*(names_in(file, at.test) for at in inside if isinstance(at, kinds)))
        for kinds in ((syntax.While, syntax.If, syntax.IfExp), syntax.While)
    )
    sources = frozenset[str]().union(
        *(
            names_in(file, loop.iter)
            for loop in inside
            if isinstance(loop, syntax.For) and loop.asynchronous and _has_last_words(context, loop)
        )
    )
    told = False
    for node in _with_helpers(context, close):
        if isinstance(node, syntax.Call) and isinstance(node.func, syntax.Attribute):
            name, of = last_name(node.func), last_name(node.func.value)
            if name in _WAITS and used & names_in(file, node):
                return False
            told |= (name in _TOLD_BY and of in used) or (name in _CLOSED_BY and of in sources)
        elif isinstance(node, syntax.Assign):
            looked_at = asked if dotted(node.value) in {"True", "False"} else flags
            told |= any(
                last_name(target) in looked_at
                for item in node.targets
                for target in file.inside(item.target)
            )
    return told


def _with_helpers(context: Context, close: syntax.FunctionDef) -> Iterator[syntax.Node]:
    """Yield what ``close`` does, also in the methods that it calls of its own object."""
    for node in context.file.inside(close.body):
        yield node
        if isinstance(node, syntax.Call) and dotted(node.func).startswith("self."):
            helper = likely_function(context.tree, node)
            if helper is not None and helper is not close:
                yield from context.file.inside(helper.body)


def _has_last_words(context: Context, loop: syntax.For) -> bool:
    """Tell whether the function around ``loop`` does something when that is over."""
    inner: syntax.Node = loop
    for outer in context.file.ancestors(loop):
        if isinstance(outer, syntax.FunctionDef):
            break
        if isinstance(outer, syntax.IndentedBlock):
            start = context.file.span(inner).start
            later = [st for st in outer.body if context.file.span(st).start > start]
            if not all(only_reports(context.file, statement) for statement in later):
                return True
        inner = outer
    return False


def ends_with_its_sign(
    context: Context,
    owner: syntax.ClassDef,
    close: syntax.FunctionDef,
    worker: syntax.FunctionDef,
) -> bool | None:
    """Tell whether ``worker`` waits for nothing more after the sign that ``close`` waits for.

    A cancellation after the sign would cut short what does. The sign is an event of the object
    that only the worker sets; None if there is none.
    """
    file = context.file
    waited = {
        dotted(node.expression.func.value)
        for node in file.inside(close.body)
        if isinstance(node, syntax.Await)
        and isinstance(node.expression, syntax.Call)
        and isinstance(node.expression.func, syntax.Attribute)
        and node.expression.func.attr.value == "wait"
    }
    signs = [
        node
        for node in file.inside(owner)
        if isinstance(node, syntax.Call)
        and isinstance(node.func, syntax.Attribute)
        and node.func.attr.value == "set"
        and dotted(node.func.value) in waited - {""}
    ]
    if not signs or not all(file.within(sign, worker) for sign in signs):
        return None
    last = max(file.span(sign).end for sign in signs)
    return not any(
        file.span(node).start > last
        for node in file.inside(worker.body)
        if isinstance(node, syntax.Await)
        or (isinstance(node, (syntax.For, syntax.With, syntax.CompFor)) and node.asynchronous)
    )


def leaves_queue(context: Context, close: syntax.FunctionDef, worker: syntax.FunctionDef) -> bool:
    """Tell whether ``worker`` works off a queue of its object that ``close`` says nothing of.

    What is in there would be lost.
    """
    queues = {
        last_name(node.expression.func.value)
        for node in context.file.inside(worker.body)
        if isinstance(node, syntax.Await)
        and isinstance(node.expression, syntax.Call)
        and isinstance(node.expression.func, syntax.Attribute)
        and node.expression.func.attr.value == "get"
        and dotted(node.expression.func.value).startswith("self.")
    }
    return bool(queues - names_in(context.file, close.body))

"""What a close method, or the end of a lifespan, tells the workers, and what they still do then.

A worker that has been told to end, or gives a sign that it will, must not be cut short in what it
does then.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.helpers import likely_function
from flake8_task_refs.analysis.syntax import last_name
from flake8_task_refs.fix.free_names import names_in
from flake8_task_refs.fix.plain_class import methods
from flake8_task_refs.fix.shutdown import CLOSE, events, place, settled
from flake8_task_refs.fix.source import (
    Statement,
    body_of,
    dotted,
    last_part,
    only_reports,
    statement_expression,
)
from flake8_task_refs.fix.worker import STARTS, LikelyWorker, used_by, values_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flake8_task_refs.fix.contract import Context
    from flake8_task_refs.fix.repair_sites import Site

# What a close method is called, the likeliest first.
CLOSES: Final = (
    "aclose",
    "close",
    "stop",
    "shutdown",
    "disconnect",
    "async_close",
    "cog_unload",
    "__aexit__",
)
# These may also end something smaller: the current track, one connection of many.
_SMALLER: Final = ("stop", "disconnect")
_WAITS: Final = frozenset({"join", "wait", "wait_for", "gather", "drain"})
_CLOSED_BY: Final = frozenset({"close", "aclose", "disconnect"})
# What gives a sign, and how it is waited for.
_SIGNS: Final = {"set": "wait", "put": "get", "put_nowait": "get"}
_PUTS: Final = ("put", "put_nowait")
_REPEATS: Final = (
    syntax.For,
    syntax.While,
    syntax.ListComp,
    syntax.SetComp,
    syntax.DictComp,
    syntax.GeneratorExp,
)
_TOLD_BY: Final = frozenset({"set", "clear", "put", "put_nowait", "send", "send_nowait", "stop"})


@dataclass(frozen=True, slots=True)
class CloseMethod:
    """The method ``function``, which closes an ``owner``, and what it says to a worker of that."""

    context: Context
    owner: syntax.ClassDef
    function: syntax.FunctionDef

    @classmethod
    def of(cls, context: Context, owner: syntax.ClassDef) -> CloseMethod | None:
        """Return the close method of ``owner``, None if it has none that can wait."""
        by_name = {method.name.value: method for method in methods(owner)}
        for name in CLOSES:
            method = by_name.get(name)
            if method is not None and method.asynchronous and not method.decorators:
                return cls(context, owner, method)
        return None

    def may_be_midway(self, worker: LikelyWorker) -> bool:
        """Tell whether it may be called while its object goes on."""
        file, name = self.context.file, self.function.name.value
        # What starts the worker anew, is ended with what was started first.
        if name in _SMALLER and (
            not worker.path
            or not any(
                isinstance(node, syntax.Call) and dotted(node.func) == worker.path
                for method in methods(self.owner)
                if STARTS.match(method.name.value)
                for node in file.inside(method.body)
            )
        ):
            return True
        return any(
            isinstance(node, syntax.Call) and dotted(node.func) == f"self.{name}"
            for method in methods(self.owner)
            if method.name.value not in {*CLOSES, "__del__"}
            for node in file.inside(method.body)
        )

    def only_tells(self, worker: LikelyWorker) -> bool:
        """Tell whether it lets ``worker`` finish, but does not wait until that has.

        A cancellation right after would cut short what the worker still has to do.
        """
        file, used = self.context.file, worker.used().names
        inside = list(worker.inside())
        asked, flags = (
            frozenset().union(*(names_in(file, at.test) for at in inside if isinstance(at, kinds)))
            for kinds in ((syntax.While, syntax.If, syntax.IfExp), syntax.While)
        )
        sources = frozenset[str]().union(
            *(
                names_in(file, loop.iter)
                for loop in inside
                if isinstance(loop, syntax.For)
                and loop.asynchronous
                and _has_last_words(self.context, loop)
            )
        )
        told = False
        for node in self._with_helpers():
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

    def _with_helpers(self) -> Iterator[syntax.Node]:
        """Yield what it does, also in the methods that it calls of its own object."""
        file = self.context.file
        for node in file.inside(self.function.body):
            yield node
            if isinstance(node, syntax.Call) and dotted(node.func).startswith("self."):
                helper = likely_function(self.context.tree, node)
                if helper is not None and helper is not self.function:
                    yield from file.inside(helper.body)

    def waits_for_its_end(self, worker: LikelyWorker) -> bool | None:
        """Tell whether ``worker`` waits for nothing more after the sign that is waited for here.

        A cancellation after the sign would cut short what does. The sign is an event of the object
        that only the worker sets; None if there is none.
        """
        file, function = self.context.file, worker.function
        waited = {
            dotted(node.expression.func.value)
            for node in file.inside(self.function.body)
            if isinstance(node, syntax.Await)
            and isinstance(node.expression, syntax.Call)
            and isinstance(node.expression.func, syntax.Attribute)
            and node.expression.func.attr.value == "wait"
        }
        signs = [
            node
            for node in file.inside(self.owner)
            if isinstance(node, syntax.Call)
            and isinstance(node.func, syntax.Attribute)
            and node.func.attr.value == "set"
            and dotted(node.func.value) in waited - {""}
        ]
        if function is None or not signs or not all(file.within(sign, function) for sign in signs):
            return None
        last = max(file.span(sign).end for sign in signs)
        return not any(
            file.span(node).start > last
            for node in worker.inside()
            if isinstance(node, syntax.Await)
            or (isinstance(node, (syntax.For, syntax.With, syntax.CompFor)) and node.asynchronous)
        )

    def leaves_queue(self, worker: LikelyWorker) -> bool:
        """Tell whether ``worker`` works off a queue of its object that nothing is said of here.

        What is in there would be lost.
        """
        queues = {
            last_name(queue)
            for call in worker.calls()
            if isinstance(call.func, syntax.Attribute) and call.func.attr.value == "get"
            for queue in values_of(self.context, call.func.value)
            if dotted(queue).startswith("self.") and not call.args
        }
        return bool(queues - names_in(self.context.file, self.function.body))

    def kinds(self, sites: Sequence[Site]) -> list[list[str]]:
        """Return what each of its statements does with the workers of ``sites``."""
        used = used_by(self.context, sites)
        return [
            list(events(self.context.file, used, statement)) for statement in body_of(self.function)
        ]

    def place(self, sites: Sequence[Site]) -> int | None:
        """Return how many of its statements come before the cancellation, None if none is right.

        What else says that the object is closed, had better not wait for the tasks of ``sites``:
        others read it.
        """
        context, kinds = self.context, settled(self.kinds(sites))
        number = place(kinds)
        if number is None:
            return None
        passed: set[str] = set()
        for at, statement in enumerate(body_of(self.function)[number:], number):
            if CLOSE in kinds[at]:
                break
            flags = _flags_set(statement)
            if flags and passed <= flags:
                number, passed = at + 1, set()
            if any(isinstance(node, syntax.Return) for node in context.tree.jumps(statement)):
                # `if self.closed: return`
                test = statement.test if isinstance(statement, syntax.If) else statement
                passed |= names_in(context.file, test) - {"self"} or {""}
        return number


@dataclass(frozen=True, slots=True)
class Told:
    """Whom the last ``statements`` before the end of some tasks give their sign, and by which."""

    sites: tuple[Site, ...] = ()
    statements: tuple[Statement, ...] = ()


def told_last(context: Context, before: Sequence[Statement], sites: Sequence[Site]) -> Told:
    """Return which of ``sites`` are given their sign by the last that is done ``before``.

    Their tasks wait for an event that is set, or for an item that is put, and have had no more than
    the turns that other signs took. The statements are in source order.
    """
    hearers: dict[Statement, list[Site]] = {}
    items: dict[str, int] = defaultdict(int)
    takers: dict[str, list[Site]] = {}
    for statement in _last_statements(context, before):
        sign = _sign(statement)
        heard = [site for site in sites if sign and LikelyWorker.of(context, site).ends_with(*sign)]
        if sign is None or not heard:
            break
        hearers[statement] = heard
        event, asked = sign
        if asked == "get":
            queue = context.file.code(event)
            items[queue] += 1
            takers[queue] = heard
    # An item ends one of those that take it, and who knows which.
    for queue, sharing in takers.items():
        if _may_be_more(context, sharing, items[queue]):
            hearers = {
                statement: [site for site in heard if site not in sharing]
                for statement, heard in hearers.items()
            }
    told = {site for heard in hearers.values() for site in heard}
    return Told(tuple(site for site in sites if site in told), tuple(reversed(hearers)))


def _may_be_more(context: Context, sharing: Sequence[Site], items: int) -> bool:
    """Tell whether the tasks of ``sharing`` may be more than the last ``items`` of their queue.

    They are not where each of them puts back what ends it, for the next.
    """
    several = len(sharing) > items or any(_is_repeated(context, site) for site in sharing)
    return several and not all(
        any(
            isinstance(node, syntax.Attribute) and node.attr.value in _PUTS
            for node in LikelyWorker.of(context, site).inside()
        )
        for site in sharing
    )


def _is_repeated(context: Context, site: Site) -> bool:
    """Tell whether ``site`` may make several tasks of one call of its function."""
    for outer in context.file.ancestors(site.call):
        if outer is site.function:
            break
        if isinstance(outer, _REPEATS):
            return True
    return False


def _last_statements(context: Context, before: Sequence[Statement]) -> Iterator[Statement]:
    """Yield the statements that are run last ``before`` some place, the very last first.

    Those that only report are passed over. What a block has done, comes with the block that its end
    is in, and no more.
    """
    while before:
        *rest, last = before
        if only_reports(context.file, last):
            before = rest
        elif isinstance(last, syntax.Try):
            before = body_of(last.finalbody) if last.finalbody is not None else ()
        elif isinstance(last, syntax.With):
            before = body_of(last)
        else:
            yield last
            before = rest


def _sign(statement: Statement) -> tuple[syntax.BaseExpression, str] | None:
    """Return what ``statement`` sets or puts a last item in, and how that is waited for."""
    small = statement_expression(statement)
    call: syntax.Node | None = small.value if isinstance(small, syntax.Expr) else None
    if isinstance(call, syntax.Await):
        call = call.expression
    if not isinstance(call, syntax.Call) or not isinstance(call.func, syntax.Attribute):
        return None
    asked = _SIGNS.get(call.func.attr.value)
    if asked == "get" and not (call.args and _is_last_item(call.args[0].value)):
        return None
    return (call.func.value, asked) if asked is not None else None


def _is_last_item(value: syntax.BaseExpression) -> bool:
    """Tell whether ``value`` looks like what ends a worker: ``None``, or a constant's name."""
    name = last_name(value)
    return isinstance(value, (syntax.Name, syntax.Attribute)) and (name == "None" or name.isupper())


def _flags_set(statement: Statement) -> set[str]:
    """Return the attributes of its object that ``statement`` does no more than give a value."""
    small = statement_expression(statement)
    if not isinstance(small, syntax.Assign) or dotted(small.value) == "None":
        return set()
    paths = [dotted(target.target) for target in small.targets]
    return {last_part(path) for path in paths if path.startswith("self.")}


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

"""Handlers of an application's start: the registry on the application, ended by its shutdown.

A task that all handlers know by a name of its own needs no registry.

FastAPI, Starlette and Litestar have a ``state`` for it, aiohttp the application as a mapping.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.hooks import (
    ARGUMENT,
    DECORATOR,
    SIGNAL,
    STARTUP,
    STOPS,
    Hook,
    made_by,
)
from flake8_task_refs.analysis.syntax import is_name, last_name
from flake8_task_refs.fix.app_key import AIOHTTP, app_key
from flake8_task_refs.fix.app_state import replaces_state
from flake8_task_refs.fix.closing import told_last
from flake8_task_refs.fix.contract import Context, Plan
from flake8_task_refs.fix.edits import Edit, Place
from flake8_task_refs.fix.free_names import fresh
from flake8_task_refs.fix.homes.lifespan import (
    ASKED,
    COLLECTED,
    ENDED_WITH_APPLICATION,
)
from flake8_task_refs.fix.homes.module import ModuleRegistry
from flake8_task_refs.fix.registration import Registry
from flake8_task_refs.fix.repair_sites import by_statement, has_handle, is_collected, names_task
from flake8_task_refs.fix.shutdown import CONFLICT, GRACEFUL, Cancellation, Ending, place, steps
from flake8_task_refs.fix.source import (
    body_of,
    dotted,
    first_statement,
    has_docstring,
    last_part,
)
from flake8_task_refs.fix.task_names import task_name
from flake8_task_refs.fix.worker import LikelyWorker, used_by

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flake8_task_refs.analysis.tree import Scope
    from flake8_task_refs.fix.repair_sites import Site

NO_AWAIT: Final = (
    "the shutdown handler is a plain function, which cannot wait for the task: make it async first"
)
_HAVE_STATE: Final = {
    DECORATOR: ("FastAPI", "Starlette"),
    "handler": ("FastAPI", "Starlette"),
    ARGUMENT: ("FastAPI", "Starlette", "Litestar"),
}


@dataclass(frozen=True, slots=True)
class _Application:
    """An application by its name where it is made, and the hooks that it runs, in that order.

    ``owner`` is the scope of its name, or the class of which it is an attribute, ``self.app``.
    """

    name: str
    owner: Scope | syntax.ClassDef | None
    is_mapping: bool
    starts: tuple[Hook, ...]
    stops: tuple[Hook, ...]


class StartupHandlers:
    """A set on the application; the shutdown handler cancels what is in it."""

    def __init__(self, context: Context) -> None:
        """Repair in ``context``."""
        self._context = context

    def accepts(self, site: Site) -> bool:
        """Take what is made in startup handlers whose shutdown can be written."""
        return (
            site.code in ENDED_WITH_APPLICATION
            and site.statement is not None
            and _application(self._context, site) is not None
        )

    def plan(self, sites: Sequence[Site]) -> Plan:
        """Keep the tasks of ``sites`` until their application shuts down."""
        groups: dict[_Application, list[Site]] = defaultdict(list)
        for site in sites:
            application = _application(self._context, site)
            if application is not None:
                groups[application].append(site)
        found = Plan()
        for application, group in groups.items():
            found.take(_Startup(self._context, application).plan(group))
        return found


def is_started_by_application(context: Context, site: Site) -> bool:
    """Tell whether ``site`` stands in a startup handler whose shutdown can be written."""
    return _application(context, site) is not None


def _application(context: Context, site: Site) -> _Application | None:
    function, tree = site.function, context.tree
    if not isinstance(function, syntax.FunctionDef):
        return None
    hook = next(
        (h for h in context.file.hooks if h.event == STARTUP and h.function is function), None
    )
    if hook is None or not hook.app:
        return None
    owner = _owner(context, hook)
    is_mapping = hook.how == SIGNAL
    if is_mapping:
        if not hook.app.isidentifier() or not _is_aiohttp(context, hook):
            return None
        if not _first_parameter(function):
            return None
    elif owner is None or not _is_seen(context, hook) or not _has_state(context, hook):
        return None
    same = [h for h in context.file.hooks if h.app == hook.app and _owner(context, h) is owner]
    if any(tree.scope[h.node] is not tree.scope[hook.node] for h in same) and isinstance(
        owner, syntax.ClassDef
    ):
        return None  # which method is called, and in which order, is not known
    if any(h.function is function and h not in same for h in context.file.hooks):
        return None  # it serves several applications, of which each has handlers of its own
    stops = sorted((h for h in same if h.event in STOPS), key=lambda h: STOPS.index(h.event))
    for stop in stops:
        if any(h.function is stop.function and h not in same for h in context.file.hooks):
            return None  # the end of several applications
        if stop.function is not None and any(
            h.function is stop.function for h in same if h.event == STARTUP
        ):
            return None  # what it ends, it would have begun just now
        if stop.function is None or (is_mapping and not _first_parameter(stop.function)):
            return None  # what is done there, and in which order, is not known
        if not is_mapping and not hook.app.isidentifier() and not _is_seen(context, stop):
            return None
    starts = tuple(h for h in same if h.event == STARTUP and h.function is not None)
    return _Application(hook.app, owner, is_mapping, starts, tuple(stops))


def _owner(context: Context, hook: Hook) -> Scope | syntax.ClassDef | None:
    """Return the scope of the application's name; the class if it is an attribute of ``self``."""
    if hook.app.isidentifier():
        return context.tree.scope[hook.node].owner(hook.app)
    head, _, attribute = hook.app.partition(".")
    if head != "self" or not attribute.isidentifier():
        return None
    return context.tree.class_around(hook.node)


def _is_seen(context: Context, hook: Hook) -> bool:
    """Tell whether the hook's function can name the application as what registers it does."""
    tree, head = context.tree, hook.app.partition(".")[0]
    if hook.function is None:
        return False
    return tree.inner[hook.function].owner(head) is tree.scope[hook.node].owner(head)


def _made(context: Context, hook: Hook) -> tuple[syntax.Call, str] | None:
    """Return the call that makes the hook's application, and what it calls."""
    owner = _owner(context, hook)
    if not isinstance(owner, syntax.ClassDef):
        return made_by(context.tree, context.names.analysis, hook.app, hook.node)
    attribute = last_part(hook.app)
    assigned = [
        (assign, target.target)
        for assign in context.file.assignments()
        for target in (assign.targets if isinstance(assign, syntax.Assign) else [assign])
        if isinstance(target.target, syntax.Attribute) and target.target.attr.value == attribute
    ]
    own = [assign for assign, at in assigned if context.tree.class_around(at) is owner]
    if len(own) != 1 or any(dotted(at.value) != "self" for _, at in assigned):
        return None  # it may be another one by now
    value = own[0].value
    if not isinstance(value, syntax.Call):
        return None
    return value, context.names.canonical(value.func) or dotted(value.func)


def _has_state(context: Context, hook: Hook) -> bool:
    """Tell whether the application has a state, and no lifespan, which would disable its hooks."""
    made = _made(context, hook)
    if made is None or replaces_state(context):
        return False
    call, origin = made
    given = {arg.keyword.value for arg in call.args if arg.keyword}
    excluded = {"lifespan"}
    if not hook.app.isidentifier():
        excluded |= {"on_startup", "on_shutdown"}  # which are not among the hooks of an attribute
    return (
        last_part(origin) in _HAVE_STATE[hook.how]
        and not given & excluded
        and not any(arg.star for arg in call.args)
    )


def _is_aiohttp(context: Context, hook: Hook) -> bool:
    """Tell whether a signal is one of aiohttp's: by what makes the application, else by import."""
    if not context.names.module_alias(AIOHTTP):
        return False
    made = made_by(context.tree, context.names.analysis, hook.app, hook.node)
    return made is None or made[1] == f"{AIOHTTP}.Application"


def _first_parameter(function: syntax.FunctionDef) -> str:
    """Return the name by which a handler of aiohttp's knows the application, or ``""``."""
    params = [*function.params.posonly_params, *function.params.params]
    name = params[0].name.value if params else ""
    return "" if name in ("self", "cls") else name.strip("_") and name


class _Startup:
    """The repair of one application's startup handlers."""

    def __init__(self, context: Context, application: _Application) -> None:
        self._context = context
        self._app = application
        self._attribute = ""
        self._handles: tuple[str, ...] = ()  # what the tasks are called, if they need no registry
        self._told = False  # whether the tasks have just been told to end where they are cancelled

    def plan(self, sites: Sequence[Site]) -> Plan:
        context, found = self._context, Plan()
        good = []
        stops = [hook.function for hook in self._app.stops if hook.function is not None]
        for site in sites:
            reason = LikelyWorker.of(context, site).unstoppable()
            if not reason and is_collected(context.file, site):
                reason = COLLECTED
            if not reason and any(names_task(context.file, site, stop.body) for stop in stops):
                reason = ASKED
            if reason:
                found.decline([site], reason)
            else:
                good.append(site)
        if not good:
            return found
        if self._have_names(good):
            self._handles = tuple(site.target for site in good)
        shutdown = self._shutdown(good)
        if shutdown is None:
            found.decline(good, CONFLICT)
            return found
        if not shutdown:  # nothing here can wait for them
            kept = [site for site in good if site.code == "TSK201"]
            found.decline(kept, NO_AWAIT)
            found.take(ModuleRegistry(context).plan([site for site in good if site not in kept]))
            return found
        found.edits += shutdown
        if self._handles:
            found.fixed += [site.finding for site in good]
            return found
        log_failed = context.additions.log_failed_task(
            min((site.call for site in good), key=lambda call: context.file.span(call).start)
        )
        names: dict[syntax.FunctionDef, str] = {}
        for group in by_statement(sorted(good, key=self._order)):
            function = self._handler(group[0])
            if function not in names:
                names[function] = context.locals.free(context.registry_name, function)
                found.edits.append(self._registry(function, names[function], first=len(names) == 1))
            if group[0].form == "expression":
                keep = context.additions.keep(log_failed)
                found.edits += context.writer.wrap(group, keep, after=f", {names[function]}")
                continue
            task, registry = task_name(context, group[0]), Registry(names[function])
            found.edits += context.writer.register(group[0], task, registry, log_failed)
        found.fixed += [site.finding for site in good]
        return found

    def _have_names(self, sites: Sequence[Site]) -> bool:
        """Tell whether all handlers know the tasks of ``sites`` by names that are theirs for good.

        They run only where the startup did not fail, but for aiohttp's.
        """
        if self._app.is_mapping:
            return False
        tree = self._context.tree
        for site in sites:
            handler, root = self._handler(site), site.target.partition(".")[0]
            if (
                not has_handle(self._context.file, site)
                or not root.isidentifier()
                or not any(one is site.statement for one in body_of(handler))
                # It may be over before it comes to the task.
                or any(isinstance(at, syntax.Return) for at in tree.jumps(handler.body))
                or len(handler.decorators) > 1
                # Any other attribute may be declared to be None at first.
                or not (site.target == root or site.target.startswith(f"{self._app.name}.state."))
            ):
                return False
            home = tree.inner[handler].owner(root)
            stops = [hook.function for hook in self._app.stops if hook.function is not None]
            if home is None or home is tree.inner[handler]:
                return False
            if site.target == root and home.kind != "module":
                return False
            if any(tree.inner[stop].owner(root) is not home for stop in stops):
                return False
        return True

    def _order(self, site: Site) -> int:
        """Return when the handler around ``site`` runs."""
        functions = [hook.function for hook in self._app.starts]
        return functions.index(self._handler(site))

    @staticmethod
    def _handler(site: Site) -> syntax.FunctionDef:
        if not isinstance(site.function, syntax.FunctionDef):
            raise TypeError("a lambda is no handler")
        return site.function

    def _stored(self, function: syntax.FunctionDef) -> str:
        """Return the expression in ``function`` for where the set is kept."""
        context = self._context
        if not self._app.is_mapping:
            if not self._attribute:
                used = {
                    node.attr.value
                    for node in context.file.all(syntax.Attribute)
                    if last_name(node.value) == "state"
                }
                self._attribute = fresh(context.registry_name, used)
            return f"{self._app.name}.state.{self._attribute}"
        return f"{_first_parameter(function)}[{app_key(context)}]"

    def _registry(self, function: syntax.FunctionDef, name: str, *, first: bool) -> Edit:
        """Make the set in the handler that runs first; the others take it from the application."""
        file, layout = self._context.file, self._context.writer.layout
        asyncio = self._context.additions.module("asyncio")
        statement = first_statement(function)
        indent = file.indent(statement)
        stored = self._stored(function)
        value = "set()" if first else stored
        lines = layout.best(f"{name}: set[{asyncio}.Task[object]] = {value}", indent)
        if first:
            line = f"{indent}{stored} = {name}"
            wrapped = [f"{indent}{stored} = (", f"{indent}{layout.step}{name}", f"{indent})"]
            lines += [line] if layout.fits(line) else wrapped
        lines.append("")
        return self._context.writer.insert_at(
            file.first_line_with_comments(statement), lines, Place.AFTER_STATEMENT
        )

    def _shutdown(self, sites: Sequence[Site]) -> list[Edit] | None:
        """Return the edits that end the tasks at shutdown; None if no place is clearly right.

        There are none if the place is within a plain function, which cannot wait for them.
        """
        context, file = self._context, self._context.file
        used = used_by(context, sites)
        handlers = [hook.function for hook in self._app.stops if hook.function is not None]
        if not handlers:
            return self._new_handler(self._handler(sites[-1]))
        places = [
            (handler, number, statement)
            for handler in handlers
            for number, statement in enumerate(body_of(handler) or [handler.body])
        ]
        kinds = steps(file, used, [statement for _, _, statement in places])
        before = place(kinds)
        if before is None:
            if not context.settings.unsafe_fixes:
                return None
            before = max(i for i, found in enumerate(kinds) if GRACEFUL in found) + 1
        if before == 0:
            handler, number = handlers[0], int(has_docstring(handlers[0]))
        else:
            handler, number = places[before - 1][0], places[before - 1][1] + 1
            told = told_last(context, body_of(handler)[:number], sites)
            self._told = len(told.sites) == len(sites)
        return self._into_handler(handler, number)

    def _into_handler(self, handler: syntax.FunctionDef, number: int) -> list[Edit]:
        file, writer = self._context.file, self._context.writer
        body = body_of(handler)
        if not handler.asynchronous or not body:
            return self._beside_handler(handler, number)
        lines = self._cancellation(handler).lines(file.indent(body[0]), writer.layout)
        if number < len(body):
            line = file.first_line_with_comments(body[number])
            return [writer.insert_at(line, lines, Place.BEFORE_STATEMENT)]
        return [writer.insert_after(body[-1], lines, Place.END_OF_BLOCK)]

    def _beside_handler(self, handler: syntax.FunctionDef, number: int) -> list[Edit]:
        """Add an async handler before or after ``handler``: they run in that order.

        That is a plain one, or all on one line. There are no edits if the place is in its midst, or
        it is registered elsewhere.
        """
        context, file, writer = self._context, self._context.file, self._context.writer
        body = body_of(handler)
        hook = next(hook for hook in self._app.stops if hook.function is handler)
        first = number <= int(has_docstring(handler))
        if hook.how != DECORATOR or len(handler.decorators) > 1:
            return []
        if not first and number < len(body):
            return []
        name = fresh("cancel_background_tasks", context.names.all_names)
        lines = self._handler_lines(hook, handler, name)
        if not first:
            return self._after(handler, lines)
        apart = [""] if file.indent(handler) else ["", ""]
        line = file.first_line_with_comments(handler)
        return [writer.insert_at(line, [*lines, *apart], Place.BEFORE_STATEMENT)]

    def _new_handler(self, startup: syntax.FunctionDef) -> list[Edit]:
        """Add a shutdown handler after ``startup``, and have it registered."""
        hook = next(hook for hook in self._app.starts if hook.function is startup)
        name = fresh("cancel_background_tasks", self._context.names.all_names)
        edits = self._after(startup, self._handler_lines(hook, startup, name))
        return edits + self._register_handler(hook, name)

    def _after(self, function: syntax.FunctionDef, lines: list[str]) -> list[Edit]:
        """Put ``lines``, a function, after ``function``."""
        file = self._context.file
        apart = [""] if file.indent(function) else ["", ""]
        following = file.last_line(function) + 1
        if following <= file.last_line_number() and file.line_text(following).strip():
            lines = [*lines, *apart]
        return [self._context.writer.insert_after(function, [*apart, *lines], Place.FUNCTION)]

    def _handler_lines(self, hook: Hook, beside: syntax.FunctionDef, name: str) -> list[str]:
        """Return the lines of a shutdown handler that is registered as ``hook`` is."""
        context, writer = self._context, self._context.writer
        indent = context.file.indent(beside)
        parameter = ""
        if self._app.is_mapping:
            application = f"{context.names.module_alias(AIOHTTP)}.Application"
            parameter = f"{_first_parameter(beside)}: {application}"
        lines = [f"{indent}async def {name}({parameter}) -> None:"]
        if hook.how == DECORATOR:
            event = writer.layout.string("shutdown")
            lines.insert(0, f"{indent}@{self._app.name}.on_event({event})")
        return lines + self._cancellation(beside).lines(indent + writer.layout.step, writer.layout)

    def _register_handler(self, hook: Hook, name: str) -> list[Edit]:
        """Return the edits that register the new handler beside ``hook``."""
        file, writer = self._context.file, self._context.writer
        statement = file.statement(hook.node)
        if hook.how == DECORATOR or statement is None:
            return []
        if hook.how == ARGUMENT:
            call = file.parent(hook.node)
            if not isinstance(hook.node, syntax.Arg) or not isinstance(call, syntax.Call):
                return []
            added = writer.added_argument(call, hook.node, f"on_shutdown=[{name}]")
            return writer.laid_out(statement, added)
        event = writer.layout.string("shutdown")
        line = f"{self._app.name}.add_event_handler({event}, {name})"
        if hook.how == SIGNAL:
            line = f"{self._app.name}.on_cleanup.append({name})"
        return [writer.insert_after(statement, writer.layout.best(line, file.indent(statement)))]

    def _cancellation(self, function: syntax.FunctionDef) -> Cancellation | Ending:
        context = self._context
        if self._handles:
            begin = context.names.module_assignments
            return Ending(
                self._handles,
                context.additions.module("asyncio"),
                context.settings.shutdown_timeout,
                optional=frozenset(
                    name
                    for name in self._handles
                    if (value := begin.get(name)) is not None and is_name(value, "None")
                ),
                taken=frozenset(context.locals.taken(function)),
            )
        stored = self._stored(function)
        if self._app.is_mapping:
            # aiohttp cleans up after a start that failed, too.
            stored = f"{_first_parameter(function)}.get({app_key(context)}, ())"
        annotation = f": list[{context.additions.module('asyncio')}.Task[object]]"
        return Cancellation.within(
            context, function, f"list({stored})", annotation=annotation, told=self._told
        )

"""What a file gets once, whichever sites need it: imports, logger, registry, helper functions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.syntax import last_name
from flake8_task_refs.fix.edits import Edit, Place
from flake8_task_refs.fix.free_names import FileNames, fresh
from flake8_task_refs.fix.imports import (
    add_imports,
    docstring_end,
    lines_after_imports,
    takes_imports_below,
)
from flake8_task_refs.fix.source import dotted, statement_expression

if TYPE_CHECKING:
    from flake8_task_refs.fix.fix_settings import FixSettings
    from flake8_task_refs.fix.layout import Layout
    from flake8_task_refs.fix.source import SourceFile, Statement

# What ends a region that a formatter or an editor treats in its own way.
_REGION_END: Final = re.compile(
    r"[ \t]*#[ \t]*(?:(?:fmt|isort):[ \t]*on|yapf:[ \t]*enable|endregion)\b"
)
# What editors and nbQA put between the cells of a notebook.
_CELL_MARKS: Final = ("# %%", "#%%", "# In[")
# What helpers and registries are annotated with.
_ANY: Final = ("typing", "Any")
_COROUTINE: Final = ("collections.abc", "Coroutine")
_OLD_COROUTINE: Final = ("typing", "Coroutine")
# The first Python in which `set` and `asyncio.Task` take what they hold in brackets.
_GENERIC: Final = (3, 9)
LOG_FAILED: Final = "_log_failed_task"
# What `asyncio.run_coroutine_threadsafe` returns is from there.
CONCURRENT: Final = "concurrent.futures"
LOG_FAILED_FUTURE: Final = "_log_failed_future"
REASON: Final = "# Strong references: the event loop keeps only weak ones."


class Additions:
    """Collects what the homes ask for; ``edits()`` then puts it all at the head of the file.

    Every ``need_`` method returns the name under which the thing can be used.
    """

    def __init__(
        self, file: SourceFile, names: FileNames, layout: Layout, settings: FixSettings
    ) -> None:
        """Add to ``file``, whose names and layout are given."""
        self._file = file
        self._names = names
        self._layout = layout
        self._settings = settings
        self._wanted = settings.registry_name
        self._modules: list[str] = []
        self._members: list[tuple[str, str]] = []
        self._logger = ""
        self._registry = ""
        self._futures: dict[str, str] = {}
        self._track = ""
        self._spawn = ""
        self._track_future = ""
        self._future_logs = ""
        self._keep = ""
        self._keep_logs = ""
        self._coroutine = ""
        # The callbacks that log a failure, by their usual names.
        self._log_failed: dict[str, str] = {}
        self._app_key = ""
        self._web = ""
        self._before: list[Statement] = []
        self._log_before: Statement | None = None
        # The line below the head that is added, and how many blank lines are between them.
        self._below = (0, 0)
        # The modules that are imported below the first definition, and above all that needs them.
        self._late: dict[str, Statement] = {}

    @property
    def _is_old(self) -> bool:
        """Whether a Python is to run the file that evaluates no ``set[int]``."""
        return (self._settings.python or _GENERIC) < _GENERIC

    def module(self, name: str) -> str:
        """Return how the module ``name`` is written here, and import it if it must be."""
        alias = self._names.module_alias(name)
        if alias:
            return alias
        if name not in self._modules and name not in self._late:
            self._modules.append(name)
        return name

    def can_import(self, name: str) -> bool:
        """Tell whether ``name`` is imported or free to be."""
        return bool(self._names.module_alias(name)) or not self._names.binds(name)

    def clashes(self) -> bool:
        """Tell whether the module has another meaning for a name that would be imported.

        Ask after ``edits()``, which is the last to ask for imports.
        """
        wanted = [*self._modules, *(name for _, name in self._members)]
        return any(self._names.binds(name.partition(".")[0]) for name in wanted)

    def logger(self) -> tuple[str, bool]:
        """Return the file's logger and whether it takes ``%``-style arguments."""
        name, percent = self._names.logger
        if name:
            return name, percent
        if not self._logger:
            taken = self._names.all_names
            self._logger = "logger" if "logger" not in taken else fresh("_logger", taken)
            self.module("logging")
        return self._logger, True

    def registry(self) -> str:
        """Return the module's registry of tasks."""
        if not self._registry:
            self._registry = fresh(f"_{self._wanted}", self._names.all_names)
            self._of_tasks("{}")
        return self._registry

    def futures(self, kind: str) -> str:
        """Return the module's registry of futures of ``kind``, a module that has a ``Future``."""
        if kind not in self._futures:
            taken = self._names.all_names | set(self._futures.values())
            self._futures[kind] = fresh("_background_futures", taken)
            self._future_type(kind)
        return self._futures[kind]

    def track_future(self, log_failed: str) -> str:
        """Return the helper that registers a concurrent future.

        ``log_failed`` is the callback that it adds.
        """
        if not self._track_future:
            self.futures(CONCURRENT)
            self._track_future = fresh("_track_future", self._names.all_names)
            self._future_logs = log_failed
        return self._track_future

    def track(self) -> str:
        """Return the helper that registers a task in the module's registry and returns it."""
        if not self._track:
            self.registry()
            self._track = fresh("_track", self._names.all_names)
        return self._track

    def keep(self, log_failed: str) -> str:
        """Return the helper that registers a task in a given set, and returns it.

        ``log_failed`` is the callback that it adds.
        """
        if not self._keep:
            self._of_tasks("{}")
            self._keep = fresh("_keep", self._names.all_names)
            self._keep_logs = log_failed
        return self._keep

    def spawn(self) -> str:
        """Return the helper that makes a task of a coroutine, registers it and returns it."""
        if not self._spawn:
            self.track()
            self._any()
            self._coroutine = self._type(*self._coroutine_type())
            self._spawn = fresh("_spawn", self._names.all_names)
        return self._spawn

    def log_failed_task(self, before: syntax.Node) -> str:
        """Return the callback that logs what made a task fail; it will stand before ``before``.

        ``""`` if the file tells its loop what to do about a failure: who asks for it, keeps it from
        the loop.
        """
        if "set_exception_handler" in self._file.tree.outline.code:
            return ""
        return self._log_callback(LOG_FAILED, before)

    def log_failed_future(self, before: syntax.Node) -> str:
        """Return the callback that logs what made a concurrent future fail.

        Nobody else does: neither the loop nor Python tells of one that is dropped.
        """
        return self._log_callback(LOG_FAILED_FUTURE, before)

    def _log_callback(self, usual: str, before: syntax.Node) -> str:
        """Return what the callback with the ``usual`` name is called here."""
        top = self._file.top_statement(before)
        if self._has_log_callback(usual, top):
            return usual
        if usual not in self._log_failed:
            self._log_failed[usual] = fresh(usual, self._names.all_names)
            self.logger()
            if usual == LOG_FAILED:
                self.module("asyncio")
            else:
                self._future_type(CONCURRENT)
        if top is not None and (
            self._log_before is None
            or self._file.span(top).start < self._file.span(self._log_before).start
        ):
            self._log_before = top
        return self._log_failed[usual]

    def _has_log_callback(self, usual: str, top: Statement | None) -> bool:
        """Tell whether the module has the callback from an earlier repair where ``top`` runs."""
        for statement in self._file.module.body:
            if statement is top and not isinstance(top, (syntax.FunctionDef, syntax.ClassDef)):
                return False
            if isinstance(statement, syntax.FunctionDef) and statement.name.value == usual:
                return _logs_failure(self._file, statement)
        return False

    def app_key(self, web: str) -> str:
        """Return the key of the registry in an aiohttp application; ``web`` is its module here."""
        if not self._app_key:
            self._app_key = fresh(f"_{self._wanted}_key", self._names.all_names)
            self._web = web
            self.module("asyncio")
        return self._app_key

    def defined_before(self, statement: syntax.Node) -> None:
        """Let the module's registry be defined before ``statement``."""
        top = self._file.top_statement(statement)
        if top is not None:
            self._before.append(top)

    def can_be_defined_before(self, node: syntax.Node) -> bool:
        """Tell whether what a registry needs is imported before the statement of the module.

        That is so but for tasks that are made among the imports, in a ``try`` for example.
        """
        top = self._file.top_statement(node)
        body = list(self._file.module.body)
        if top is None or isinstance(top, (syntax.FunctionDef, syntax.ClassDef)):
            return True
        at = body.index(top)
        asyncio = self._names.module_alias("asyncio")
        is_above, is_below = (
            any(asyncio in self._names.imported_by(statement) for statement in part)
            for part in (body[:at], body[at:])
        )
        return (is_above or not is_below) and not takes_imports_below(self._file, top)

    def _any(self) -> str:
        return self._type(*_ANY)

    def _type(self, module: str, name: str) -> str:
        """Return how an annotation here writes ``name`` of ``module``; import it if need be."""
        return self._names.in_annotations(module, name) or self._member(module, name)

    def _future_type(self, kind: str, form: str = "{}") -> str:
        """Return an annotation: ``form``, with the futures of the module ``kind`` in its gap."""
        known = self._names.in_annotations(kind, "Future")
        text = form.format(f"{known or self.module(kind) + '.Future'}[{self._any()}]")
        return self.annotation(text, (kind, "Future"), _ANY)

    def _of_tasks(self, form: str) -> str:
        """Return an annotation: ``form``, with how ``asyncio.Task`` is written here in its gaps."""
        if self._names.module_alias("asyncio"):
            return self.annotation(form.format(f"{self.module('asyncio')}.Task"))
        known = self._names.in_annotations("asyncio", "Task")
        text = form.format(known or f"{self.module('asyncio')}.Task")
        return self.annotation(text, ("asyncio", "Task"))

    def annotation(self, text: str, *members: tuple[str, str]) -> str:
        """Return ``text``, quoted if it would be evaluated and ``members`` are not there then.

        A Python that is old evaluates no subscript.
        """
        names = self._names
        if names.evaluates_annotations and (
            (self._is_old and "[" in text) or any(names.in_annotations(*of) for of in members)
        ):
            return self._layout.string(text)
        return text

    def _member(self, module: str, name: str) -> str:
        """Return how ``name`` of ``module`` is written here, and import it if it must be."""
        same = {f"{module}.{name}", *([f"typing_extensions.{name}"] if module == "typing" else [])}
        for local, origin in self._names.module_imports.items():
            if origin in same:
                return local
        alias = self._names.module_alias(module)
        if alias:
            return f"{alias}.{name}"
        if (module, name) not in self._members:
            self._members.append((module, name))
        return name

    def edits(self) -> list[Edit]:
        """Return the edits that add everything that was asked for."""
        self._late = self._imported_late()
        self._modules = [name for name in self._modules if name not in self._late]
        # The order of the calls matters: the head's lines ask for imports.
        head = self._head()
        edits = [*head, *self._log_function()]
        imports = add_imports(
            self._file,
            self._modules,
            self._members,
            self._layout.line_length,
            self._settings.imports,
            with_head=bool(head),
        )
        return [*imports, *edits]

    def _imported_late(self) -> dict[str, Statement]:
        """Return the module's later imports of what is wanted, if what wants it stands below them.

        A second import above would be one too many, and some that stand low have a reason to.
        """
        body, first = self._file.module.body, 0
        found: dict[str, Statement] = {}
        wanted = [at for at in (*self._before, self._log_before) if at is not None]
        while first < len(body) and not isinstance(
            body[first], (syntax.FunctionDef, syntax.ClassDef)
        ):
            first += 1
        for statement in body[first:]:
            if statement in wanted:
                break
            if isinstance(statement, syntax.SimpleStatementLine):
                for name, origin in self._names.imported_by(statement).items():
                    if name == origin and name in self._modules:
                        found.setdefault(name, statement)
        return found

    # The head: after the imports and constants.

    def _head(self) -> list[Edit]:
        simple: list[list[str]] = []
        functions: list[list[str]] = []
        if self._logger:
            logging = self.module("logging")
            simple.append([f"{self._logger} = {logging}.getLogger(__name__)"])
        if self._app_key:
            kind = f"set[{self.module('asyncio')}.Task[object]]" if not self._is_old else "set"
            key = self._layout.string(self._app_key)
            line = f"{self._app_key} = {self._web}.AppKey({key}, {kind})"
            simple.append(self._layout.best(line, ""))
        variable = self._type_variable() if self._track or self._keep else ""
        if (self._track or self._keep) and not variable:
            variable = fresh("_T", self._names.all_names)
            made = f"{self._member('typing', 'TypeVar')}({self._layout.string(variable)})"
            simple.append([f"{variable} = {made}"])
        if self._registry:
            line = f"{self._registry}: {self._of_tasks('set[{}[object]]')} = set()"
            simple.append([REASON, *self._layout.best(line, "")])
        for kind, name in self._futures.items():
            line = f"{name}: {self._future_type(kind, 'set[{}]')} = set()"
            reason = (
                [] if self._registry or name != next(iter(self._futures.values())) else [REASON]
            )
            simple.append([*reason, *self._layout.best(line, "")])
        if self._track:
            functions.append(self._track_function(variable))
        if self._spawn:
            functions.append(self._spawn_function(variable))
        if self._keep:
            functions.append(self._keep_function(variable))
        if self._track_future:
            functions.append(self._track_future_function())
        if not simple and not functions:
            return []
        return [self._insert_head(simple, functions)]

    def _type_variable(self) -> str:
        """Return the file's own ``T`` if it is a plain one above its helpers, or ``""``."""
        last = self._head_statement()
        for statement in self._file.module.body if last is not None else ():
            small = statement_expression(statement)
            if isinstance(small, syntax.Assign) and isinstance(small.value, syntax.Call):
                call, name = small.value, dotted(small.targets[0].target)
                made = self._names.canonical(call.func)
                if name in {"T", "_T"} and made == "typing.TypeVar" and len(call.args) == 1:
                    return name
            if statement is last:
                break
        return ""

    def _track_function(self, variable: str) -> list[str]:
        step = self._layout.step
        task = self._of_tasks(f"{{}}[{variable}]")
        return [
            f"def {self._track}(task: {task}) -> {task}:",
            f"{step}{self._registry}.add(task)",
            f"{step}task.add_done_callback({self._registry}.discard)",
            f"{step}return task",
        ]

    def _track_future_function(self) -> list[str]:
        step, registry = self._layout.step, self._futures[CONCURRENT]
        given = f"future: {self._future_type(CONCURRENT)}"
        return [
            f"def {self._track_future}({given}) -> None:",
            f"{step}{registry}.add(future)",
            f"{step}future.add_done_callback({registry}.discard)",
            f"{step}future.add_done_callback({self._future_logs})",
        ]

    def _keep_function(self, variable: str) -> list[str]:
        step, task = self._layout.step, self._of_tasks(f"{{}}[{variable}]")
        given = f"task: {task}, tasks: {self._of_tasks('set[{}[object]]')}"
        lines = [f"def {self._keep}({given}) -> {task}:"]
        if not self._layout.fits(lines[0]):
            lines = [f"def {self._keep}(", f"{step}{given}", f") -> {task}:"]
        return [
            *lines,
            f"{step}tasks.add(task)",
            f"{step}task.add_done_callback(tasks.discard)",
            *([f"{step}task.add_done_callback({self._keep_logs})"] if self._keep_logs else []),
            f"{step}return task",
        ]

    def _spawn_function(self, variable: str) -> list[str]:
        asyncio = self.module("asyncio")
        given = f"{self._coroutine}[{self._any()}, {self._any()}, {variable}]"
        given = self.annotation(given, self._coroutine_type(), _ANY)
        step, result = self._layout.step, self.annotation(f"{asyncio}.Task[{variable}]")
        lines = [f"def {self._spawn}(coroutine: {given}) -> {result}:"]
        if not self._layout.fits(lines[0]):
            lines = [f"def {self._spawn}(", f"{step}coroutine: {given},", f") -> {result}:"]
        return [*lines, f"{step}return {self._track}({asyncio}.create_task(coroutine))"]

    def _coroutine_type(self) -> tuple[str, str]:
        """Return where the type of a coroutine is from: the file may have typing's already."""
        module, name = _OLD_COROUTINE
        path = f"{module}.{name}"
        known = path in self._names.module_imports.values()
        return _OLD_COROUTINE if known or self._names.in_annotations(module, name) else _COROUTINE

    def _insert_head(self, simple: list[list[str]], functions: list[list[str]]) -> Edit:
        file = self._file
        after = self._head_statement()
        line = file.last_line(after) + 1 if after is not None else docstring_end(file)
        while _REGION_END.match(file.line_text(line)):
            line += 1
        apart = 1
        if isinstance(after, syntax.SimpleStatementLine) and _is_import(file, after):
            apart = lines_after_imports(file, after, self._settings.imports)
        lines: list[str] = [] if line == 1 else [""] * apart
        for number, block in enumerate(simple):
            lines += [""] * bool(number) + block
        for block in functions:
            lines += ["", "", *block] if simple or block is not functions[0] else block
        offset = file.line_start(line)
        lead = "" if offset == 0 or file.text[offset - 1] == "\n" else "\n"
        text = lead + "\n".join(lines) + "\n"
        if file.text[offset:].strip():
            below = line
            while not file.line_text(below).strip():
                below += 1
            following = file.line_text(below)
            apart = max(2 if functions or _is_definition(following) else 1, below - line)
            text += "\n" * (apart - (below - line))
            self._below = (below, apart)
        return Edit(offset, offset, text, Place.HEADER)

    def _head_statement(self) -> Statement | None:
        """Return the last import or simple statement before the first block and the first use."""
        file = self._file
        limit = min((file.span(top).start for top in self._before), default=len(file.text))
        last_import = -1
        body: list[Statement] = []
        late = max((file.module.body.index(at) for at in self._late.values()), default=0)
        for statement in file.module.body[late:]:
            if isinstance(statement, (syntax.FunctionDef, syntax.ClassDef)):
                break
            if file.span(statement).start >= limit:
                break
            body.append(statement)
            if _is_import(file, statement):
                last_import = len(body) - 1
        # No function that needs it can run before the first block: all of that may stand above.
        end = last_import
        for number in range(last_import + 1, len(body)):
            if not isinstance(body[number], syntax.SimpleStatementLine):
                break
            # A registry that is run again with a cell of a notebook would let go of its tasks.
            if _begins_cell(file, body[number]):
                break
            end = number
        return body[end] if end >= 0 else None

    def _log_function(self) -> list[Edit]:
        if not self._log_failed or self._log_before is None:
            return []
        file = self._file
        functions: list[str] = []
        for usual, name in sorted(self._log_failed.items(), reverse=True):
            functions += ["", ""] if functions else []
            functions += self._log_lines(usual, name)
        line = self._above_banner(file.first_line_with_comments(self._log_before))
        if self._commented_out_head(line):
            line = file.first_line(self._log_before)
        above = file.blank_lines_above(line)
        if line == self._below[0]:
            above = self._below[1]
        before = [] if line - above <= 1 else [""] * max(0, 2 - above)
        text = "\n".join([*before, *functions, "", "", ""])
        offset = file.line_start(line)
        return [Edit(offset, offset, text, Place.FUNCTION)]

    def _log_lines(self, usual: str, name: str) -> list[str]:
        """Return a callback: it raises nothing, not even what ends the program.

        That comes out of the event loop already; raised in the loop's clean-up, it would cut that
        short.
        """
        step, (logger, percent) = self._layout.step, self.logger()
        if usual == LOG_FAILED:
            given, module = "task", "asyncio"
            annotation = self.annotation(f"{self.module(module)}.Task[object]")
            shown = "task.get_name()" if self._settings.names_tasks else "task"
            text = f"f{self._layout.string(f'Background task {{{shown}!r}} failed')}"
            if percent:
                text = f"{self._layout.string('Background task %r failed')}, {shown}"
        else:
            given, module = "future", CONCURRENT
            annotation = self._future_type(module)
            text = self._layout.string("Background future failed")
        call = {
            "logging": f"{logger}.error({text}, exc_info=error)",
            "structlog": f"{logger}.error({text}, exc_info=error)",
            "loguru": f"{logger}.opt(exception=error).error({text})",
        }.get(self._names.logger_module)
        head = f"def {name}({given}: {annotation}) -> None:"
        if call is not None:
            return [
                head,
                f"{step}error = None if {given}.cancelled() else {given}.exception()",
                f"{step}if error is not None:",
                *self._layout.best(call, step * 2),
            ]
        # Every logger can tell of the exception that is being handled.
        return [
            head,
            f"{step}try:",
            f"{step}{step}{given}.result()",
            f"{step}except {self.module(module)}.CancelledError:",
            f"{step}{step}pass",
            f"{step}except (Exception, SystemExit, KeyboardInterrupt):",
            *self._layout.best(f"{logger}.exception({text})", step * 2),
        ]

    def _above_banner(self, line: int) -> int:
        """Return ``line``, or where the comment above it begins that is set off by a rule."""
        last = line - 1 - self._file.blank_lines_above(line)
        text = self._file.line_text(last) if last > 0 else ""
        if not text.startswith("#") or any(map(str.isalnum, text)):
            return line
        while last > 1 and self._file.line_text(last - 1).startswith("#"):
            last -= 1
        return last

    def _commented_out_head(self, line: int) -> bool:
        """Tell whether the comment at ``line`` is the file's own head."""
        return line == 1 and self._file.line_text(1).startswith("#")


def _logs_failure(file: SourceFile, function: syntax.FunctionDef) -> bool:
    """Tell whether ``function`` is a callback as this release writes it, or an earlier one did."""
    params = [*function.params.posonly_params, *function.params.params]
    if len(params) != 1 or function.asynchronous:
        return False
    task = params[0].name.value
    asking = {f"{task}.result", f"{task}.exception"}
    called = [node.func for node in file.inside(function) if isinstance(node, syntax.Call)]
    return any(dotted(func) in asking for func in called) and any(
        last_name(func) in ("error", "exception") and dotted(func) not in asking for func in called
    )


def _begins_cell(file: SourceFile, statement: Statement) -> bool:
    """Tell whether a mark right above ``statement`` begins a cell of a notebook."""
    line = file.first_line(statement) - 1
    while line > 0 and (not (text := file.line_text(line)).strip() or text.startswith("#")):
        if text.startswith(_CELL_MARKS):
            return True
        line -= 1
    return False


def _is_import(file: SourceFile, statement: Statement) -> bool:
    if isinstance(statement, (syntax.Try, syntax.If)):
        return any(
            isinstance(node, (syntax.Import, syntax.ImportFrom))
            for node in file.inside(statement, into_scopes=False)
        )
    return isinstance(statement, syntax.SimpleStatementLine) and any(
        isinstance(part, (syntax.Import, syntax.ImportFrom)) for part in statement.body
    )


def _is_definition(line: str) -> bool:
    return line.startswith(("def ", "async def ", "class ", "@"))

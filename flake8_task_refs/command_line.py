"""What the command lines have in common: options, exit statuses, how they speak and end."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any, Final, NoReturn

from flake8_task_refs import __version__
from flake8_task_refs.discovery import STDIN
from flake8_task_refs.elsewhere import WorkerLostError
from flake8_task_refs.options import OPTIONS
from flake8_task_refs.rules import BY_CODE, PREFIX, RULES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from _typeshed import SupportsWrite

    from flake8_task_refs.reports.terminal import Terminal
    from flake8_task_refs.worklist import Item, Worklist

EXIT_CLEAN: Final = 0
EXIT_FOUND: Final = 1
EXIT_ERROR: Final = 123
EXIT_INTERRUPTED: Final = 130

# flake8's options that say which files and which codes. They mean here what they mean there.
_FLAKE8_OPTIONS: Final = (
    ("--select", "CODES", "look only for these codes, e.g. TSK001,TSK1"),
    ("--ignore", "CODES", "leave these codes alone"),
    ("--extend-select", "CODES", "add codes to those selected"),
    ("--extend-ignore", "CODES", "add codes to those ignored"),
    ("--per-file-ignores", "PAIRS", "pairs of file pattern and code, FILE:CODE"),
    ("--exclude", "PATTERNS", "leave these files and directories out"),
    ("--extend-exclude", "PATTERNS", "leave these out, too"),
    ("--filename", "PATTERNS", "names to look for in directories (default: *.py)"),
    ("--stdin-display-name", "NAME", "name of the file that comes on standard input"),
    ("--jobs", "N", "number of processes (default: auto)"),
    ("--config", "FILE", "use this configuration file"),
    ("--append-config", "FILE", "read this configuration file, too"),
    ("--isolated", None, "read no configuration file"),
    ("--disable-noqa", None, "look at what a `# noqa` comment excuses, too"),
    ("--color", "WHEN", "auto, always or never (default: auto, and NO_COLOR is honoured)"),
    ("--toml-config", "FILE", "Flake8-pyproject's: read [tool.flake8] of this file"),
)


class UsageError(ValueError):
    """Wrong usage that shows only at work. The text is one line."""


class _Forward(argparse.Action):
    """Collect an option for flake8's own parser, which knows what its value means."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        del parser, option_string
        flag = self.option_strings[-1]
        given = [*namespace.flake8, flag if self.nargs == 0 else f"{flag}={values}"]
        namespace.flake8 = given


def keep_closed_streams_closed() -> None:
    """See that no file gets the number of a standard stream that is closed.

    To write to standard output then fails like to a full disk. What is told on standard error is
    lost, which is what whoever closed it asked for.
    """
    if sys.stdin is None:
        os.open(os.devnull, os.O_RDONLY)
    if sys.stdout is None:
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_RDONLY), "w", encoding="utf-8")
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")


def answer(parser: argparse.ArgumentParser, text: str) -> NoReturn:
    """Print ``text`` and end, with the status of an error if it cannot be written."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError:
        os._exit(EXIT_ERROR)  # Python would try to write it once more
    parser.exit()


class _Version(argparse.Action):
    """Print the versions of what runs here, and end."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        import platform  # noqa: PLC0415 (rarely asked for)
        from importlib.metadata import version  # noqa: PLC0415

        libraries = ", ".join(f"{name} {version(name)}" for name in ("flake8", "libcst"))
        python = f"{platform.python_implementation()} {platform.python_version()}"
        answer(parser, f"flake8-task-refs {__version__} ({libraries}, {python})\n")


class Parser(argparse.ArgumentParser):
    """Says, beside what is wrong, what may have been meant."""

    def error(self, message: str) -> NoReturn:
        """End with a usage error."""
        kind, _, rest = message.partition(": ")
        if kind == "unrecognized arguments":
            known = [flag for flag in self._option_string_actions if flag.startswith("--")]
            given = [word.partition("=")[0] for word in rest.split() if word.startswith("-")]
            message += "".join(did_you_mean(flag, known) for flag in given)
        super().error(message)

    def print_help(self, file: SupportsWrite[str] | None = None) -> None:
        """Print the help and end."""
        if file is None:
            answer(self, self.format_help())
        super().print_help(file)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a question for the end of an error message, ``""`` if nothing is like ``word``."""
    from difflib import get_close_matches  # noqa: PLC0415

    near = get_close_matches(word, known, n=1)
    return f" (did you mean {near[0]}?)" if near and near[0] != word else ""


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that flake8 has as well, and ``--version``.

    What is given of them is collected in ``flake8``, for ``worklist.Worklist``.
    """
    parser.set_defaults(flake8=[])
    parser.add_argument(
        "--version", action=_Version, nargs=0, help="show the versions of what runs and end"
    )
    group = parser.add_argument_group("options of the rules (flake8 reads them, too)")
    for option in OPTIONS:
        nargs = {"nargs": 0} if option.kind == "flag" else {"metavar": option.kind.upper()}
        group.add_argument(option.flag, action=_Forward, dest="flake8", help=option.help, **nargs)
    group = parser.add_argument_group("options of flake8, which its configuration files can set")
    for flag, metavar, text in _FLAKE8_OPTIONS:
        names = ("-j", flag) if flag == "--jobs" else (flag,)
        nargs = {"metavar": metavar} if metavar else {"nargs": 0}
        group.add_argument(*names, action=_Forward, dest="flake8", help=text, **nargs)


def refuse_unknown_codes(parser: argparse.ArgumentParser, given: Iterable[str]) -> None:
    """End with a usage error if a code of ours is selected that no rule has."""
    for argument in given:
        flag, _, value = argument.partition("=")
        if flag in {"--select", "--extend-select"}:
            for code in value.replace(",", " ").split():
                if code.startswith(PREFIX) and not any(r.code.startswith(code) for r in RULES):
                    hint = did_you_mean(code, BY_CODE)
                    parser.error(f"{flag}: no rule's code begins with {code}{hint}")


def refuse_unusable_paths(parser: argparse.ArgumentParser, paths: Sequence[str]) -> None:
    """End with a usage error if ``paths`` are none that can be read together."""
    if "" in paths:
        parser.error("PATHS: an empty path names no file; . is the current directory")
    if STDIN in paths and len(paths) > 1:
        parser.error("- (standard input) cannot be mixed with other paths")


def items_of(
    worklist: Worklist, terminal: Terminal, many: Callable[[list[Item]], None] | None = None
) -> list[Item]:
    """Return what ``worklist.items(many)`` does; tell if that leaves nothing to do."""
    items = worklist.items(many)
    if not items:
        paths = ", ".join(worklist.paths) or "."
        terminal.tell(f"no file to read in {paths}: there is none, or it is excluded")
    elif not any(codes for _, codes in items):
        terminal.tell(f"no {PREFIX} code is selected for any of these files")
    return items


def stdin_codes(worklist: Worklist) -> tuple[str, ...]:
    """Return the codes that may speak of standard input; none if it is excluded."""
    return next((codes for name, codes in worklist.items() if name == STDIN), ())


def gracefully(work: Callable[[], int], terminal: Terminal) -> int:
    """Return what ``work`` returns, or the status where a reader, a worker or the user gives up."""
    try:
        return work()
    except WorkerLostError as error:
        terminal.tell(f"error: {error}; some files were not looked at", "red")
        return EXIT_ERROR
    except KeyboardInterrupt:
        terminal.tell("interrupted")
        return EXIT_INTERRUPTED
    except OSError as error:
        # What is to be written goes nowhere. Python would complain when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            terminal.tell(f"error: cannot write the output: {error.strerror}", "red")
        # Else, whoever read our output has enough of it.
        return EXIT_ERROR
    except UsageError:
        raise  # the parser tells of it
    except Exception as error:  # noqa: BLE001 (a traceback helps no user)
        from flake8_task_refs.scanning import internal_error  # noqa: PLC0415

        terminal.tell(f"error: {internal_error(error)}", "red")
        return EXIT_ERROR


def leave(status: int) -> NoReturn:
    """End this process with ``status`` at once; Python would first take apart all that it loaded.

    If what was written goes nowhere, the status is that of an error.
    """
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        status = EXIT_ERROR
    os._exit(status)


def tell_error(terminal: Terminal, name: str, error: str) -> None:
    """Say what is wrong with a file; if there is no such file, which may have been meant."""
    from pathlib import Path  # noqa: PLC0415 (most runs have no such error)

    path = Path(name)
    hint = ""
    if not os.path.lexists(path):
        while not os.path.exists(path.parent):  # noqa: PTH110 (it raises nothing)
            path = path.parent
        try:
            near = [str(other) for other in path.parent.iterdir()]
        except OSError:
            near = []
        hint = did_you_mean(str(path), near)
    terminal.tell(f"{name}: error: {error}{hint}", "red")


def counted(number: int, thing: str) -> str:
    """Return ``1 file`` or ``2 files``."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"

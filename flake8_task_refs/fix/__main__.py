"""The fixer's command line, and nothing else: ``python -m flake8_task_refs.fix [PATHS]``."""

from __future__ import annotations

import argparse
import math
import os
import sys
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias

from flake8_task_refs.command_line import (
    EXIT_ERROR,
    EXIT_INTERRUPTED,
    Parser,
    UsageError,
    add_common_options,
    answer,
    did_you_mean,
    gracefully,
    keep_closed_streams_closed,
    leave,
    refuse_unknown_codes,
    refuse_unusable_paths,
)
from flake8_task_refs.elsewhere import WorkerLostError
from flake8_task_refs.options import ConfigError
from flake8_task_refs.reports.formats import FORMATS
from flake8_task_refs.reports.terminal import Terminal
from flake8_task_refs.rules import RULES, explain
from flake8_task_refs.worklist import Worklist

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    # What check_run and repair_run are for.
    _Run: TypeAlias = Callable[[argparse.Namespace, Worklist, Terminal], int]

# As installed; pyproject.toml gives it this name.
_COMMAND: Final = "flake8-task-refs-fix"

_EPILOG = """\
exit status: 0 nothing to do or all done; 1 --check found something, repairable or not;
2 wrong usage; 123 some file could not be read, parsed or written, whatever else was found.
"""


class _Explain(argparse.Action):
    """Print a rule's documentation and end."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        del namespace, option_string
        wanted = str(values).casefold()
        for rule in RULES:
            if wanted in {rule.code.casefold(), rule.name}:
                answer(parser, explain(rule))
        known = ", ".join(rule.code for rule in RULES)
        names = [name for rule in RULES for name in (rule.code, rule.name)]
        hint = did_you_mean(wanted.upper(), names) or did_you_mean(wanted, names)
        parser.error(f"--explain: no rule {values!r}{hint}; there are {known}")


class _PrintCompletion(argparse.Action):
    """Print a script that completes this command in a shell, and end."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        del namespace, option_string
        try:
            import shtab  # noqa: PLC0415
        except ImportError:
            parser.error("--print-completion: pip install 'flake8-task-refs[completion]' first")
        parser.prog = _COMMAND
        for action in parser._actions:  # noqa: SLF001 (argparse has no other way)
            if action.dest == "explain":
                action.choices = [rule.code for rule in RULES]
            elif action.metavar in {"PATHS", "FILE"}:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
        answer(parser, f"{shtab.complete(parser, str(values))}\n")


def _seconds(text: str) -> float | None:
    """Parse ``--shutdown-timeout``: seconds above zero, or ``none``."""
    if text.casefold() == "none":
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number of seconds nor none")
    return seconds


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m flake8_task_refs.fix",
        usage="%(prog)s [OPTIONS] [PATHS]",
        description="Repair asyncio tasks that nobody references, awaits or ends.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "paths",
        nargs="*",
        metavar="PATHS",
        help="files and directories (default: .), or - for standard input to standard output",
    )
    add("--diff", action="store_true", help="show what would change and write nothing")
    add(
        "--check",
        action="store_true",
        help="write nothing; list the findings and exit with 1 if there are any",
    )
    add("--unsafe-fixes", action="store_true", help="also make changes that can alter behaviour")
    add(
        "--shutdown-timeout",
        type=_seconds,
        default=10.0,
        metavar="SECONDS",
        help="how long repaired code waits for its tasks at shutdown; none: for ever (default: 10)",
    )
    add(
        "--output-format",
        choices=sorted(FORMATS),
        default="text",
        help="how --check lists the findings (default: text)",
    )
    add("--baseline", metavar="FILE", help="let --check pass over the findings listed in FILE")
    add(
        "--write-baseline",
        action="store_true",
        help="list the findings of --check in the file that --baseline names",
    )
    add("--explain", action=_Explain, metavar="CODE", help="print what a rule is about and end")
    add(
        "--print-completion",
        action=_PrintCompletion,
        choices=["bash", "zsh", "tcsh"],
        help="print a script that completes flake8-task-refs-fix in this shell, and end",
    )
    add_common_options(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the fixer with ``argv`` (``sys.argv`` if ``None``) and return its exit status."""
    keep_closed_streams_closed()
    parser = _parser()
    arguments = parser.parse_args(argv)
    refuse_unknown_codes(parser, arguments.flake8)
    _refuse_what_does_not_go_together(parser, arguments)
    lists = arguments.check and not arguments.diff
    module = f"{__package__}.{'check_run' if lists else 'repair_run'}"
    # Where only files are named, to load more than they need would not pay.
    many = any(map(os.path.isdir, arguments.paths or ["."])) and "--jobs=1" not in arguments.flake8
    try:
        worklist = Worklist(
            arguments.flake8,
            arguments.paths,
            meanwhile=_loading(module) if many else None,
        )
        terminal = Terminal(worklist.config.color)
        run: _Run = import_module(module).run
    except ConfigError as error:
        parser.error(str(error))
    except WorkerLostError as error:
        sys.stderr.write(f"error: {error}\n")
        return EXIT_ERROR
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    try:
        return gracefully(partial(run, arguments, worklist, terminal), terminal)
    except UsageError as error:
        parser.error(str(error))


def _loading(module: str) -> Iterator[None]:
    """Load the ``module`` of a run, and then what files take that mention a task."""
    import_module(module)
    yield
    import_module("flake8_task_refs.pool")
    yield
    from flake8_task_refs.scanning import preparing  # noqa: PLC0415

    yield from preparing()


def _refuse_what_does_not_go_together(
    parser: argparse.ArgumentParser, arguments: argparse.Namespace
) -> None:
    """End with a usage error where one option makes no sense beside, or without, another."""
    lists = arguments.check and not arguments.diff
    refuse_unusable_paths(parser, arguments.paths)
    if arguments.output_format != "text" and not lists:
        parser.error("--output-format: goes with --check, and without --diff")
    if arguments.baseline is not None and not lists:
        parser.error("--baseline: goes with --check, and without --diff")
    if arguments.baseline == "-":
        parser.error("--baseline: a baseline is a file; ./- would be one")
    if arguments.write_baseline and arguments.baseline is None:
        parser.error("--write-baseline: say with --baseline where to")


def run() -> NoReturn:
    """Run the command line, and end this process with its exit status."""
    leave(main())


if __name__ == "__main__":
    run()

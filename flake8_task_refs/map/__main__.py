"""The map's command line, and nothing else: ``python -m flake8_task_refs.map [PATHS]``."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from flake8_task_refs.command_line import (
    EXIT_CLEAN,
    EXIT_ERROR,
    EXIT_INTERRUPTED,
    Parser,
    add_common_options,
    answer,
    counted,
    gracefully,
    items_of,
    keep_closed_streams_closed,
    leave,
    refuse_unknown_codes,
    refuse_unusable_paths,
    stdin_codes,
    tell_error,
)
from flake8_task_refs.discovery import STDIN
from flake8_task_refs.files import FileError, decode, read_stdin
from flake8_task_refs.map import table
from flake8_task_refs.map.inventory import (
    FINDING,
    OPEN,
    SETTLED,
    MappedFile,
    TaskMap,
    map_file,
    map_text,
    schema,
    unmapped,
)
from flake8_task_refs.options import ConfigError
from flake8_task_refs.processes import Crew
from flake8_task_refs.reports.terminal import Terminal
from flake8_task_refs.scanning import prepare
from flake8_task_refs.worklist import Worklist

if TYPE_CHECKING:
    from collections.abc import Sequence

_FORMATS: Final = ("table", "json", "html")
_STATES: Final = {FINDING: "with a finding", OPEN: "open", SETTLED: "settled"}
_EPILOG = """\
exit status: 0 the map is complete, whatever it shows; 2 wrong usage; 123 some file could not
be read, parsed or written.
"""


class _Schema(argparse.Action):
    """Print the JSON schema and end."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        answer(parser, schema())


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m flake8_task_refs.map",
        usage="%(prog)s [OPTIONS] [PATHS]",
        description="Show every asyncio task: who holds it, who ends it, who hears its errors.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "paths",
        nargs="*",
        metavar="PATHS",
        help="files and directories (default: .), or - for standard input",
    )
    add("--format", choices=_FORMATS, default="table", help="what to write (default: table)")
    add("--output", metavar="FILE", help="write to this file instead of standard output")
    add("--json-schema", action=_Schema, nargs=0, help="print the schema of the JSON and end")
    add_common_options(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the map with ``argv`` (``sys.argv`` if ``None``) and return its exit status."""
    keep_closed_streams_closed()
    parser = _parser()
    arguments = parser.parse_args(argv)
    refuse_unknown_codes(parser, arguments.flake8)
    refuse_unusable_paths(parser, arguments.paths)
    if arguments.output == "-":
        parser.error("--output: leave it out to write to standard output; ./- would be a file")
    if arguments.output is not None:
        _refuse_output(parser, Path(arguments.output))
    if arguments.format == "html":
        _refuse_html(parser)
    try:
        worklist = Worklist(arguments.flake8, arguments.paths)
    except ConfigError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    terminal = Terminal(worklist.config.color)
    return gracefully(partial(_show, arguments, worklist, terminal), terminal)


def _refuse_output(parser: argparse.ArgumentParser, output: Path) -> None:
    """End with a usage error if ``output`` cannot be a file, before any work is done."""
    if output.is_dir():
        parser.error(f"--output: {output} is a directory")
    if not output.parent.is_dir():
        parser.error(f"--output: there is no directory {output.parent}")


def _refuse_html(parser: argparse.ArgumentParser) -> None:
    """End with a usage error if the page cannot be made here."""
    try:
        import jinja2  # noqa: F401, PLC0415
    except ImportError:
        parser.error("--format html: pip install 'flake8-task-refs[map]' first")


def _show(arguments: argparse.Namespace, worklist: Worklist, terminal: Terminal) -> int:
    """Map the files, write the map and a last line about it; return the exit status."""
    tasks = TaskMap(tuple(_mapped(worklist, terminal)))
    for file in tasks.errors:
        tell_error(terminal, file.name, file.error)
    written = _write(_rendered(tasks, arguments), arguments.output, terminal)
    summary = tasks.summary()
    states = ", ".join(f"{summary['states'][name]} {words}" for name, words in _STATES.items())
    terminal.tell(
        f"{counted(summary['tasks'], 'task')}: {states}; "
        f"{counted(summary['files'], 'file')} read, {counted(summary['errors'], 'error')}"
    )
    return EXIT_ERROR if tasks.errors or not written else EXIT_CLEAN


def _mapped(worklist: Worklist, terminal: Terminal) -> list[MappedFile]:
    if STDIN in worklist.paths:
        return [_mapped_stdin(worklist)]
    work = partial(map_file, worklist.config.settings)
    with Crew(work, worklist.config.jobs, lost=unmapped, prepare=prepare) as crew:
        items = items_of(worklist, terminal, crew.start)
        return list(terminal.watch(crew.each(items), len(items)))


def _mapped_stdin(worklist: Worklist) -> MappedFile:
    config = worklist.config
    try:
        source = decode(read_stdin())
    except FileError as error:
        return MappedFile(config.stdin_name, error=str(error))
    return map_text(config.settings, config.stdin_name, source, stdin_codes(worklist))


def _rendered(tasks: TaskMap, arguments: argparse.Namespace) -> str:
    if arguments.format == "json":
        return json.dumps(tasks.as_dict(), indent=2) + "\n"
    if arguments.format == "html":
        from flake8_task_refs.map import page  # noqa: PLC0415

        return page.render(tasks)
    piped = arguments.output is not None or not sys.stdout.isatty()
    return table.render(tasks, None if piped else shutil.get_terminal_size().columns)


def _write(text: str, output: str | None, terminal: Terminal) -> bool:
    """Write ``text`` where it is wanted; tell if that fails."""
    if output is None:
        terminal.out(text)
        sys.stdout.flush()
        return True
    try:
        Path(output).write_text(text, "utf-8", "backslashreplace", newline="\n")
    except OSError as error:
        terminal.tell(f"{output}: error: {error.strerror or type(error).__name__}", "red")
        return False
    return True


def run() -> NoReturn:
    """Run the command line, and end this process with its exit status."""
    leave(main())


if __name__ == "__main__":
    run()

"""The map's command line, and nothing else: ``python -m flake8_task_refs.map [PATHS]``."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from flake8_task_refs.command_line import (
    EXIT_CLEAN,
    EXIT_ERROR,
    add_common_options,
    count,
    graceful,
    refuse_unknown_codes,
    tell,
)
from flake8_task_refs.files import FileError, decode
from flake8_task_refs.flake8_config import STDIN, ConfigError, LintConfig, load
from flake8_task_refs.map import table
from flake8_task_refs.map.inventory import (
    STATES,
    MappedFile,
    TaskMap,
    map_file,
    map_text,
    schema,
)
from flake8_task_refs.processes import each

if TYPE_CHECKING:
    from collections.abc import Sequence

_FORMATS: Final = ("table", "json", "html")
_EPILOG = """\
exit status: 0 the map is complete, whatever it shows; 2 wrong usage; 123 some file could not
be read, parsed or written.
"""


class _Schema(argparse.Action):
    """Print the JSON schema and end."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        sys.stdout.write(schema())
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
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


@graceful
def main(argv: Sequence[str] | None = None) -> int:
    """Run the map with ``argv`` (``sys.argv`` if ``None``) and return its exit status."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    refuse_unknown_codes(parser, arguments.flake8)
    if STDIN in arguments.paths and len(arguments.paths) > 1:
        parser.error("- (standard input) cannot be mixed with other paths")
    if arguments.output is not None:
        _refuse_output(parser, Path(arguments.output))
    if arguments.format == "html":
        _refuse_html(parser)
    try:
        config = load(arguments.flake8, arguments.paths)
    except ConfigError as error:
        parser.error(str(error))
    tasks = TaskMap(tuple(_mapped(config)))
    for file in tasks.errors:
        tell(f"{file.name}: error: {file.error}")
    text = _rendered(tasks, arguments.format, arguments.output)
    # The page says that it is UTF-8.
    encoding = "utf-8" if arguments.output or arguments.format == "html" else sys.stdout.encoding
    written = _write(text.encode(encoding, "backslashreplace"), arguments.output)
    _sum_up(tasks)
    return EXIT_ERROR if tasks.errors or not written else EXIT_CLEAN


def _mapped(config: LintConfig) -> list[MappedFile]:
    if STDIN not in config.options.filenames:
        items = [(name, config.codes(name)) for name in config.files()]
        return list(each(partial(map_file, config.settings), items, config.jobs))
    name = config.display_name(STDIN)
    try:
        source = decode(sys.stdin.buffer.read())
    except FileError as error:
        return [MappedFile(name, error=str(error))]
    return [map_text(config.settings, name, source, config.codes(STDIN))] if config.files() else []


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
        parser.error("--format html needs Jinja2: pip install 'flake8-task-refs[map]'")


def _rendered(tasks: TaskMap, form: str, output: str | None) -> str:
    if form == "json":
        return json.dumps(tasks.as_dict(), indent=2) + "\n"
    if form == "html":
        from flake8_task_refs.map import page  # noqa: PLC0415

        return page.render(tasks)
    wide = output is not None or not sys.stdout.isatty()
    return table.render(tasks, None if wide else shutil.get_terminal_size().columns)


def _write(data: bytes, output: str | None) -> bool:
    """Write ``data`` where it is wanted; tell if that fails."""
    if output is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return True
    try:
        Path(output).write_bytes(data)
    except OSError as error:
        tell(f"{output}: error: {error.strerror or type(error).__name__}")
        return False
    return True


def _sum_up(tasks: TaskMap) -> None:
    summary = tasks.summary()
    states = summary["states"]
    told = ", ".join(f"{states[name]} {name}" for name in STATES)
    tell(
        f"{count(summary['tasks'], 'task')}: {told}; "
        f"{count(summary['files'], 'file')} read, {count(summary['errors'], 'error')}"
    )


if __name__ == "__main__":
    sys.exit(main())

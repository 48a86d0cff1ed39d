"""The fixer's command line, and nothing else: ``python -m flake8_task_refs.fix [PATHS]``."""

from __future__ import annotations

import argparse
import math
import os
import platform
import sys
from collections import Counter
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from flake8_task_refs import __version__
from flake8_task_refs.files import FileError, decode
from flake8_task_refs.fix.repair import Job, Report, repair_file, repair_text
from flake8_task_refs.flake8_config import STDIN, ConfigError, LintConfig, load
from flake8_task_refs.options import OPTIONS
from flake8_task_refs.processes import each
from flake8_task_refs.rules import PREFIX, RULES, explain
from flake8_task_refs.scanning import Scanned, scan_file, scan_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

EXIT_CLEAN: Final = 0
EXIT_FOUND: Final = 1
EXIT_USAGE: Final = 2
EXIT_ERROR: Final = 123
EXIT_INTERRUPTED: Final = 130

_EPILOG = """\
exit status: 0 nothing to do or all done; 1 --check found something; 2 wrong usage;
123 some file could not be read, parsed or written.
"""

# flake8's options that say which files and which codes. They mean here what they mean there.
_FLAKE8_OPTIONS: Final = (
    ("--select", "CODES", "repair only these codes, e.g. TSK001,TSK1"),
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
    ("--disable-noqa", None, "repair what a `# noqa` comment excuses, too"),
)


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
                sys.stdout.write(explain(rule))
                parser.exit()
        known = ", ".join(rule.code for rule in RULES)
        parser.error(f"--explain: no rule {values!r}; there are {known}")


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


def _version() -> str:
    libraries = ", ".join(f"{name} {version(name)}" for name in ("flake8", "libcst"))
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"flake8-task-refs {__version__} ({libraries}, {python})"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m flake8_task_refs.fix",
        usage="%(prog)s [OPTIONS] [PATHS]",
        description="Repair asyncio tasks that nobody references, awaits or ends.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(flake8=[])
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
    add("--explain", action=_Explain, metavar="CODE", help="print what a rule is about and end")
    add("--version", action="version", version=_version())
    group = parser.add_argument_group("options of the rules (flake8 reads them, too)")
    for option in OPTIONS:
        nargs = {"nargs": 0} if option.kind == "flag" else {"metavar": option.kind.upper()}
        group.add_argument(option.flag, action=_Forward, dest="flake8", help=option.help, **nargs)
    group = parser.add_argument_group("options of flake8, which its configuration files can set")
    for flag, metavar, text in _FLAKE8_OPTIONS:
        names = ("-j", flag) if flag == "--jobs" else (flag,)
        nargs = {"metavar": metavar} if metavar else {"nargs": 0}
        group.add_argument(*names, action=_Forward, dest="flake8", help=text, **nargs)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the fixer with ``argv`` (``sys.argv`` if ``None``) and return its exit status."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    _refuse_unknown_codes(parser, arguments.flake8)
    if STDIN in arguments.paths and len(arguments.paths) > 1:
        parser.error("- (standard input) cannot be mixed with other paths")
    try:
        config = load(arguments.flake8, arguments.paths)
    except ConfigError as error:
        parser.error(str(error))
    job = Job(
        settings=config.settings,
        shutdown_timeout=arguments.shutdown_timeout,
        unsafe_fixes=arguments.unsafe_fixes,
        write=not arguments.diff and not arguments.check,
    )
    try:
        if STDIN in arguments.paths:
            if arguments.check and not arguments.diff:
                return _list([_scan_stdin(config)])
            reports: Iterable[Report] = [_repair_stdin(job, config)]
        else:
            items = [(name, config.codes(name)) for name in config.files()]
            if items and not any(codes for _, codes in items):
                _tell(f"no {PREFIX} code is selected for any of these files")
            if arguments.check and not arguments.diff:
                return _list(each(partial(scan_file, config.settings), items, config.jobs))
            reports = each(partial(repair_file, job), items, config.jobs)
        return _report(reports, done=job.write, diff=arguments.diff, check=arguments.check)
    except BrokenPipeError:
        # Whoever read our output has enough of it. Python would complain when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_ERROR
    except BrokenProcessPool:
        _tell("error: a worker process was killed; some files were not looked at")
        return EXIT_ERROR
    except KeyboardInterrupt:
        _tell("interrupted")
        return EXIT_INTERRUPTED


def _refuse_unknown_codes(parser: argparse.ArgumentParser, given: Iterable[str]) -> None:
    """End with a usage error if a code of ours is selected that no rule has."""
    for argument in given:
        flag, _, value = argument.partition("=")
        if flag in {"--select", "--extend-select"}:
            for code in value.replace(",", " ").split():
                if code.startswith(PREFIX) and not any(r.code.startswith(code) for r in RULES):
                    parser.error(f"{flag}: no rule's code begins with {code}")


def _scan_stdin(config: LintConfig) -> Scanned:
    """Check standard input."""
    name = config.display_name(STDIN)
    codes = config.codes(STDIN) if config.files() else ()
    try:
        return scan_text(config.settings, name, decode(sys.stdin.buffer.read()), codes)
    except FileError as error:
        return Scanned(name, error=str(error))


def _repair_stdin(job: Job, config: LintConfig) -> Report:
    """Repair standard input; unless a diff or a check is wanted, put the text on standard output.

    What cannot be repaired goes out as it came in: a shell may be writing it over the file.
    """
    data = sys.stdin.buffer.read()
    name = config.display_name(STDIN)
    codes = config.codes(STDIN) if config.files() else ()
    try:
        report, _ = repair_text(job, decode(data), name, codes)
    except FileError as error:
        report = Report(name, error=str(error))
    if job.write:
        sys.stdout.buffer.write(data if report.data is None else report.data)
        sys.stdout.buffer.flush()
    return report


def _report(reports: Iterable[Report], *, done: bool, diff: bool, check: bool) -> int:
    """Print what became of each file, and a last line for all; return the exit status."""
    read = changed = fixed = declined = errors = 0
    for report in reports:
        read += 1
        if diff and report.diff:
            sys.stdout.buffer.write(report.diff)
            sys.stdout.buffer.flush()
        if report.error:
            errors += 1
            _tell(f"{report.name}: error: {report.error}")
        if report.data is not None:
            changed += 1
            fixed += len(report.fixed)
            counts = sorted(Counter(finding.code for finding in report.fixed).items())
            codes = ", ".join(f"{count} {code}" for code, count in counts)
            _tell(f"{report.name}: {'fixed' if done else 'would fix'} {codes}")
        for refusal in report.declined:
            declined += 1
            site = refusal.finding
            where = f"{report.name}:{site.line}:{site.column}"
            _tell(f"{where}: {site.code} declined: {refusal.reason}")
    _tell(
        f"{_count(fixed, 'finding')} {'fixed' if done else 'to fix'} in {_count(changed, 'file')}, "
        f"{declined} declined; {_count(read, 'file')} read, {_count(errors, 'error')}"
    )
    if errors:
        return EXIT_ERROR
    return EXIT_FOUND if check and (changed or declined) else EXIT_CLEAN


def _list(results: Iterable[Scanned]) -> int:
    """Print the findings as flake8 does, and a last line for all; return the exit status."""
    read = found = files = errors = 0
    for result in results:
        read += 1
        if result.error:
            errors += 1
            _tell(f"{result.name}: error: {result.error}")
        for finding in result.findings:
            where = f"{result.name}:{finding.line}:{finding.column}"
            sys.stdout.write(f"{where}: {finding.code} {finding.message}\n")
        found += len(result.findings)
        files += bool(result.findings)
    sys.stdout.flush()
    _tell(
        f"{_count(found, 'finding')} in {_count(files, 'file')}; "
        f"{_count(read, 'file')} read, {_count(errors, 'error')}"
    )
    if errors:
        return EXIT_ERROR
    return EXIT_FOUND if found else EXIT_CLEAN


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())

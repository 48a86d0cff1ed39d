"""The fixer's command line, and nothing else: ``python -m flake8_task_refs.fix [PATHS]``."""

from __future__ import annotations

import argparse
import math
import os
import platform
import sys
from collections import Counter, deque
from concurrent.futures.process import BrokenProcessPool
from difflib import get_close_matches
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from flake8_task_refs import __version__
from flake8_task_refs.files import FileError, decode
from flake8_task_refs.fix.repair import Job, Report, repair_file, repair_text
from flake8_task_refs.flake8_config import STDIN, ConfigError, LintConfig, load
from flake8_task_refs.options import OPTIONS
from flake8_task_refs.processes import each
from flake8_task_refs.reports.baseline import Baseline, BaselineError
from flake8_task_refs.reports.formats import FORMATS
from flake8_task_refs.reports.identity import Sources
from flake8_task_refs.reports.terminal import Terminal
from flake8_task_refs.rules import BY_CODE, PREFIX, RULES, explain
from flake8_task_refs.scanning import Scanned, scan_file, scan_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

EXIT_CLEAN: Final = 0
EXIT_FOUND: Final = 1
EXIT_USAGE: Final = 2
EXIT_ERROR: Final = 123
EXIT_INTERRUPTED: Final = 130

# As installed; pyproject.toml gives it this name.
_COMMAND: Final = "flake8-task-refs-fix"

_EPILOG = """\
exit status: 0 nothing to do or all done; 1 --check found something, repairable or not;
2 wrong usage; 123 some file could not be read, parsed or written, whatever else was found.
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
    ("--color", "WHEN", "auto, always or never (default: auto, and NO_COLOR is honoured)"),
    ("--toml-config", "FILE", "Flake8-pyproject's: read [tool.flake8] of this file"),
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
        names = [name for rule in RULES for name in (rule.code, rule.name)]
        hint = _did_you_mean(wanted.upper(), names) or _did_you_mean(wanted, names)
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
        sys.stdout.write(f"{shtab.complete(parser, str(values))}\n")
        parser.exit()


class _Parser(argparse.ArgumentParser):
    """Says, beside what is wrong, what may have been meant."""

    def error(self, message: str) -> NoReturn:
        kind, _, rest = message.partition(": ")
        if kind == "unrecognized arguments":
            known = [flag for flag in self._option_string_actions if flag.startswith("--")]
            given = [word.partition("=")[0] for word in rest.split() if word.startswith("-")]
            message += "".join(_did_you_mean(flag, known) for flag in given)
        super().error(message)


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a question for the end of an error message, ``""`` if nothing is like ``word``."""
    near = get_close_matches(word, known, n=1)
    return f" (did you mean {near[0]}?)" if near and near[0] != word else ""


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
    parser = _Parser(
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
    _refuse_what_does_not_go_together(parser, arguments)
    try:
        config = load(arguments.flake8, arguments.paths)
    except ConfigError as error:
        parser.error(str(error))
    terminal = Terminal(config.options.color)
    try:
        if arguments.check and not arguments.diff:
            return _check(arguments, config, terminal)
        return _repair(arguments, config, terminal)
    except BaselineError as error:
        parser.error(f"--baseline {arguments.baseline}: {error}")
    except BrokenProcessPool:
        terminal.tell("error: a worker process was killed; some files were not looked at", "red")
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


def _refuse_what_does_not_go_together(
    parser: argparse.ArgumentParser, arguments: argparse.Namespace
) -> None:
    """End with a usage error where one option makes no sense beside, or without, another."""
    lists = arguments.check and not arguments.diff
    if STDIN in arguments.paths and len(arguments.paths) > 1:
        parser.error("- (standard input) cannot be mixed with other paths")
    if arguments.output_format != "text" and not lists:
        parser.error("--output-format: goes with --check, and without --diff")
    if arguments.baseline is not None and not lists:
        parser.error("--baseline: goes with --check, and without --diff")
    if arguments.write_baseline and arguments.baseline is None:
        parser.error("--write-baseline: say with --baseline where to")


def _refuse_unknown_codes(parser: argparse.ArgumentParser, given: Iterable[str]) -> None:
    """End with a usage error if a code of ours is selected that no rule has."""
    for argument in given:
        flag, _, value = argument.partition("=")
        if flag in {"--select", "--extend-select"}:
            for code in value.replace(",", " ").split():
                if code.startswith(PREFIX) and not any(r.code.startswith(code) for r in RULES):
                    hint = _did_you_mean(code, BY_CODE)
                    parser.error(f"{flag}: no rule's code begins with {code}{hint}")


def _items(config: LintConfig, terminal: Terminal) -> list[tuple[str, tuple[str, ...]]]:
    """Return the files to read, and the codes that may speak of each."""
    items = [(name, config.codes(name)) for name in config.files()]
    if not items:
        paths = ", ".join(config.options.filenames) or "."
        terminal.tell(f"no file to read in {paths}: there is none, or it is excluded")
    elif not any(codes for _, codes in items):
        terminal.tell(f"no {PREFIX} code is selected for any of these files")
    return items


def _check(arguments: argparse.Namespace, config: LintConfig, terminal: Terminal) -> int:
    """List the findings, and a last line for all; return the exit status."""
    results: Iterable[Scanned]
    if STDIN in arguments.paths:
        scanned, text = _scan_stdin(config)
        results = [scanned]
        sources = Sources(texts={scanned.name: text})
    else:
        items = _items(config, terminal)
        results = each(partial(scan_file, config.settings), items, config.jobs)
        results = terminal.watch(results, len(items))
        sources = Sources()
    baseline = None
    if arguments.baseline is not None:
        baseline = Baseline(arguments.baseline, sources)
        if baseline.exists() or not arguments.write_baseline:
            baseline.read()
        results = baseline.new_in(results)
    tally = _Tally(terminal)
    if baseline and arguments.write_baseline:
        deque(tally.of(results), maxlen=0)
        count = baseline.write()
        terminal.tell(f"{_count(count, 'finding')} written to {arguments.baseline}")
        return EXIT_ERROR if tally.errors else EXIT_CLEAN
    for piece in FORMATS[arguments.output_format](tally.of(results), sources, terminal.paint):
        terminal.out(piece)
    if baseline and (baseline.known or baseline.gone):
        gone = f", {baseline.gone} gone (write it anew with --write-baseline)"
        left_out = f"{_count(baseline.known, 'known finding')} left out"
        terminal.tell(f"{arguments.baseline}: {left_out}{gone if baseline.gone else ''}")
    terminal.tell(
        f"{_count(tally.found, 'finding')} in {_count(tally.files, 'file')}; "
        f"{_count(tally.read, 'file')} read, {_count(tally.errors, 'error')}"
    )
    if tally.errors:
        return EXIT_ERROR
    return EXIT_FOUND if tally.found else EXIT_CLEAN


class _Tally:
    """Counts results on their way to a format, and tells of files that could not be read."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self.read = self.found = self.files = self.errors = 0

    def of(self, results: Iterable[Scanned]) -> Iterator[Scanned]:
        """Yield ``results``, counted."""
        for scanned in results:
            self.read += 1
            self.found += len(scanned.findings)
            self.files += bool(scanned.findings)
            if scanned.error:
                self.errors += 1
                _tell_error(self._terminal, scanned.name, scanned.error)
            yield scanned


def _scan_stdin(config: LintConfig) -> tuple[Scanned, str]:
    """Check standard input; return what was found, and its text."""
    name = config.display_name(STDIN)
    codes = config.codes(STDIN) if config.files() else ()
    try:
        source = decode(sys.stdin.buffer.read())
    except FileError as error:
        return Scanned(name, error=str(error)), ""
    return scan_text(config.settings, name, source, codes), source.text


def _repair(arguments: argparse.Namespace, config: LintConfig, terminal: Terminal) -> int:
    """Repair the files, or show how; return the exit status."""
    job = Job(
        settings=config.settings,
        shutdown_timeout=arguments.shutdown_timeout,
        unsafe_fixes=arguments.unsafe_fixes,
        write=not arguments.diff,
    )
    if STDIN in arguments.paths:
        reports: Iterable[Report] = [_repair_stdin(job, config)]
    else:
        items = _items(config, terminal)
        reports = terminal.watch(each(partial(repair_file, job), items, config.jobs), len(items))
    shown = arguments.diff
    return _report(reports, terminal, done=job.write, diff=shown, check=arguments.check)


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


def _report(
    reports: Iterable[Report], terminal: Terminal, *, done: bool, diff: bool, check: bool
) -> int:
    """Print what became of each file, and a last line for all; return the exit status."""
    read = changed = fixed = declined = errors = 0
    for report in reports:
        read += 1
        if diff and report.diff:
            terminal.out_diff(report.diff)
        if report.error:
            errors += 1
            _tell_error(terminal, report.name, report.error)
        if report.data is not None:
            changed += 1
            fixed += len(report.fixed)
            counts = sorted(Counter(finding.code for finding in report.fixed).items())
            codes = ", ".join(f"{count} {code}" for code, count in counts)
            verb = "fixed" if done else "would fix"
            terminal.tell(f"{report.name}: {verb} {codes}", "green")
        for refusal in report.declined:
            declined += 1
            site = refusal.finding
            where = f"{report.name}:{site.line}:{site.column}"
            terminal.tell(f"{where}: {site.code} declined: {refusal.reason}", "yellow")
    terminal.tell(
        f"{_count(fixed, 'finding')} {'fixed' if done else 'to fix'} in {_count(changed, 'file')}, "
        f"{declined} declined; {_count(read, 'file')} read, {_count(errors, 'error')}"
    )
    if errors:
        return EXIT_ERROR
    return EXIT_FOUND if check and (changed or declined) else EXIT_CLEAN


def _tell_error(terminal: Terminal, name: str, error: str) -> None:
    """Say what is wrong with a file; if there is no such file, which may have been meant."""
    path = Path(name)
    hint = ""
    if not os.path.lexists(path):
        while not path.parent.exists():
            path = path.parent
        try:
            near = [str(other) for other in path.parent.iterdir()]
        except OSError:
            near = []
        hint = _did_you_mean(str(path), near)
    terminal.tell(f"{name}: error: {error}{hint}", "red")


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


if __name__ == "__main__":
    sys.exit(main())

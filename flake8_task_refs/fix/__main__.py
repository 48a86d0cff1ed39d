"""The fixer's command line, and nothing else: ``python -m flake8_task_refs.fix [PATHS]``."""

from __future__ import annotations

import argparse
import math
import sys
from collections import Counter, deque
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NoReturn

from flake8_task_refs.command_line import (
    EXIT_CLEAN,
    EXIT_ERROR,
    EXIT_FOUND,
    EXIT_INTERRUPTED,
    Parser,
    add_common_options,
    counted,
    did_you_mean,
    gracefully,
    items_of,
    leave,
    refuse_unknown_codes,
    tell_error,
)
from flake8_task_refs.files import FileError, decode
from flake8_task_refs.fix.repair import Job, Report, repair_file, repair_text, unrepaired
from flake8_task_refs.flake8_config import STDIN, ConfigError, LintConfig, load
from flake8_task_refs.processes import Crew
from flake8_task_refs.reports.baseline import Baseline, BaselineError
from flake8_task_refs.reports.formats import FORMATS
from flake8_task_refs.reports.identity import Sources
from flake8_task_refs.reports.terminal import Terminal
from flake8_task_refs.rules import RULES, explain
from flake8_task_refs.scanning import Scanned, named, prepare, scan_quietly, scan_text, unscanned

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

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
                sys.stdout.write(explain(rule))
                parser.exit()
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
        sys.stdout.write(f"{shtab.complete(parser, str(values))}\n")
        parser.exit()


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
    parser = _parser()
    arguments = parser.parse_args(argv)
    refuse_unknown_codes(parser, arguments.flake8)
    _refuse_what_does_not_go_together(parser, arguments)
    try:
        config = load(arguments.flake8, arguments.paths)
    except ConfigError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    terminal = Terminal(config.options.color)
    try:
        lists = arguments.check and not arguments.diff
        work = _check if lists else _repair
        return gracefully(partial(work, arguments, config, terminal), terminal)
    except BaselineError as error:
        parser.error(f"--baseline {arguments.baseline}: {error}")


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


def _check(arguments: argparse.Namespace, config: LintConfig, terminal: Terminal) -> int:
    """List the findings, and a last line for all; return the exit status."""
    if STDIN in arguments.paths:
        scanned, text = _scan_stdin(config)
        return _list([scanned], Sources(texts={scanned.name: text}), arguments, config, terminal)
    work = partial(scan_quietly, config.settings)
    with Crew(work, config.jobs, lost=unscanned, prepare=prepare) as crew:
        items = items_of(config, terminal, crew.start)
        results = terminal.watch(named(items, crew.each(items)), len(items))
        return _list(results, Sources(), arguments, config, terminal)


def _list(
    results: Iterable[Scanned],
    sources: Sources,
    arguments: argparse.Namespace,
    config: LintConfig,
    terminal: Terminal,
) -> int:
    """List ``results`` as ``arguments`` say, those of the baseline left out."""
    baseline = None
    if arguments.baseline is not None:
        baseline = Baseline(arguments.baseline, sources, config.codes)
        if baseline.exists() or not arguments.write_baseline:
            baseline.read()
        results = baseline.new_in(results)
    tally = _Tally(terminal)
    if baseline and arguments.write_baseline:
        deque(tally.of(results), maxlen=0)
        count = baseline.write()
        terminal.tell(f"{counted(count, 'finding')} written to {arguments.baseline}")
        return EXIT_ERROR if tally.errors else EXIT_CLEAN
    for piece in FORMATS[arguments.output_format](tally.of(results), sources, terminal.paint):
        terminal.out(piece)
    if baseline and (baseline.known or baseline.gone):
        gone = f", {baseline.gone} gone (write it anew with --write-baseline)"
        left_out = f"{counted(baseline.known, 'known finding')} left out"
        terminal.tell(f"{arguments.baseline}: {left_out}{gone if baseline.gone else ''}")
    terminal.tell(
        f"{counted(tally.found, 'finding')} in {counted(tally.files, 'file')}; "
        f"{counted(tally.read, 'file')} read, {counted(tally.errors, 'error')}"
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
                tell_error(self._terminal, scanned.name, scanned.error)
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
        within=tuple(arguments.paths or ["."]),
        line_length=config.line_length,
    )
    tell = partial(
        _report, terminal=terminal, done=job.write, diff=arguments.diff, check=arguments.check
    )
    if STDIN in arguments.paths:
        return tell([_repair_stdin(job, config)])
    work = partial(repair_file, job)
    with Crew(work, config.jobs, lost=unrepaired, prepare=prepare) as crew:
        # Nothing is repaired before it is known by which of its names a file goes.
        items = items_of(config, terminal, lambda rest, _: crew.start(rest))
        return tell(terminal.watch(crew.each(items), len(items)))


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
            tell_error(terminal, report.name, report.error)
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
    repaired = f"{counted(fixed, 'finding')} {'fixed' if done else 'to fix'}"
    terminal.tell(
        f"{repaired} in {counted(changed, 'file')}, "
        f"{declined} declined; {counted(read, 'file')} read, {counted(errors, 'error')}"
    )
    if errors:
        return EXIT_ERROR
    return EXIT_FOUND if check and (changed or declined) else EXIT_CLEAN


def run() -> NoReturn:
    """Run the command line, and end this process with its exit status."""
    leave(main())


if __name__ == "__main__":
    run()

"""A run that repairs the files, or shows how, and says what became of each."""

from __future__ import annotations

import sys
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from flake8_task_refs.command_line import (
    EXIT_CLEAN,
    EXIT_ERROR,
    EXIT_FOUND,
    counted,
    items_of,
    stdin_codes,
    tell_error,
)
from flake8_task_refs.discovery import STDIN
from flake8_task_refs.files import FileError, decode, read_stdin
from flake8_task_refs.fix.contract import NO_END_YET
from flake8_task_refs.fix.repair import Job, Report, repair_file, repair_text, unrepaired
from flake8_task_refs.processes import Crew
from flake8_task_refs.scanning import prepare

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from flake8_task_refs.analysis.finding import Finding
    from flake8_task_refs.reports.terminal import Terminal
    from flake8_task_refs.worklist import Worklist


def run(arguments: argparse.Namespace, worklist: Worklist, terminal: Terminal) -> int:
    """Repair the files, or show how; return the exit status."""
    config = worklist.config
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
        return tell([_repair_stdin(job, worklist)])
    work = partial(repair_file, job)
    with Crew(work, config.jobs, lost=unrepaired, prepare=prepare) as crew:
        # Nothing is repaired before it is known by which of its names a file goes.
        items = items_of(worklist, terminal, lambda _: crew.start())
        return tell(terminal.watch(crew.each(items), len(items)))


def _repair_stdin(job: Job, worklist: Worklist) -> Report:
    """Repair standard input; unless a diff or a check is wanted, put the text on standard output.

    What cannot be repaired goes out as it came in: a shell may be writing it over the file.
    """
    data = b""
    name = worklist.config.stdin_name
    codes = stdin_codes(worklist)
    try:
        data = read_stdin()
        report, _ = repair_text(job, decode(data), name, codes)
    except FileError as error:
        report = Report(name, error=str(error))
    if job.write:
        sys.stdout.buffer.write(data if report.data is None else report.data)
        sys.stdout.buffer.flush()
    return report


def _where(report: Report, finding: Finding) -> str:
    return f"{report.name}:{finding.line}:{finding.column}"


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
        for site, code in report.unended:
            text = f"{site.code} {'fixed' if done else 'to fix'}, {NO_END_YET} ({code})"
            terminal.tell(f"{_where(report, site)}: {text}", "yellow")
        for refusal in report.declined:
            declined += 1
            site = refusal.finding
            text = f"{site.code} declined: {refusal.reason}"
            terminal.tell(f"{_where(report, site)}: {text}", "yellow")
    repaired = f"{counted(fixed, 'finding')} {'fixed' if done else 'to fix'}"
    terminal.tell(
        f"{repaired} in {counted(changed, 'file')}, "
        f"{declined} declined; {counted(read, 'file')} read, {counted(errors, 'error')}"
    )
    if errors:
        return EXIT_ERROR
    return EXIT_FOUND if check and (changed or declined) else EXIT_CLEAN

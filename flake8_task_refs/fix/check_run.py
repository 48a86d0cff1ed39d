"""A run of ``--check``: list what is found, and say how much that is."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from flake8_task_refs.command_line import (
    EXIT_CLEAN,
    EXIT_ERROR,
    EXIT_FOUND,
    UsageError,
    counted,
    items_of,
    stdin_codes,
    tell_error,
)
from flake8_task_refs.discovery import STDIN
from flake8_task_refs.files import FileError, decode, read_stdin
from flake8_task_refs.processes import Crew
from flake8_task_refs.reports.baseline import Baseline, BaselineError
from flake8_task_refs.reports.formats import FORMATS
from flake8_task_refs.reports.identity import Sources
from flake8_task_refs.scanning import Scanned, prepare, scan_quietly, scan_text, unscanned

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator, Mapping

    from flake8_task_refs.reports.terminal import Terminal
    from flake8_task_refs.worklist import Worklist


def run(arguments: argparse.Namespace, worklist: Worklist, terminal: Terminal) -> int:
    """List the findings, and a last line for all; return the exit status.

    Raises ``UsageError`` if the baseline cannot be used.
    """
    try:
        return _check(arguments, worklist, terminal)
    except BaselineError as error:
        raise UsageError(f"--baseline {arguments.baseline}: {error}") from None


def _check(arguments: argparse.Namespace, worklist: Worklist, terminal: Terminal) -> int:
    config = worklist.config
    if STDIN in arguments.paths:
        scanned, text, codes = _scan_stdin(worklist)
        sources = Sources(texts={scanned.name: text})
        return _list([scanned], sources, {scanned.name: codes}, arguments, terminal)
    work = partial(scan_quietly, config.settings)
    with Crew(work, config.jobs, lost=unscanned, prepare=prepare) as crew:
        items = items_of(worklist, terminal, crew.start)
        # Of most files, there is nothing to tell.
        results = filter(None, terminal.watch(crew.each(items), len(items)))
        return _list(results, Sources(), dict(items), arguments, terminal)


def _list(
    results: Iterable[Scanned],
    sources: Sources,
    checked: Mapping[str, tuple[str, ...]],
    arguments: argparse.Namespace,
    terminal: Terminal,
) -> int:
    """List ``results`` as ``arguments`` say, those of the baseline left out.

    ``checked`` maps the name of each file that is checked to the codes that it is checked for.
    """
    baseline = None
    if arguments.baseline is not None:
        baseline = Baseline(arguments.baseline, sources, checked)
        if baseline.exists() or not arguments.write_baseline:
            baseline.read()
        results = baseline.new_in(results)
    tally = _Tally(terminal)
    if baseline and arguments.write_baseline:
        deque(tally.of(results), maxlen=0)
        count = baseline.write()
        terminal.tell(f"{counted(count, 'finding')} written to {arguments.baseline}")
        return EXIT_ERROR if tally.errors else EXIT_CLEAN
    form = FORMATS[arguments.output_format]
    for piece in form(tally.of(results), sources, terminal.paint, len(checked)):
        terminal.out(piece)
    known, gone = (baseline.known, baseline.gone) if baseline else (0, 0)
    if known or gone:
        left_out = f"{counted(known, 'known finding')} left out"
        hint = f", {gone} gone (write it anew with --write-baseline)" if gone else ""
        terminal.tell(f"{arguments.baseline}: {left_out}{hint}")
    terminal.tell(
        f"{counted(tally.found, 'finding')} in {counted(tally.files, 'file')}; "
        f"{counted(len(checked), 'file')} read, {counted(tally.errors, 'error')}"
    )
    if tally.errors:
        return EXIT_ERROR
    return EXIT_FOUND if tally.found else EXIT_CLEAN


class _Tally:
    """Counts results on their way to a format, and tells of files that could not be read."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self.found = self.files = self.errors = 0

    def of(self, results: Iterable[Scanned]) -> Iterator[Scanned]:
        """Yield ``results``, counted."""
        for scanned in results:
            self.found += len(scanned.findings)
            self.files += bool(scanned.findings)
            if scanned.error:
                self.errors += 1
                tell_error(self._terminal, scanned.name, scanned.error)
            yield scanned


def _scan_stdin(worklist: Worklist) -> tuple[Scanned, str, tuple[str, ...]]:
    """Check standard input; return what was found, its text, and the codes it was checked for."""
    name = worklist.config.stdin_name
    codes = stdin_codes(worklist)
    try:
        source = decode(read_stdin())
    except FileError as error:
        return Scanned(name, error=str(error)), "", codes
    return scan_text(worklist.config.settings, name, source, codes), source.text, codes

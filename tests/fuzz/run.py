"""Throw broken files at the plugin and the fixer: ``python tests/fuzz/run.py --inputs 200000``.

It prints one line for each kind of problem, with the number that makes the input again
(``--only NUMBER``, with the same ``--seed`` and ``--corpus``), and ends with status 1 if there was
any. A process that crashes or hangs is a problem like any other.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import sys
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import inputs
from invariants import problem_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection

# Seconds after which an input counts as a hang, on a machine that has other work, too.
_HANGS_AFTER: Final = 60.0
_SLOW: Final = 10.0
# How often a worker tells where it is.
_BATCH: Final = 20


@dataclass
class Found:
    """What a run found: how many inputs ran, and for each kind of problem the inputs' numbers."""

    inputs: int = 0
    problems: dict[str, list[int]] = field(default_factory=dict)

    def add(self, problem: str, number: int) -> bool:
        """Note a problem and tell whether it is the first of its kind."""
        numbers = self.problems.setdefault(problem, [])
        numbers.append(number)
        return len(numbers) == 1


def check(texts: list[str], seed: int, number: int) -> str:
    """Return what is wrong with input ``number`` of ``seed``, empty if nothing is."""
    data = inputs.make(texts, seed, number)
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        problem = problem_of(data, random.Random(f"{seed}/{number}/settings"))
    if not problem and time.process_time() - start > _SLOW:
        return f"takes more than {_SLOW:.0f} s"
    return problem


def _work(
    pipe: Connection, texts: list[str], seed: int, numbers: range, until: float | None
) -> None:
    """Check the inputs ``numbers`` and send (how many are done, number, problem) now and then."""
    for done, number in enumerate(numbers, 1):
        if until is not None and time.time() > until:
            break
        if done % _BATCH == 1:
            pipe.send((done - 1, number, ""))
        problem = check(texts, seed, number)
        if problem:
            pipe.send((done, number, problem))
    else:
        done = len(numbers)
    pipe.send((done, -1, ""))


class _Worker:
    """A process that checks some of the inputs, and is started again where it dies."""

    def __init__(
        self, texts: list[str], seed: int, numbers: range, until: float | None, found: Found
    ) -> None:
        self.texts, self.seed, self.numbers, self.until, self.found = (
            texts,
            seed,
            numbers,
            until,
            found,
        )
        self.counted = 0
        self._start()

    def _start(self) -> None:
        self.pipe, there = multiprocessing.Pipe(duplex=False)
        self.heard = time.monotonic()
        self.ended = not self.numbers
        self.process = multiprocessing.Process(
            target=_work, args=(there, self.texts, self.seed, self.numbers, self.until), daemon=True
        )
        self.process.start()
        there.close()
        self.at = 0

    def poll(self) -> Iterator[tuple[int, str]]:
        """Yield (number, problem) for what the worker has said since, or for its death."""
        try:
            while self.pipe.poll():
                done, number, problem = self.pipe.recv()
                self.heard = time.monotonic()
                self.found.inputs += done - self.counted
                self.counted = done
                self.at = done
                if problem:
                    yield number, problem
                self.ended |= number < 0
        except EOFError:
            pass
        if self.ended:
            return
        hangs = time.monotonic() - self.heard > _HANGS_AFTER
        if hangs:
            self.process.kill()
        if hangs or not self.process.is_alive():
            self.process.join()
            yield from self._look_for_the_death("hangs" if hangs else "kills its process")

    def _look_for_the_death(self, how: str) -> Iterator[tuple[int, str]]:
        """Run the inputs of the last batch one by one, to see which it was, and go on behind it."""
        for index in range(self.at, min(self.at + _BATCH + 1, len(self.numbers))):
            number = self.numbers[index]
            alone = multiprocessing.Process(target=check, args=(self.texts, self.seed, number))
            alone.start()
            alone.join(_HANGS_AFTER)
            if alone.is_alive() or alone.exitcode:
                alone.kill()
                yield number, how
                self._go_on(index + 1)
                return
        yield self.numbers[self.at], f"{how}, but not alone"
        self._go_on(self.at + _BATCH + 1)

    def _go_on(self, index: int) -> None:
        self.found.inputs += index - self.counted
        self.numbers = self.numbers[index:]
        self.counted = 0
        self._start()


def run(
    texts: list[str],
    numbers: range,
    *,
    seed: int = 0,
    jobs: int = 1,
    seconds: float | None = None,
    tell: Callable[[str], object] = print,
) -> Found:
    """Check the inputs ``numbers`` of ``seed`` in ``jobs`` processes, for ``seconds`` at most."""
    found = Found()
    until = time.time() + seconds if seconds is not None else None
    workers = [
        _Worker(texts, seed, numbers[first::jobs], until, found)
        for first in range(min(jobs, len(numbers)))
    ]
    told = time.monotonic()
    while not all(worker.ended for worker in workers):
        for worker in workers:
            for number, problem in worker.poll():
                if found.add(problem, number):
                    tell(f"input {number}: {problem}")
        if time.monotonic() - told > 60:
            told = time.monotonic()
            tell(f"{found.inputs} inputs, {len(found.problems)} kinds of problems")
        time.sleep(0.02)
    for worker in workers:
        worker.process.join()
    return found


def smallest(data: bytes, problem: str, seconds: float = 60.0) -> bytes:
    """Return ``data`` with as many lines and characters left out as the problem allows."""
    until = time.monotonic() + seconds
    for pieces in (data.splitlines(keepends=True), None):
        parts = pieces if pieces is not None else [bytes([byte]) for byte in data]
        size = max(1, len(parts) // 2)
        while size and time.monotonic() < until:
            at = 0
            while at < len(parts) and time.monotonic() < until:
                shorter = parts[:at] + parts[at + size :]
                if problem_of(b"".join(shorter)) == problem:
                    parts = shorter
                else:
                    at += size
            size //= 2
        data = b"".join(parts)
    return data


def _generated(count: int, seed: int, found: Found) -> None:
    """Check modules that hypothesmith makes, alone and around code that creates a task."""
    import hypothesmith
    from hypothesis import HealthCheck, given, settings
    from hypothesis import seed as hypothesis_seed

    before = "import asyncio\n\n\nasync def start(self):\n    asyncio.create_task(work())\n\n\n"

    @hypothesis_seed(seed)
    @settings(
        max_examples=count, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(hypothesmith.from_node() | hypothesmith.from_grammar())
    def one(text: str) -> None:
        inside = "".join(f"    {line}" for line in text.splitlines(keepends=True))
        for source in (f"{text}\n{before}", f"{before}{text}", f"{before.rstrip()}\n{inside}"):
            found.inputs += 1
            problem = problem_of(source.encode("utf-8", "replace"))
            if problem and found.add(problem, -1):
                print(f"generated: {problem}\n{source!r}")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one()


def main() -> int:
    """Run the fuzzer and return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--seconds", type=float, help="end after this time, whatever is left")
    parser.add_argument("--corpus", type=Path, help="a directory of other people's Python files")
    parser.add_argument("--generated", type=int, default=0, help="modules made by hypothesmith")
    parser.add_argument("--only", type=int, help="check this input, make it small and print it")
    arguments = parser.parse_args()
    texts = inputs.seeds(arguments.corpus)
    if arguments.only is not None:
        data = inputs.make(texts, arguments.seed, arguments.only)
        problem = check(texts, arguments.seed, arguments.only)
        print(problem or "nothing is wrong with it")
        if problem_of(data) == problem != "":
            data = smallest(data, problem)
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        return bool(problem)
    print(f"{len(texts)} texts to start from", flush=True)
    numbers = range(arguments.first, arguments.first + arguments.inputs)
    found = run(
        texts,
        numbers,
        seed=arguments.seed,
        jobs=arguments.jobs,
        seconds=arguments.seconds,
        tell=lambda line: print(line, flush=True),
    )
    if arguments.generated:
        _generated(arguments.generated, arguments.seed, found)
    print(f"{found.inputs} inputs checked")
    for problem, places in sorted(found.problems.items(), key=lambda item: -len(item[1])):
        print(f"{len(places)} × {problem}: {places[:5]}")
    return bool(found.problems)


if __name__ == "__main__":
    sys.exit(main())

"""Time and memory of flake8-task-refs beside ruff and flake8(-async), on the same tree and cores.

    python benchmarks/speed.py TREE [--runs N] [--part PART] [--python LABEL=PATH] [--readme]

TREE is a directory of Python files, such as the one that ``benchmarks/corpus.py`` fills; what is
measured under flake8 is TREE/distributed if it is there, else TREE. The commands of one comparison
take turns, N times each (default 5), every other time backwards, and the medians are compared. CPU
time counts all processes of a command, so other work on the machine matters less than to the time
that passes; memory is the largest process's. With ``--python``, ``--check`` is measured under
another Python as well, in which flake8-task-refs is installed: how an interpreter was built matters
as much as what it runs. Prints Markdown; ``--readme`` also puts it into README.md.
"""

from __future__ import annotations

import argparse
import compileall
import email
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import flake8_task_refs
from flake8_task_refs.analysis.check import check_source

if TYPE_CHECKING:
    from collections.abc import Callable

README = Path(__file__).parent.parent / "README.md"
MARKED = re.compile(r"(?<=<!-- speed:begin -->\n).*?(?=<!-- speed:end -->)", re.DOTALL)
PYTHON = sys.executable
OURS = "flake8-task-refs"
PLUGINS = (OURS, "flake8-async")
# flake8 with some of the installed plugins hidden from it.
FLAKE8 = """
import sys, importlib.metadata as metadata
hidden, found = sys.argv.pop(1).split(","), metadata.distributions
metadata.distributions = lambda: (d for d in found() if d.metadata["Name"] not in hidden)
from flake8.main.cli import main
sys.exit(main())
"""
FIX = ("-m", "flake8_task_refs.fix", "--isolated")
FIXER = (PYTHON, *FIX)
PARSE = """
import pathlib, sys, libcst
for name in sys.argv[1:]:
    libcst.parse_module(pathlib.Path(name).read_bytes())
"""


@dataclass(frozen=True)
class Cost:
    """What a command took: seconds that passed, seconds of CPU, and megabytes of memory."""

    passed: float
    cpu: float
    memory: float


def run(command: list[str]) -> Cost:
    """Run ``command``, whose exit status 1 means findings. Ends the program if it fails."""
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1):
        sys.exit(f"exit status {process.returncode}: {' '.join(command)}")
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return Cost(
        time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / unit
    )


def compare(commands: dict[str, list[str]], runs: int) -> dict[str, Cost]:
    """Return the medians of ``runs`` turns of each of the commands, forwards and backwards."""
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for turn in range(runs):
        # A machine that slows down, or warms up, shall do so for all alike.
        for name in [*commands][:: -1 if turn % 2 else 1]:
            costs[name].append(run(commands[name]))
    return {
        name: Cost(
            statistics.median(cost.passed for cost in found),
            statistics.median(cost.cpu for cost in found),
            statistics.median(cost.memory for cost in found),
        )
        for name, found in costs.items()
    }


def table(costs: dict[str, Cost], title: str) -> list[str]:
    """Return a table; the first of ``costs`` is what the others are compared with."""
    first = next(iter(costs.values()))
    lines = [
        f"| {title} | seconds | × | CPU seconds | × | MB |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {name} | {cost.passed:.2f} | {cost.passed / first.passed:.2f} "
        f"| {cost.cpu:.2f} | {cost.cpu / first.cpu:.2f} | {cost.memory:.0f} |"
        for name, cost in costs.items()
    ]
    return [*lines, ""]


def flake8(hidden: tuple[str, ...], tree: Path) -> list[str]:
    """Return the command that runs flake8 without the plugins ``hidden`` over ``tree``."""
    return [PYTHON, "-c", FLAKE8, ",".join(hidden), "--isolated", str(tree)]


def with_plugins(tree: Path, runs: int, *, peer: bool) -> dict[str, Cost]:
    """Return what flake8 costs over ``tree`` without plugins, with ours, and with flake8-async."""
    commands = {"flake8": flake8(PLUGINS, tree), f"with {OURS}": flake8(PLUGINS[1:], tree)}
    costs = compare(commands, runs)
    if peer:
        # It takes minutes: once is enough to see by how much.
        costs |= compare({"with flake8-async": flake8(PLUGINS[:1], tree)}, 1)
    return costs


def changed_files(tree: Path) -> list[str]:
    """Return the files below ``tree`` that the fixer would change."""
    command = [*FIXER, "--diff", "."]
    done = subprocess.run(command, cwd=tree, capture_output=True, encoding="utf-8", check=False)
    names = re.findall(r"^\+\+\+ b/(.*)$", done.stdout, re.MULTILINE)
    return [str(tree / name) for name in names]


def repairing(tree: Path, runs: int) -> list[str]:
    """Return a table of what it costs to plan repairs, beside libcst's parse of the same files."""
    names = changed_files(tree)
    costs = compare(
        {
            "libcst.parse_module": [PYTHON, "-c", PARSE, *names],
            "ours, `fix --check --diff --jobs 1`": [*FIXER, "--check", "--diff", "-j1", *names],
        },
        runs,
    )
    return table(costs, f"{len(names)} files to repair")


def function(lines: int) -> str:
    """Return a function with ``lines`` statements and one lost task."""
    body = "".join(f"    x{i} = call({i}, x{i - 1 if i else i})\n" for i in range(lines))
    return f"import asyncio\n\n\nasync def f():\n{body}    asyncio.create_task(x1())\n"


def sites(count: int) -> str:
    """Return a function that creates ``count`` tasks and awaits none."""
    body = "".join(
        f"    t{i} = asyncio.create_task(x({i}))\n    t{i}.done()\n" for i in range(count)
    )
    return f"import asyncio\n\n\nasync def f():\n{body}"


def rebound(count: int) -> str:
    """Return a function that binds ``count`` tasks to one name, each in a branch."""
    body = "".join(
        f"    if a{i}:\n        t = asyncio.create_task(x({i}))\n    if t:\n        await t\n"
        for i in range(count)
    )
    return f"import asyncio\n\n\nasync def f(t):\n{body}"


def lifespan(count: int) -> str:
    """Return a lifespan that starts ``count`` endless tasks."""
    body = "".join(f"    t{i} = asyncio.create_task(poll({i}))\n" for i in range(count))
    return (
        "import asyncio\nfrom contextlib import asynccontextmanager\n\n"
        "from fastapi import FastAPI\n\n\nasync def poll(i):\n    while True:\n"
        "        await asyncio.sleep(i)\n\n\n@asynccontextmanager\nasync def lifespan(app):\n"
        f"{body}    yield\n\n\napp = FastAPI(lifespan=lifespan)\n"
    )


def methods(count: int) -> str:
    """Return a class of ``count`` methods, every tenth with a task."""
    body = "".join(
        f"    async def f{i}(self):\n        self.x = {i}\n"
        + ("        asyncio.create_task(self.f0())\n" if i % 10 == 0 else "")
        for i in range(count)
    )
    return f"import asyncio\n\n\nclass A:\n{body}"


def registered(count: int) -> str:
    """Return ``count`` functions that put their task into one registry, which only grows."""
    body = "".join(
        f"async def on_f{i}():\n    t = asyncio.create_task(x({i}))\n    tasks.add(t)\n"
        for i in range(count)
    )
    return f"import asyncio\n\ntasks = set()\n\n\n{body}"


def filled(count: int) -> str:
    """Return a function that puts ``count`` tasks into a list, and waits for them."""
    body = "".join(f"    tasks.append(asyncio.create_task(x({i})))\n" for i in range(count))
    return (
        f"import asyncio\n\n\nasync def f():\n    tasks = []\n{body}    await asyncio.wait(tasks)\n"
    )


def nesting(depth: int) -> str:
    """Return a task ``depth`` blocks deep."""
    body = "".join(f"{'  ' * i}if x{i}:\n" for i in range(1, depth + 1))
    return f"import asyncio\nasync def f():\n{body}{'  ' * (depth + 1)}asyncio.create_task(x())\n"


def generated(megabytes: float) -> str:
    """Return a file of that size: a table of data, and one task."""
    line = "    {'name': 'value', 'number': 12345, 'list': [1, 2, 3, 'four', (5, 6)]},\n"
    rows = line * int(megabytes * 2**20 / len(line))
    return (
        f"import asyncio\n\nDATA = [\n{rows}]\n\n\nasync def f():\n    asyncio.create_task(x())\n"
    )


GROWING: dict[str, tuple[Callable[[int], str], tuple[int, int, int]]] = {
    "lines in a function": (function, (200, 2_000, 20_000)),
    "tasks in a function": (sites, (10, 100, 1_000)),
    "tasks in a lifespan": (lifespan, (10, 100, 1_000)),
    "tasks of one name": (rebound, (10, 100, 1_000)),
    "tasks in a list": (filled, (10, 100, 1_000)),
    "methods in a class": (methods, (10, 100, 1_000)),
    "functions with a registry": (registered, (10, 100, 1_000)),
    "depth of nesting": (nesting, (10, 30, 50)),
    "megabytes of data": (generated, (1, 2, 5)),
}


def growth(runs: int) -> list[str]:
    """Return a table of the CPU seconds that growing sources take."""
    lines = ["| growing | sizes | CPU milliseconds |", "|---|---|---|"]
    for what, (make, sizes) in GROWING.items():
        taken: list[str] = []
        for size in sizes:
            source = make(size)
            times: list[float] = []
            for _ in range(runs):
                start = time.process_time()
                check_source(source)
                times.append(time.process_time() - start)
            taken.append(f"{statistics.median(times) * 1000:,.0f}")
        lines.append(f"| {what} | {' / '.join(f'{s:,}' for s in sizes)} | {' / '.join(taken)} |")
    return [*lines, ""]


PARTS = ("check", "flake8", "repair", "growth")


def report(
    tree: Path, runs: int, parts: list[str], pythons: list[tuple[str, str]], command: str
) -> str:
    """Measure ``parts``; return the Markdown. ``pythons`` are (label, path)."""
    check = {
        f"ruff {version('ruff')}, RUF006": [
            *(PYTHON, "-m", "ruff", "check", "--isolated", "--no-cache", "--select", "RUF006"),
            str(tree),
        ],
        "ours, `fix --check`": [*FIXER, "--check", str(tree)],
    }
    for label, python in pythons:
        check[f"ours, {label}"] = [python, *FIX, "--check", str(tree)]
    heavy = tree / "distributed" if (tree / "distributed").is_dir() else tree
    quiet = Path(email.__file__).parent
    lines = [
        (
            f"`{command}` on {os.cpu_count()} cores, {platform.python_implementation()} "
            f"{platform.python_version()}, libcst {version('libcst')}, flake8 {version('flake8')}, "
            f"flake8-async {version('flake8-async')}; medians of {runs} runs in turn:"
        ),
        "",
    ]
    if "check" in parts:
        files = sum(1 for _ in tree.rglob("*.py"))
        lines += table(compare(check, runs), f"{files:,} files")
    if "flake8" in parts:
        lines += table(with_plugins(heavy, runs, peer=True), f"flake8 over `{heavy.name}`")
        quiet_costs = with_plugins(quiet, runs, peer=False)
        lines += table(quiet_costs, "flake8 over `email`, without tasks")
    if "repair" in parts:
        lines += repairing(tree, runs)
    if "growth" in parts:
        lines += growth(runs)
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tree", type=Path)
    parser.add_argument("--runs", type=int, default=5, help="turns of each command (default: 5)")
    parser.add_argument(
        "--part", choices=PARTS, action="append", help="measure only this (default: everything)"
    )
    parser.add_argument(
        "--python",
        metavar="LABEL=PATH",
        action="append",
        default=[],
        type=lambda text: tuple(text.split("=", 1)),
        help="measure `--check` under this Python, too",
    )
    parser.add_argument("--readme", action="store_true", help="write the tables into README.md")
    options = parser.parse_args()
    if not options.tree.is_dir():
        parser.error(f"{options.tree} is not a directory")
    if any(len(pair) != 2 for pair in options.python):
        parser.error("--python takes a label and a path: LABEL=PATH")
    # As pip leaves an installed package; an editable one may never have been compiled.
    compileall.compile_dir(Path(flake8_task_refs.__file__).parent, quiet=1)
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["XDG_CACHE_HOME"] = scratch
        command = f"python benchmarks/speed.py {options.tree.name}"
        parts = options.part or [*PARTS]
        text = report(options.tree, options.runs, parts, options.python, command)
    print(text)
    if options.readme:
        before = README.read_text("utf-8")
        README.write_text(MARKED.sub(lambda _: f"\n{text}", before), "utf-8")


if __name__ == "__main__":
    main()

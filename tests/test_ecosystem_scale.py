"""One machine, several, or none in particular: how the files are shared out changes nothing."""

from __future__ import annotations

import os
import random
import sys
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

import pytest
from commands import FAULT, ROOT, run

from flake8_task_refs import Scanned, scan
from flake8_task_refs.command_line import EXIT_ERROR

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every fixture of every rule, files without tasks, and files that cannot be read."""
    directory = tmp_path_factory.mktemp("tree")
    for number, path in enumerate(sorted((ROOT / "fixtures" / "rules").glob("*/*.py"))):
        place = directory / f"pkg{number % 7}" / f"{path.parent.name[:6]}_{path.name}"
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(path.read_bytes())
    for number in range(30):
        (directory / f"pkg{number % 7}" / f"none{number}.py").write_text("x = 1\n")
    (directory / "pkg1" / "broken.py").write_text(f"{FAULT}x = (\n")
    (directory / "pkg2" / "bytes.py").write_bytes(b"# \xe9\n" + FAULT.encode())
    (directory / ".flake8").write_text("[flake8]\nextend-select = TSK3\nexclude = pkg5/*\n")
    return directory


@pytest.fixture(scope="module")
def found(tree: Path) -> list[Scanned]:
    """What one process finds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tree)
        results = list(scan(["."], jobs=1))
    assert sum(len(scanned.findings) for scanned in results) > 200
    assert sum(bool(scanned.error) for scanned in results) == 2
    return results


@pytest.fixture
def plain(found: list[Scanned], tree: Path, monkeypatch: pytest.MonkeyPatch) -> list[Scanned]:
    """What one process finds in the current directory."""
    monkeypatch.chdir(tree)
    return found


class _Remote(Executor):
    """Runs what it is given late and in disorder, as a busy cluster may."""

    def __init__(self) -> None:
        self.given: list[tuple[_Promise, Callable[[], Any]]] = []
        self.sent = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> _Promise:
        promise = _Promise(self)
        self.given.append((promise, lambda: fn(*args, **kwargs)))
        self.sent += 1
        return promise

    def work(self) -> None:
        random.Random(1).shuffle(self.given)  # noqa: S311
        while self.given:
            promise, call = self.given.pop()
            if promise.set_running_or_notify_cancel():
                promise.set_result(call())


class _Promise(Future[Any]):
    """Makes the executor work when somebody waits for it."""

    def __init__(self, remote: _Remote) -> None:
        super().__init__()
        self.remote = remote

    def result(self, timeout: float | None = None) -> Any:
        if not self.done():
            self.remote.work()
        return super().result(timeout)


def test_threads_find_what_one_process_finds(plain: list[Scanned]) -> None:
    with ThreadPoolExecutor(3) as executor:
        assert list(scan(["."], executor=executor)) == plain


def test_processes_find_what_one_process_finds(plain: list[Scanned]) -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        assert list(scan(["."], executor=executor)) == plain


def test_an_executor_that_answers_in_disorder_changes_nothing(
    plain: list[Scanned], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flake8_task_refs.scanning._UNDER_WAY", 20)
    remote = _Remote()
    assert list(scan(["."], executor=remote)) == plain
    assert 0 < remote.sent < len(plain) - 25, "files without tasks stay at home"


def test_workers_get_the_source_and_open_no_file(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(FAULT)
    remote = _Remote()
    results = scan([str(tmp_path)], ["--isolated"], executor=remote)
    remote.work = lambda: (tmp_path / "a.py").unlink() or _Remote.work(remote)  # type: ignore[method-assign, func-returns-value]
    [scanned] = results
    assert [finding.code for finding in scanned.findings] == ["TSK001"]


class _OneByOne(_Remote):
    def work(self) -> None:
        promise, call = self.given.pop(0)
        promise.set_result(call())


def test_who_stops_early_leaves_no_work_behind(tmp_path: Path) -> None:
    for number in range(9):
        (tmp_path / f"a{number}.py").write_text(FAULT)
    remote = _OneByOne()
    results = scan([str(tmp_path)], ["--isolated"], executor=remote)
    assert next(results).findings
    assert len(remote.given) == 8
    results.close()  # type: ignore[attr-defined]
    assert all(promise.cancelled() for promise, _ in remote.given)


@pytest.mark.skipif(os.name != "posix", reason="needs xargs")
@pytest.mark.parametrize("size", [1000, 23], ids=["one run", "shards"])
def test_sharded_by_a_file_list(plain: list[Scanned], tree: Path, size: int) -> None:
    fixer = f"{sys.executable} -m flake8_task_refs.fix --check"
    command = f"find . -name '*.py' | sort -R | xargs -P 3 -n {size} {fixer}"
    done = run("sh", "-c", command, cwd=tree)
    assert sorted(done.stdout.decode().splitlines()) == sorted(
        f"{scanned.name}:{finding.line}:{finding.column}: {finding.code} {finding.message}"
        for scanned in plain
        for finding in scanned.findings
    )
    # What xargs itself returns if a command failed is what the fixer returns for an error.
    assert done.returncode == EXIT_ERROR

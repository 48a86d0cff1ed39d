"""Reading, writing and choosing files: nothing lost, and the same files and codes as flake8."""

from __future__ import annotations

import multiprocessing
import os
import signal
import stat
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commands import FAULT, ROOT, flake8, run, run_bound_by_modes
from hypothesis import given
from hypothesis import strategies as st

from flake8_task_refs import ConfigError, scan
from flake8_task_refs.elsewhere import Elsewhere, WorkerLostError, can_work_elsewhere
from flake8_task_refs.files import FileError, decode, read
from flake8_task_refs.fix.__main__ import main
from flake8_task_refs.fix.project import line_length_for
from flake8_task_refs.flake8_config import load
from flake8_task_refs.processes import Crew, each
from flake8_task_refs.worklist import Worklist
from flake8_task_refs.writing import write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

needs_posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX")
as_user = pytest.mark.skipif(getattr(os, "geteuid", int)() == 0, reason="root may do anything")
as_root = pytest.mark.skipif(
    getattr(os, "geteuid", lambda: 1)() != 0, reason="only root gives away"
)


# Reading.


@pytest.mark.parametrize(
    ("data", "text", "encoding"),
    [
        (b"x = 1\n", "x = 1\n", "utf-8"),
        (b"", "", "utf-8"),
        ("é = 1\n".encode(), "é = 1\n", "utf-8"),
        (b"\xef\xbb\xbfx = 1\n", "x = 1\n", "utf-8"),
        (b"\xef\xbb\xbf# coding: utf-8\n", "# coding: utf-8\n", "utf-8"),
        (b"# coding: latin-1\n# \xe9\n", "# coding: latin-1\n# é\n", "iso-8859-1"),
        (b"#!/x\n# vim: set fileencoding=cp1252 :\n# \x80\n", None, "cp1252"),
        (b"#!/x\r# -*- coding: cp1252 -*-\r# \x80\r", None, "cp1252"),
        (b"x = 1\r\ny = 2\rz = 3\n", "x = 1\r\ny = 2\rz = 3\n", "utf-8"),
        (b"x = 1\n\n# coding: latin-1\n", "x = 1\n\n# coding: latin-1\n", "utf-8"),
    ],
)
def test_decode(data: bytes, text: str | None, encoding: str) -> None:
    source = decode(data)
    assert source.encoding == encoding
    assert source.text == (data.decode(encoding) if text is None else text)
    assert source.encode(source.text) == data


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"# \xe9\n", "cannot decode"),
        (b"\n" * 9 + b"# \xe9\n", "cannot decode"),
        (b"# coding: klingon\n", "cannot decode"),
        (b"\xef\xbb\xbf# \xe9\n", "cannot decode: invalid"),
        (b"\xef\xbb\xbf# coding: klingon\n", "cannot decode: unknown encoding: klingon"),
        (
            b"\xef\xbb\xbf#!/x\r# coding: latin-1\r",
            "cannot decode: its byte order mark says utf-8, its coding comment iso-8859-1",
        ),
        (b"# coding: utf-7\n# +AGE-\n", "cannot keep its bytes"),
    ],
)
def test_decode_refuses(data: bytes, reason: str) -> None:
    with pytest.raises(FileError, match=reason) as caught:
        decode(data)
    assert "\n" not in str(caught.value)


@given(
    text=st.text(alphabet=st.characters(codec="latin-1")),
    encoding=st.sampled_from(["utf-8", "latin-1", "cp1252", "utf-8-sig"]),
)
def test_what_can_be_decoded_comes_back_byte_for_byte(text: str, encoding: str) -> None:
    cookie = "" if encoding == "utf-8-sig" else f"# coding: {encoding}\n"
    data = (cookie + text).encode(encoding, "replace")
    source = decode(data)
    assert source.text == cookie + data.decode(encoding).removeprefix(cookie)
    assert source.encode(source.text) == data


def test_a_character_that_the_encoding_lacks_is_refused() -> None:
    with pytest.raises(FileError, match="cannot write 'π' in iso-8859-1"):
        decode(b"# coding: latin-1\n").encode("π")


def test_lines_end_where_python_ends_them() -> None:
    assert decode(b"a\r\nb\rc\n\x0cd\n").lines() == ["a", "b", "c", "\x0cd", ""]


def test_read_refuses_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"^No such file or directory$"):
        read(str(tmp_path / "none.py"))
    with pytest.raises(FileError, match=r"^not a regular file$"):
        read(str(tmp_path))


@needs_posix
def test_read_does_not_wait_for_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.py")
    with pytest.raises(FileError, match=r"^not a regular file$"):
        read(str(tmp_path / "pipe.py"))


@needs_posix
@as_user
def test_read_refuses_a_file_it_may_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.touch(mode=0)
    with pytest.raises(FileError, match=r"^Permission denied$"):
        read(str(path))


# Writing.


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.py"
    path.write_bytes(b"# coding: latin-1\r\n# \xe9\r\n")
    return path


def test_write_keeps_encoding_and_leaves_nothing_behind(file: Path) -> None:
    source = read(str(file))
    write(str(file), source, source.text + "x = 'ü'\r\n")
    assert file.read_bytes() == b"# coding: latin-1\r\n# \xe9\r\nx = '\xfc'\r\n"
    assert list(file.parent.iterdir()) == [file]


def test_write_keeps_the_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_bytes(b"\xef\xbb\xbfx = 1\n")
    write(str(path), read(str(path)), "y = 1\n")
    assert path.read_bytes() == b"\xef\xbb\xbfy = 1\n"


@needs_posix
@pytest.mark.parametrize("mode", [0o600, 0o644, 0o755, 0o664])
def test_write_keeps_the_mode(file: Path, mode: int) -> None:
    file.chmod(mode)
    write(str(file), read(str(file)), "x = 1\n")
    assert stat.S_IMODE(file.stat().st_mode) == mode


@needs_posix
@as_root
def test_write_keeps_owner_and_mode_bits(file: Path) -> None:
    os.chown(file, 12345, 23456)
    file.chmod(0o2755)
    write(str(file), read(str(file)), "x = 1\n")
    after = file.stat()
    assert (after.st_uid, after.st_gid) == (12345, 23456)
    assert stat.S_IMODE(after.st_mode) == 0o2755


@needs_posix
@as_root
@pytest.mark.parametrize(("owner", "group"), [(12345, -1), (-1, 23456)])
def test_write_refuses_an_owner_or_group_that_it_cannot_give(
    file: Path, owner: int, group: int
) -> None:
    file.write_text(FAULT)
    os.chown(file, owner, group)
    file.chmod(0o666)
    command = (sys.executable, "-m", "flake8_task_refs.fix", "--isolated", "a.py")
    done = run_bound_by_modes(*command, cwd=file.parent)
    assert done.stderr.decode().splitlines()[0] == (
        "a.py: error: cannot keep its owner and group: Operation not permitted"
    )
    assert done.returncode == 123
    assert file.read_text() == FAULT
    assert list(file.parent.iterdir()) == [file]


@needs_posix
def test_write_goes_through_a_symbolic_link(file: Path) -> None:
    (file.parent / "links").mkdir()
    link = file.parent / "links" / "b.py"
    link.symlink_to(Path("..") / "a.py")
    write(str(link), read(str(link)), "x = 1\n")
    assert link.is_symlink()
    assert not file.is_symlink()
    assert file.read_text() == "x = 1\n"


def test_write_refuses_a_file_that_changed_since(file: Path) -> None:
    source = read(str(file))
    file.write_text("y = 2\n")
    with pytest.raises(FileError, match="changed while it was being read"):
        write(str(file), source, "x = 1\n")
    assert file.read_text() == "y = 2\n"
    assert list(file.parent.iterdir()) == [file]


def test_write_refuses_a_file_that_is_gone(file: Path) -> None:
    source = read(str(file))
    file.unlink()
    with pytest.raises(FileError, match=r"^cannot write: No such file or directory$"):
        write(str(file), source, "x = 1\n")
    assert list(file.parent.iterdir()) == []


def test_write_refuses_text_that_cannot_be_encoded(file: Path) -> None:
    before = file.read_bytes()
    with pytest.raises(FileError, match="cannot write"):
        write(str(file), read(str(file)), "π\n")
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


@needs_posix
@as_user
def test_write_refuses_a_read_only_file(file: Path) -> None:
    before = file.read_bytes()
    file.chmod(0o444)
    with pytest.raises(FileError, match=r"^read-only$"):
        write(str(file), read(str(file)), "x = 1\n")
    assert file.read_bytes() == before


@needs_posix
def test_a_full_disk_leaves_the_file_whole(file: Path) -> None:
    # The system itself breaks the write off: a file may not grow beyond 4096 bytes.
    code = f"""\
import resource
from flake8_task_refs.files import FileError, read
from flake8_task_refs.writing import write
source = read({str(file)!r})
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    write({str(file)!r}, source, "x = 1\\n" * 10_000)
except FileError as error:
    print(error)
"""
    before = file.read_bytes()
    done = run(sys.executable, "-c", code, cwd=ROOT)
    assert done.stdout == b"cannot write: File too large\n", done.stderr.decode()
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


def test_a_reader_never_sees_half_a_file(file: Path) -> None:
    long = {"x = 1\n" * 50_000, "y = 2\n" * 50_000}
    file.write_text(min(long))
    seen = set()
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            seen.add(file.read_text())

    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(10):
        for text in sorted(long):
            write(str(file), read(str(file)), text)
    stop.set()
    watcher.join()
    assert seen <= long


# Many files.


def _square(number: int) -> tuple[int, int]:
    return number * number, os.getpid()


def test_each_keeps_the_order_in_one_process() -> None:
    assert [result for result, _ in each(_square, range(100))] == [n * n for n in range(100)]


def test_each_keeps_the_order_in_two_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flake8_task_refs.processes._ALONE_FOR", 0.0)
    results = list(each(_square, range(300), jobs=2))
    assert [result for result, _ in results] == [n * n for n in range(300)]
    assert os.getpid() not in {process for _, process in results}


def test_each_stays_alone_for_little_work() -> None:
    assert {process for _, process in each(_square, range(10), jobs=2)} == {os.getpid()}


def _note() -> None:
    Path(os.environ["NOTES"], str(os.getpid())).touch()


def test_processes_that_start_early_prepare_and_do_all_the_work(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NOTES", str(tmp_path))
    with Crew(_square, 2, prepare=_note) as crew:
        crew.start()
        crew.start()  # once is enough
        results = list(crew.each(range(50)))
    assert [result for result, _ in results] == [n * n for n in range(50)]
    prepared = {int(file.name) for file in tmp_path.iterdir()}
    workers = {process for _, process in results}
    assert os.getpid() not in workers
    if multiprocessing.get_start_method() == "fork":
        assert prepared == {os.getpid()}  # once, for all
    else:
        assert len(prepared) == 2
        assert workers <= prepared
    assert multiprocessing.active_children() == []


def _work_as_a_daemon() -> None:
    with Crew(_square, 2) as crew:
        crew.start()
        results = [result for result, _ in crew.each(range(20))]
    sys.exit(results != [n * n for n in range(20)])


def test_a_daemonic_process_which_may_have_no_others_works_alone() -> None:
    daemon = multiprocessing.Process(target=_work_as_a_daemon, daemon=True)
    daemon.start()
    daemon.join(30)
    assert daemon.exitcode == 0


def _processes(count: int = 3, fails_after: int = 3) -> Iterator[int]:
    for number in range(count):
        if number == fails_after:
            raise ValueError(f"after {number}")
        yield os.getpid()


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Room for another process that knows what this one does, and will leave nobody behind."""
    monkeypatch.setattr("flake8_task_refs.elsewhere._processors", lambda: 2)
    monkeypatch.setattr(threading, "active_count", lambda: 1)  # those of the test runner do no harm
    if not can_work_elsewhere():
        pytest.skip("no process can go on with what this one does")
    children: list[int] = []
    fork = os.fork

    def noted_fork() -> int:
        children.append(fork())
        return children[-1]

    monkeypatch.setattr(os, "fork", noted_fork)
    yield
    for child in children:
        with pytest.raises(ChildProcessError):
            os.waitpid(child, os.WNOHANG)


@pytest.mark.usefixtures("room")
def test_another_process_goes_through_what_it_is_given() -> None:
    processes = list(Elsewhere(_processes()))
    assert len(processes) == 3
    assert len(set(processes)) == 1
    assert os.getpid() not in processes


@pytest.mark.usefixtures("room")
def test_what_it_finds_is_there_at_once() -> None:
    def slow() -> Iterator[float]:
        yield time.monotonic()
        time.sleep(5)
        yield time.monotonic()

    found = Elsewhere(slow())
    assert time.monotonic() - next(found) < 4
    found.close()


class _UnportableError(Exception):
    def __init__(self, first: int, second: int) -> None:
        super().__init__(first + second)


@pytest.mark.usefixtures("room")
def test_what_is_raised_elsewhere_is_raised_here() -> None:
    found = Elsewhere(_processes(5, fails_after=2))
    first, second = next(found), next(found)
    assert first == second != os.getpid()
    with pytest.raises(ValueError, match="after 2"):
        next(found)

    def unportable() -> Iterator[int]:
        yield 1
        raise _UnportableError(1, 2)

    with pytest.raises(RuntimeError, match="_UnportableError: 3"):
        list(Elsewhere(unportable()))


@pytest.mark.usefixtures("room")
@pytest.mark.skipif(sys.platform == "win32", reason="it has no such signal")
def test_who_was_killed_elsewhere_is_told() -> None:
    def killed() -> Iterator[int]:
        yield 1
        os.kill(os.getpid(), signal.SIGKILL)
        yield 2

    found = Elsewhere(killed())
    assert next(found) == 1
    with pytest.raises(WorkerLostError, match="was killed by SIGKILL"):
        next(found)


@pytest.mark.usefixtures("room")
@pytest.mark.parametrize(
    ("what", "count"),
    [
        ("flake8_task_refs.elsewhere._processors", lambda: 1),
        ("threading.active_count", lambda: 2),
        ("multiprocessing.get_start_method", lambda allow_none: "spawn"),  # noqa: ARG005
    ],
)
def test_where_another_process_is_no_good_there_is_none(
    what: str, count: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(what, count)
    assert not can_work_elsewhere()


@pytest.mark.usefixtures("room")
def test_who_is_interrupted_meanwhile_leaves_nobody_behind(tree: Path) -> None:
    del tree

    def interrupted() -> Iterator[None]:
        yield
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Worklist(["--isolated"], meanwhile=interrupted())


@pytest.mark.usefixtures("room")
def test_nothing_is_done_meanwhile_that_somebody_would_wait_for(tree: Path) -> None:
    del tree

    def lasting() -> Iterator[None]:
        while True:
            time.sleep(0.001)
            yield

    assert Worklist(["--isolated"], meanwhile=lasting()).items()


@pytest.mark.usefixtures("room")
def test_a_configuration_is_read_once(tree: Path) -> None:
    """It may come through a pipe, which is empty then."""
    del tree
    reader, writer = os.pipe()
    os.write(writer, b"[flake8]\nextend-ignore = no code\n")
    os.close(writer)
    with pytest.raises(ConfigError, match="extend-ignore"):
        Worklist([f"--config=/dev/fd/{reader}"], meanwhile=())
    os.close(reader)


def _in_a_pool(path: str) -> list[int]:
    return [len(scanned.findings) for scanned in scan([path], ["--isolated"])] + [
        main(["--isolated", "--check", path])
    ]


def test_a_process_that_may_have_no_children_can_check_files(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(FAULT)
    with multiprocessing.Pool(1) as pool:
        assert pool.apply(_in_a_pool, [str(tmp_path)]) == [1, 1]


def test_a_program_that_scans_can_still_decide_how_processes_start(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(FAULT)
    program = (
        "import multiprocessing, sys\n"
        "from flake8_task_refs import scan\n"
        "from flake8_task_refs.fix.__main__ import main\n"
        "assert len(list(scan(['.'], ['--isolated']))) == 1\n"
        "assert main(['--isolated', '--check', '.']) == 1\n"
        "multiprocessing.set_start_method('spawn')\n"
    )
    done = run(sys.executable, "-c", program, cwd=tmp_path)
    assert done.returncode == 0, done.stderr.decode()


def _kills_itself_at_7(number: int) -> int:
    if number == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such signal")
def test_what_is_begun_early_is_told_when_it_is_asked_for() -> None:
    with Crew(_kills_itself_at_7, 2, lost=lambda number, _: -number) as crew:
        crew.start(first=[30, 7, 3, 4, 99])  # nobody will ask for the last
        time.sleep(0.1)
        assert list(crew.each(range(40))) == [n if n != 7 else -7 for n in range(40)]
        assert list(crew.each([1, 7])) == [1, -7]
    assert multiprocessing.active_children() == []


def test_processes_that_start_early_end_without_work() -> None:
    with Crew(_square, 2) as crew:
        crew.start()
    assert multiprocessing.active_children() == []


def test_nothing_starts_early_where_one_process_is_allowed() -> None:
    with Crew(_square, 1) as crew:
        crew.start()
        assert multiprocessing.active_children() == []
        assert {process for _, process in crew.each(range(5))} == {os.getpid()}


@pytest.mark.parametrize("many", [3, 1000])
def test_many_files_are_told_of_as_few_are(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    many: int,
) -> None:
    monkeypatch.setattr("flake8_task_refs.discovery.MANY", many)
    monkeypatch.chdir(tmp_path)
    for number in range(8):
        Path(f"a{number}.py").write_text(FAULT if number % 2 else "x = 1\n")
    Path("b.py").write_bytes(b"create_task = '\xff'\n")
    assert main(["--isolated", "--check", "--jobs=2"]) == 123
    out, err = capsys.readouterr()
    files = [line.partition(":")[0] for line in out.splitlines()]
    assert files == [f"./a{number}.py" for number in (1, 3, 5, 7)]
    assert "4 findings in 4 files; 9 files read, 1 error" in err


# The same files and codes as flake8.

TREE = {
    "a.py": FAULT,
    "b.py": f"# flake8: noqa\n{FAULT}",
    "b2.py": f"# flake8: noqa: TSK001\n{FAULT}",
    "b3.py": f"x = 1  # flake8: noqa\n{FAULT}",
    "c.py": FAULT.replace("(work())", "(work())  # noqa: TSK001"),
    "d.txt": FAULT,
    "e.pyi": FAULT,
    "script": FAULT,
    "pkg/f.py": FAULT,
    "pkg/sub/g.py": FAULT,
    "pkg/_gen/h.py": FAULT,
    ".git/i.py": FAULT,
    ".tox/j.py": FAULT,
    "tests/k.py": FAULT,
    "stored.py": """\
import asyncio


class Poller:
    def start(self) -> None:
        self.task = asyncio.create_task(self.start())
""",
    "two.py": FAULT + "\n\n" + FAULT.replace("    asyncio.c", "    t = asyncio.c"),
}
CONFIGURATIONS = {
    "nothing": "",
    "exclude": "exclude = pkg\n",
    "extend-exclude": "extend-exclude = pkg/sub,tests/*\n",
    "filename": "filename = *.py,*.txt,script\n",
    "per-file-ignores": "per-file-ignores =\n  pkg/*: TSK001\n  two.py: TSK002,E\n",
    "per-file-ignores and select": "select = TSK0\nper-file-ignores = a.py: TSK001\n",
    "select one": "select = TSK002,E\n",
    "select others": "select = E,F\n",
    "ignore": "ignore = TSK001,E203\n",
    "extend-ignore a class": "extend-ignore = TSK0\n",
    "select beats ignore": "select = TSK001\nignore = TSK\n",
    "off": "extend-select = TSK304\n",
    "disable-noqa": "disable-noqa = true\n",
}
ARGUMENTS: dict[str, list[str]] = {
    "directory": ["."],
    "names": ["script", "d.txt", "pkg", "a.py", "./a.py"],
    "excluded by name": ["pkg/f.py", ".git/i.py"],
}


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in TREE.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _flake8_finds(cwd: Path, *arguments: str) -> list[str]:
    done = flake8(*arguments, cwd=cwd)
    assert b"Traceback" not in done.stderr
    return sorted({line for line in done.stdout.decode().splitlines() if ": TSK" in line})


def _scan_finds(paths: list[str], options: list[str]) -> list[str]:
    return sorted(
        f"{scanned.name}:{finding.line}:{finding.column}: {finding.code} {finding.message}"
        for scanned in scan(paths, options)
        for finding in scanned.findings
    )


@pytest.mark.parametrize("configuration", CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_scan_finds_what_flake8_finds_under_each_configuration(
    tree: Path, configuration: str
) -> None:
    (tree / ".flake8").write_text(f"[flake8]\n{configuration}")
    assert _scan_finds([], []) == _flake8_finds(tree)


def test_the_configurations_differ(tree: Path) -> None:
    """The comparison above would say nothing if every configuration found the same."""
    found = set()
    for configuration in CONFIGURATIONS.values():
        (tree / ".flake8").write_text(f"[flake8]\n{configuration}")
        found.add("\n".join(_scan_finds([], [])))
    assert len(found) >= len(CONFIGURATIONS) - 2


@pytest.mark.parametrize("paths", ARGUMENTS.values(), ids=ARGUMENTS)
def test_scan_finds_what_flake8_finds_for_each_path(tree: Path, paths: list[str]) -> None:
    ours = _scan_finds(paths, ["--isolated"])
    theirs = _flake8_finds(tree, "--isolated", *paths)
    # flake8 reads a file twice that is named twice.
    assert {line.removeprefix("./") for line in ours} == {
        line.removeprefix("./") for line in theirs
    }
    assert len(ours) == len({line.removeprefix("./") for line in ours})


@pytest.mark.parametrize(
    "options",
    [
        ["--config", "other.cfg"],
        ["--append-config", "other.cfg"],
        ["--isolated"],
        ["--exclude", "tests,pkg"],
        ["--ignore=TSK002"],
        ["--per-file-ignores=a.py:TSK"],
    ],
    ids=" ".join,
)
def test_scan_takes_flake8s_options(tree: Path, options: list[str]) -> None:
    (tree / "setup.cfg").write_text("[flake8]\nexclude = tests\nignore = TSK001\n")
    (tree / "other.cfg").write_text("[flake8]\nexclude = pkg\n")
    expected = _flake8_finds(tree, *options)
    assert _scan_finds([], options) == expected
    assert expected


@needs_posix
def test_a_file_with_two_names_is_read_once(tree: Path) -> None:
    (tree / "z.py").symlink_to("a.py")
    items = Worklist(["--isolated"], ["z.py", "a.py", str(tree / "a.py")]).items()
    names = [name for name, _ in items]
    assert [Path(name).name for name in names] == ["a.py"]


def test_scan_reports_what_it_cannot_read(tree: Path) -> None:
    (tree / "broken.py").write_text(f"{FAULT}x = (\n")
    (tree / "bytes.py").write_bytes(b"# \xe9\n")
    scanned = {item.name: item.error for item in scan(["broken.py", "bytes.py", "none.py"])}
    assert scanned["none.py"] == "No such file or directory"
    assert scanned["bytes.py"].startswith("cannot decode: ")
    assert scanned["broken.py"].startswith("not valid Python: ")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--config", "none.cfg"], "none.cfg"),
        (["--jobs", "many"], "many"),
        (["--no-such-option"], "--no-such-option"),
        (["--tsk-registry-name", "a b"], "--tsk-registry-name"),
        (["--append-config", "broken.cfg"], "broken.cfg"),
        (["--append-config", "wrong.cfg"], "no-code"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_unusable_options_are_refused_in_one_line(
    tree: Path, options: list[str], complaint: str
) -> None:
    (tree / "broken.cfg").write_text("flake8\n")
    (tree / "wrong.cfg").write_text("[flake8]\nignore = no-code\n")
    with pytest.raises(ConfigError) as caught:
        load(options)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


# The line length.


@pytest.mark.parametrize(
    ("files", "length"),
    [
        ({}, 88),
        ({"pyproject.toml": "[tool.black]\nline-length = 100\n"}, 100),
        ({"pyproject.toml": "[tool.ruff]\nline-length = 120\n"}, 120),
        ({"ruff.toml": "line-length = 70\n"}, 70),
        ({"app/.ruff.toml": "line-length = 71\n", "ruff.toml": "line-length = 70\n"}, 71),
        (
            {
                "pyproject.toml": "[tool.black]\nline-length = 100\n",
                "app/pyproject.toml": "[tool.ruff]\nline-length = 99\n",
            },
            99,
        ),
        (
            {
                "pyproject.toml": "[tool.black]\nline-length = 100\n",
                "app/pyproject.toml": "[project]\nname = 'app'\n",
            },
            100,
        ),
        (
            {"pyproject.toml": "[tool.black]\nline-length = 100\n", "app/.git": "gitdir: x\n"},
            88,
        ),
        ({"pyproject.toml": "[tool.black\n"}, 88),
        ({"pyproject.toml": "tool = 3\n"}, 88),
        ({"pyproject.toml": "[tool.black]\nline-length = 'wide'\n"}, 88),
        ({"pyproject.toml": "[tool.black]\nline-length = 0\n"}, 88),
    ],
)
def test_line_length(tmp_path: Path, files: dict[str, str], length: int) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / ".git").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    name = str(tmp_path / "app" / "main.py")
    assert line_length_for(name) == length
    # What the linter allows, counts where no formatter says more.
    assert line_length_for(name, 79) == (79 if length == 88 else length)
    assert line_length_for(name, 120) == length


def test_a_virtual_environment_is_passed_over_unless_it_is_named(tree: Path) -> None:
    inside = tree / "sub" / ".venv" / "lib"
    inside.mkdir(parents=True)
    (inside.parent / "pyvenv.cfg").touch()
    (inside / "a.py").write_text(FAULT)
    names = {item.name for item in scan(["."], ["--isolated"])}
    assert names
    assert not any(".venv" in name for name in names)
    for named in ("sub/.venv", "sub/.venv/lib/a.py"):
        assert [item.name for item in scan([named], ["--isolated"])] == ["sub/.venv/lib/a.py"]

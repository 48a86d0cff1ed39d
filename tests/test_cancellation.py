"""What CPython does with cancelled tasks and unheard failures, and what the linter says of it.

Each program in ``fixtures/cancellation`` shows one fact. It is run as a program of its own, in
this interpreter and in the others, and its comments hold the findings that the linter must have.
What needs a server (SIGTERM, the order of a lifespan's end) is in ``test_servers``.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from fixture_reader import Expected, Fixture
from test_fixtures import _interpreter, found

PROGRAMS: Final = Path(__file__).parent.parent / "fixtures" / "cancellation"
# A program that is to end has this long; it takes a fraction of a second.
_ENDS_WITHIN: Final = 60.0
# A program that hangs has done all that it will ever do when we begin to wait this long.
_HANGS_FOR: Final = 0.5

# Their loops catch the cancellation and go on; what they print from the start of the task on.
HANGS: Final = {
    "hangs_except_pass": ["a round begins", "main returns", "a round begins"],
    "hangs_except_continue": ["a round begins", "main returns", "a round begins"],
    "hangs_except_tuple": ["a round begins", "main returns", "failed", "a round begins"],
    "hangs_except_base_exception": ["a round begins", "main returns", "failed", "a round begins"],
    "hangs_bare_except": ["a round begins", "main returns", "failed", "a round begins"],
    "hangs_suppress": ["a round begins", "main returns", "a round begins"],
    "hangs_finally_continue": ["a round begins", "main returns", "a round begins"],
}
ENDS: Final = {
    "ends_except_exception": ["a round begins", "main returns"],
    "ends_reraise": ["a round begins", "main returns", "cleaned up"],
    "ends_break": ["a round begins", "main returns"],
    "ends_return": ["a round begins", "main returns"],
    "ends_tried_again": [
        "clean-up begins",
        "once more",
        "clean-up begins",
        "clean-up ends",
        "main returns",
    ],
    "closed_before_stopped": ["sent ping", "cancelled: False closed"],
    "stopped_before_closed": ["sent ping", "cancelled: True"],
    "cancelled_task_awaited": ["a child is ended", "main returns"],
    "cleanup_cut_short": ["main returns", "clean-up begins"],
    "cleanup_awaited": ["clean-up begins", "clean-up ends", "main returns"],
    "gather_leaves_early": ["quick is cleaned up", "close raises CancelledError", "running: 1"],
    "gather_waits_for_all": ["quick is cleaned up", "slow is cleaned up", "running: 0"],
    "gather_hides_failure": ["main returns"],
    "await_cancel": ["TypeError"],
    "callback_on_cancelled": [
        "ask_result raised CancelledError",
        "ask_exception raised CancelledError",
        "ask_carefully raised CancelledError",
        "handled",
    ],
    "exception_while_held": [
        "it has failed, and the service is still there",
        "Task exception was never retrieved",
    ],
    "exception_heard": ["heard of ConnectionError", "the service is still there"],
}
# The fault that each of these programs has; the others have none that a rule speaks of.
CODES: Final = {
    **dict.fromkeys(HANGS, "TSK203"),
    "cleanup_cut_short": "TSK202",
    "await_cancel": "TSK202",
    "closed_before_stopped": "TSK205",
    "callback_on_cancelled": "TSK302",
    "exception_while_held": "TSK301",
}


def verdict(name: str) -> list[Expected]:
    """Return what the linter says of a program, held to its markers."""
    fixture = Fixture(PROGRAMS / f"{name}.py")
    findings = found(fixture)
    assert findings == fixture.expected
    return findings


def ends(interpreter: str, name: str) -> None:
    ran = subprocess.run(
        [interpreter, PROGRAMS / f"{name}.py"],
        capture_output=True,
        text=True,
        check=False,
        timeout=_ENDS_WITHIN,
    )
    # Nothing on the error stream either: what it hides, it hides well.
    assert (ran.stdout.splitlines(), ran.stderr, ran.returncode) == (ENDS[name], "", 0)


def hangs(interpreter: str, name: str) -> None:
    with subprocess.Popen(
        [interpreter, "-u", PROGRAMS / f"{name}.py"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as program:
        try:
            assert program.stdout is not None
            # The second round begins after the cancellation: there will be no other.
            printed = [program.stdout.readline().rstrip("\n") for _ in HANGS[name]]
            assert printed == HANGS[name]
            with pytest.raises(subprocess.TimeoutExpired):
                program.wait(_HANGS_FOR)
        finally:
            program.kill()


def test_each_program_is_judged() -> None:
    assert {path.stem for path in PROGRAMS.glob("*.py")} == {*HANGS, *ENDS}


@pytest.mark.parametrize("name", HANGS)
def test_a_loop_that_swallows_its_cancellation_hangs_the_program(name: str) -> None:
    hangs(sys.executable, name)
    assert {finding.code for finding in verdict(name)} == {CODES[name]}


@pytest.mark.parametrize("name", ENDS)
def test_program_does_what_it_is_said_to_do(name: str) -> None:
    ends(sys.executable, name)
    wanted = {CODES[name]} if name in CODES else set()
    assert {finding.code for finding in verdict(name)} == wanted


@pytest.mark.slow
@pytest.mark.parametrize("minor", [10, 11, 12, 13, 14])
def test_other_interpreters_do_the_same(minor: int) -> None:
    interpreter = _interpreter(minor)
    if minor == sys.version_info[1] or interpreter is None:
        pytest.skip(f"no other Python, 3.{minor}, here")
    for name in ENDS:
        ends(interpreter, name)
    for name in HANGS:
        hangs(interpreter, name)

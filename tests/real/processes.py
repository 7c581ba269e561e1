"""Processes as the system lists them, and waiting for what happens to them.

What differs between the systems is here and nowhere else: Linux tells in /proc, others by `ps`.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from failure import Failure

T = TypeVar("T")

PATIENCE = 120.0
"""For how long anything is waited for, in seconds: much longer than it takes, for the machine may be busy."""

LOOK_EVERY = 0.01
"""How often processes are looked at while one is waited for, in seconds: nobody tells of the end of a grandchild."""


@dataclass(frozen=True)
class Process:
    """A process as it was when it was looked at."""

    pid: int
    parent: int
    group: int
    state: str
    """A letter: `T` for stopped, `Z` for ended and not yet reaped."""
    command: str
    """Its arguments with blanks in between. Empty for one that has ended."""


def processes() -> list[Process]:
    """All processes."""
    if sys.platform == "linux":
        found = (from_proc(folder) for folder in Path("/proc").iterdir() if folder.name.isdecimal())
        return [process for process in found if process is not None]
    listing = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,ppid=,pgid=,stat=,args="], check=True, capture_output=True, text=True
    )
    return [from_ps(line) for line in listing.stdout.splitlines()]


def alive(pid: int) -> bool:
    """Whether there is such a process, be it one that has ended and is not yet reaped."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def from_proc(folder: Path) -> Process | None:
    """What a folder of /proc tells. `None` if the process has gone meanwhile."""
    try:
        # The name of the program comes in parentheses and may hold anything.
        state, parent, group = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[:3]
        command = (folder / "cmdline").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return Process(int(folder.name), int(parent), int(group), state, command.rstrip("\0").replace("\0", " "))


def from_ps(line: str) -> Process:
    """What a line of `ps` tells."""
    pid, parent, group, state, *command = line.split(maxsplit=4)
    ended = state.startswith("Z")
    return Process(int(pid), int(parent), int(group), state[0], "" if ended else "".join(command))


async def until(look: Callable[[], T | None], what: str) -> T:
    """Waits until `look` finds something, and gives it."""
    try:
        async with asyncio.timeout(PATIENCE):
            while (found := look()) is None:
                await asyncio.sleep(LOOK_EVERY)
            return found
    except TimeoutError:
        raise Failure(f"waited {PATIENCE:.0f} s in vain: {what}") from None

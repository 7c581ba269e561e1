"""One run of the supervisor, seen from outside: its server is found and killed, and what is left in the end is looked at."""

import os
import re
import signal
from dataclasses import dataclass
from pathlib import Path

from failure import Failure
from processes import PATIENCE, Process, alive, processes, until

OPTIONS = ["--max-restarts", "1000", "--backoff-initial", "0", "--hold", f"{PATIENCE:.0f}s"]
"""Here a server is killed more often than one that is given up, and it is waited for on a busy machine too."""

BUSY = "failed to finish writing last good answers in time"
"""What the supervisor may say in the end, and goes on: the disk of a busy machine is slower than it waits for."""


@dataclass
class Place:
    """Where all this takes place, and what of it is counted."""

    binary: Path
    folder: Path
    kills: int = 0
    compared: int = 0
    sessions: int = 0
    unchanged: int = 0
    """Lines that came out of the supervisor as they went in."""


HELPER = "mcp-sup-"
"""How the names of the supervisor's own processes beside it begin."""


class Supervised:
    """One run of the supervisor with its server, seen from outside. Its name is in its arguments and in no others'."""

    def __init__(self, place: Place, name: str, server: list[str], apart: bool = False) -> None:
        """`apart`: the supervisor's own words go to a file, for nobody keeps its stderr."""
        self.place = place
        self.name = name
        self.folder = place.folder / name
        self.folder.mkdir()
        self.log = self.folder / "stderr"
        self.apart = self.folder / "apart"
        options = ["--data-dir", str(self.folder / "data"), *OPTIONS]
        options += ["--log-file", str(self.apart)] if apart else []
        self.argv = [str(place.binary), "--name", name, *options, "--", *server]
        self.env = {"HOME": str(self.folder)}
        self.killed: set[int] = set()
        self.said: list[str] = []
        """What the server itself is known to write to stderr, in lines."""
        self.groups: set[int] = set()
        """The process groups of its servers."""
        self.helpers: set[int] = set()
        """The supervisor's own processes beside it: the guardian, and those that keep the sessions of its servers."""

    def left(self) -> list[Process]:
        """What still runs of the servers' groups."""
        return [process for process in processes() if process.group in self.groups and process.state != "Z"]

    def gone(self) -> bool | None:
        """Whether neither the supervisor nor a helper of it runs. `None` if one does."""
        mark = f" --name {self.name} "
        everyone = processes()
        runs = any(mark in process.command or process.pid in self.helpers for process in everyone if process.state != "Z")
        return None if runs else True

    def find(self) -> Process | None:
        """The living server. `None` if none runs just now, or it still has the supervisor's arguments."""
        mark = f"{self.place.binary} --name {self.name} "
        everyone = processes()
        parents = {process.pid for process in everyone if process.command.startswith(mark)}
        self.helpers |= {it.pid for it in everyone if it.parent in parents and it.command.startswith(HELPER)}
        for process in everyone:
            own = process.parent in parents and process.command and not process.command.startswith((mark, HELPER))
            if own and process.pid not in self.killed:
                self.groups.add(process.group)
                return process
        return None

    async def server(self) -> Process:
        """The living server, as soon as there is one."""
        return await until(self.find, "no server runs")

    async def kill(self) -> int:
        """Kills the server, and waits until the supervisor has taken note. Gives the process id."""
        pid = (await self.server()).pid
        os.kill(pid, signal.SIGKILL)
        await self.died(pid)
        return pid

    async def died(self, pid: int) -> None:
        """Waits until the supervisor has taken note that the server was killed: it reaps it then."""
        self.killed.add(pid)
        self.place.kills += 1
        await self.reaped(pid)

    async def reaped(self, pid: int) -> None:
        """Waits until there is no such process, not even one that has ended."""
        await until(lambda: None if alive(pid) else True, f"process {pid} is still there")

    async def stop(self) -> int:
        """Stops the server as SIGSTOP does, and waits until it stands. Gives the process id."""
        pid = (await self.server()).pid
        os.kill(pid, signal.SIGSTOP)
        await until(
            lambda: next((process for process in processes() if process.pid == pid and process.state == "T"), None),
            f"process {pid} does not stop",
        )
        return pid

    async def over(self) -> None:
        """The client has ended, and the supervisor has: no process is left, and stderr tells of the kills alone."""
        if left := self.left():
            raise Failure(f"processes are left: {left}")
        await until(self.gone, "the supervisor or its guardian is still there")
        logs = [log for log in (self.log, self.apart) if log.exists()]
        lines = [line for log in logs for line in log.read_text(encoding="utf-8").splitlines()]
        kills = [line for line in lines if "the server ended" in line and "killed by signal 9 (SIGKILL)" in line]
        said = {timeless(line) for line in self.said}
        known = [line for line in lines if line in kills or re.search("serving (again )?after", line) or BUSY in line]
        others = [line for line in lines if line not in known and timeless(line) not in said]
        if len(kills) != len(self.killed) or others:
            raise Failure(f"{len(self.killed)} kills, and on stderr:\n" + "\n".join(lines))
        self.place.sessions += 1


def timeless(line: str) -> str:
    """A line of a log without its numbers, which may be times and process ids."""
    return re.sub(r"\d+", "*", line)

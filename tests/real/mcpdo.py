"""`mcpdo` keeps one connection over ten kills: `mcpdo.py BINARY NPM`.

`mcpdo` is the Inspector's command line for connections that outlive a command: a daemon holds them. When the server of
one dies, the daemon makes a new one with the next command and says nothing of it. So both are shown, with a tee between
daemon and supervisor or server: without the supervisor the daemon greets a new server after each kill, and what was the
session's is lost; with it, one process is greeted once, and the daemon knows one connection, made at one time.
"""

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from clients import Mcpdo, clients
from failure import expect, reasons
from matrix import Wire
from processes import alive, processes, until
from servers import servers
from steps import tool
from supervised import Place, Supervised

KILLS = 10

ECHO = tool("echo", {"message": "crab \U0001f980"})


async def connections(talk: Mcpdo) -> list[object]:
    """The daemon's connections: who is at the other end, and since when."""
    listed = json.loads((await talk.do("connections/list"))["results"][0])
    entries = listed if isinstance(listed, list) else listed["connections"]
    return [(entry["name"], entry["connectedAt"]) for entry in entries]


def server_behind(wire: Wire) -> int | None:
    """The server behind this tee. `None` if none runs just now."""
    everyone = processes()
    tees = {process.pid for process in everyone if f"tee.py {wire.folder} " in process.command}
    return next((process.pid for process in everyone if process.parent in tees), None)


async def ten_kills_each() -> str:
    """Shows both."""
    binary, npm = (Path(word).resolve() for word in sys.argv[1:3])
    client = next(client for client in clients(npm, npm) if client.name == "mcpdo")
    everything = next(server for server in servers(npm, npm) if server.name == "everything")
    folder = Path(os.environ["HOME"])
    command = everything.command(folder)

    async def ten_kills(how: str, argv: list[str], run: Supervised | None) -> tuple[Wire, float]:
        """One connection, and a kill before each of ten calls."""
        wire = Wire(folder / how)
        log = folder / f"{how}.stderr"
        talk = Mcpdo(client, wire.tee(argv), folder, log)
        await talk.open()
        try:
            known = await connections(talk)
            expect(len(known), 1, "the connections of the daemon")
            first = await talk.ask(ECHO)
            expect("error" in (first or {}), False, f"the first call: {first}")
            slowest = 0.0
            for _ in range(KILLS):
                if run is not None:
                    await run.kill()
                else:
                    pid = await until(lambda: server_behind(wire), "no server runs")
                    os.kill(pid, signal.SIGKILL)
                    await until(lambda: None if alive(pid) else True, f"process {pid} is still there")
                began = time.monotonic()
                expect(await talk.ask(ECHO), first, "the call after a kill")
                slowest = max(slowest, time.monotonic() - began)
            if run is not None:
                expect(await connections(talk), known, "the connections of the daemon, and since when")
        finally:
            await talk.close()
        return wire, slowest

    def greetings(wire: Wire) -> int:
        return sum(json.loads(line).get("method") == "initialize" for line in wire.lines("asked"))

    alone, _ = await ten_kills("alone", command, None)
    expect(greetings(alone), 1 + KILLS, "greetings without the supervisor")
    place = Place(binary, folder)
    run = Supervised(place, "mcpdo", command, apart=True)
    run.log = folder / "with.stderr"
    wire, slowest = await ten_kills("with", run.argv, run)
    expect(greetings(wire), 1, "greetings with the supervisor")
    # The daemon's own requests: it answers some of the server's too.
    asked = [message for message in map(json.loads, wire.lines("asked")) if "method" in message]
    ids = [message["id"] for message in asked if "id" in message]
    expect(len(set(ids)), len(ids), "one count of requests from the first to the last")
    run.said = (folder / "alone.stderr").read_text(encoding="utf-8").splitlines()
    await run.over()
    return (
        f"mcpdo: one connection and one initialize over {len(run.killed)} kills (without the supervisor"
        f" {greetings(alone)}), the slowest command took {slowest:.1f} s"
    )


def main() -> int:
    """Shows everything. Gives the exit code."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.environ["HOME"] = str(Path(folder).resolve())
        try:
            print(f"ok: {asyncio.run(ten_kills_each())}")
        except (Exception, BaseExceptionGroup) as error:
            print("FAILED", *reasons(error), sep="\n", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

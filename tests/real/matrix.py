"""Published clients with published servers: each pair alone, with the supervisor in between, and again with kills.

`matrix.py [--whole] BINARY NPM EXAMPLES [WORD...]`: the supervisor, the folder that holds `node_modules`, and the one that
holds the programs of Cargo's examples. Words choose the pairs whose names hold them all. For each pair that can talk:

- every list, a call of every tool that needs no network, the resources, prompts and completions, by the client's own SDK:
  what it gives is the same with the supervisor as without;
- so is every line on the wire between the two, in both directions, byte for byte; and the same lines leave the supervisor
  as enter it, in both directions, in the same order;
- again with the server killed between requests: the same answers, and no other handshake than the first;
- with `--whole` only, because of the time it takes: a kill between every two requests (else before every second one, and
  before every third of a server that is slow to start), and the command lines of the Inspector, which are a process for
  each request, with more than two servers;
- in the end no process is left, and stderr tells of the kills and of nothing that is not heard without the supervisor.

What may differ: `listChanged` in the answer to `initialize`, which the supervisor sets; and what a step of `steps.py`
takes out of an answer. A pair that cannot talk must fail in the same way with the supervisor as without.
"""

import asyncio
import json
import os
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clients import Answer, Client, Driver, clients
from failure import Failure, expect, reasons
from servers import Server, fresh, servers
from steps import LISTS, Step
from supervised import Place, Supervised

AT_A_TIME = 2
"""How many pairs talk at once: on few cores, more of them would only make each other slow."""

ATTEMPTS = 4
"""How often a session is begun with a server that does not answer the probe within 8 s, as on a very busy machine."""

TEE = [sys.executable, "-I", "-S", str(Path(__file__).with_name("tee.py"))]


@dataclass
class Wire:
    """What a tee has written down, in lines."""

    folder: Path

    def lines(self, direction: str) -> list[str]:
        """All lines in this direction, `asked` or `heard`."""
        file = self.folder / direction
        return file.read_text(encoding="utf-8").split("\n")[:-1] if file.exists() else []

    def tee(self, command: list[str]) -> list[str]:
        """The command with the tee before it."""
        self.folder.mkdir()
        return [*TEE, str(self.folder), *command]


@dataclass
class Record:
    """One conversation: what the client said of it, and what was on the wire."""

    opening: Answer
    answers: list[tuple[Step, Answer]] = field(default_factory=list)
    wires: list[list[str]] = field(default_factory=list)
    """For the opening and for each step, the answers on the wire."""
    asked: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    """What else was heard."""

    def talked(self) -> bool:
        """Whether client and server could talk: the greeting and the first list came."""
        return "error" not in self.opening and bool(self.answers) and "error" not in self.answers[0][1]

    def too_slow(self) -> bool:
        """Whether the supervisor has answered the probe for the era, for the server was slower than it lets a host wait."""
        return any("no server has answered this" in line for line in self.wires[0])

    def handshakes(self) -> list[str]:
        """By which methods the client has opened the conversation."""
        methods = [json.loads(line).get("method") for line in self.asked]
        return [method for method in methods if method in ("initialize", "server/discover")]


class Pair:
    """A client and a server."""

    def __init__(self, place: Place, client: Client, server: Server, whole: bool) -> None:
        self.place = place
        self.brief = brief(client, server) and not whole
        self.every = 1 if whole else 3 if server.slow else 2
        """Before which of the steps that the server can be killed before it is."""
        self.client = client
        self.server = server
        self.name = f"{client.name}+{server.name}"
        self.folder = place.folder / self.name
        self.folder.mkdir()
        self.site = self.folder / "site"
        """Where the server works: at the same path in each conversation, for it may tell."""
        self.command = server.command(self.site)

    async def show(self) -> str:
        """Everything about this pair. Gives what is shown, in words."""
        alone = await self.converse("alone", self.command)
        said = (self.folder / "alone.stderr").read_text(encoding="utf-8").splitlines()
        if alone.talked() != (self.client.era in (*self.server.eras, "auto")):
            raise Failure(f"talks: {alone.talked()}, which is not what is known of the two; {alone.opening}")

        for attempt in range(ATTEMPTS):
            inside, outside = Wire(self.folder / f"inside-{attempt}"), f"with-{attempt}"
            run = self.supervised(outside, inside.tee(self.command), said)
            through = await self.converse(outside, run.argv)
            await run.over()
            if not through.too_slow():
                break
            print(f"again: {self.name}: the server was slower than the 8 s that a host waits for the probe", flush=True)
        self.same(alone, through)
        lines = self.untouched(Wire(self.folder / outside), inside)
        if not alone.talked():
            error = alone.opening.get("error") or alone.answers[0][1]["error"]
            return f"cannot talk, with the supervisor as without: {json.dumps(error)}"
        if self.client.kind is Driver:
            covered(self.server, alone)
        opened = ", ".join(Counter(through.handshakes())) or "no handshake"
        shown = f"{opened}, {len(alone.answers)} answers and {lines} lines are the same"
        if self.client.kind.connections:
            return f"{shown}; a connection for each request, so no kills in between"
        if self.brief:
            return f"{shown}; without kills, for the server is slow to start"

        run = self.supervised("kills", self.command, said)
        killed = await self.converse("kills", run.argv, run)
        await run.over()
        self.same(alone, killed, kills=True)
        return f"{shown}, and again with {len(run.killed)} kills, of which the client hears nothing"

    def supervised(self, how: str, command: list[str], said: list[str]) -> Supervised:
        """The supervisor before this command, whose server is known to write these lines to stderr."""
        run = Supervised(self.place, f"{self.name}-{how}", command, apart=self.client.name == "mcpdo")
        run.log = self.folder / f"{how}.stderr"
        run.said = said
        return run

    def steps(self) -> list[Step]:
        """What is asked: everything, or what is enough to see that the two understand each other."""
        steps = self.server.steps(self.site)
        return steps[: len(LISTS) + 2] if self.shortened() else steps

    def shortened(self) -> bool:
        """Whether less than everything is asked."""
        return self.brief and self.client.kind.connections

    async def converse(self, how: str, command: list[str], run: Supervised | None = None) -> Record:
        """One conversation. With `run`, its server is killed before steps that do not say otherwise: between calls, and
        where a start takes less than a second also between lists."""
        fresh(self.server, self.site)
        wire = Wire(self.folder / how)
        talk = self.client.converse(wire.tee(command), self.folder, self.folder / f"{how}.stderr")
        seen = may = 0

        def answers() -> list[str]:
            """The answers that came since this was asked last."""
            nonlocal seen
            lines = [line for line in wire.lines("heard") if not is_notice(line)]
            new, seen = lines[seen:], len(lines)
            return new

        try:
            record = Record(await talk.open())
            record.wires.append(answers())
            for step in [] if "error" in record.opening else self.steps():
                lists = self.server.slow and step in LISTS
                if run is not None and record.answers and not step.kept and not lists:
                    if may % self.every == 0:
                        await run.kill()
                    may += 1
                answer = await talk.ask(step)
                if answer is None:
                    continue
                record.answers.append((step, answer))
                record.wires.append(answers())
                if not record.talked():
                    break
        except Failure as failure:
            log = (self.folder / f"{how}.stderr").read_text(encoding="utf-8")
            raise Failure(f"{how}: {failure}\nstderr is\n{log}") from None
        finally:
            await talk.close()
        record.asked = wire.lines("asked")
        record.notices = [line for line in wire.lines("heard") if is_notice(line)]
        return record

    def same(self, alone: Record, other: Record, kills: bool = False) -> None:
        """Fails unless the two conversations are the same."""
        self.compare("the greeting, as the client tells it", with_list_changed(other.opening), with_list_changed(alone.opening))
        self.compare("the greeting", list(map(greeted, other.wires[0])), list(map(greeted, alone.wires[0])))
        for (step, answer), (_, wanted), wire, wanted_wire in zip(
            other.answers, alone.answers, other.wires[1:], alone.wires[1:], strict=True
        ):
            self.compare(step.what(), step.settle(json.dumps(answer)), step.settle(json.dumps(wanted)))
            if kills and step.method == "ping":
                # While there is no server, the supervisor answers for it: the same, in its own spelling.
                self.compare("ping, on the wire", list(map(json.loads, wire)), list(map(json.loads, wanted_wire)))
                continue
            given, wanted_lines = ([settled(step, line) for line in lines] for lines in (wire, wanted_wire))
            self.compare(f"{step.what()}, on the wire", given, wanted_lines)
        # Not what it answers: when a server asks is up to the server, and each one asks anew.
        said = [[line for line in record.asked if is_notice(line)] for record in (other, alone)]
        self.compare("what the client says", *said)
        # A connection that is closed at once may be too short for what a server says by itself.
        if not kills and not self.client.kind.connections:
            self.compare("what is heard besides", Counter(map(method, other.notices)), Counter(map(method, alone.notices)))
        # Each process says anew that its lists are there, and the supervisor that one has changed.
        strange = {method(line) for line in other.notices} - {method(line) for line in alone.notices}
        strange -= {f"notifications/{kind}/list_changed" for kind in ("tools", "prompts", "resources")}
        if kills:
            strange -= {"notifications/cancelled"}
            self.taken_back(other)
        self.compare("what is heard besides, and not alone", sorted(strange), [])

    def taken_back(self, killed: Record) -> None:
        """Fails unless what the client is told to forget is what a killed server had asked it, each once."""
        heard = list(map(json.loads, killed.notices))
        asked = {json.dumps(message["id"]) for message in heard if "id" in message}
        taken = [json.dumps(message["params"]["requestId"]) for message in heard if message["method"] == "notifications/cancelled"]
        strange = [request for request in taken if request not in asked]
        self.compare("what is taken back, and was never asked", strange, [])
        self.compare("what is taken back twice", sorted(taken), sorted(set(taken)))

    def compare(self, what: str, given: object, wanted: object) -> None:
        """Fails unless the two are the same."""
        expect(given, wanted, what)
        self.place.compared += 1

    def untouched(self, outside: Wire, inside: Wire) -> int:
        """Fails unless what left the supervisor is what entered it. Gives the number of lines."""
        told = [line for line in inside.lines("asked") if not is_ours(line)]
        expect(told, outside.lines("asked"), "what the server was told is what the client said")
        given = outside.lines("heard")
        wanted = [line for line in inside.lines("heard") if not is_ours(line)]
        expect(list(map(greeted, given)), list(map(greeted, wanted)), "what the client heard is what the server said")
        count = len(given) + len(outside.lines("asked"))
        self.place.unchanged += count
        return count


def is_ours(line: str) -> bool:
    """Whether a line is of the supervisor's own conversation with the server: it asks an idle one whether it lives."""
    return str(json.loads(line).get("id", "")).startswith("mcp-supervise:")


def is_notice(line: str) -> bool:
    """Whether a line is no answer, but a request or a notification."""
    return "method" in json.loads(line)


def method(line: str) -> str:
    """The method of what a server says by itself."""
    told: str = json.loads(line)["method"]
    return told


def greeted(line: str) -> Any:
    """A line as it was sent. The answer to `initialize` as JSON, with the one thing that the supervisor changes."""
    message = json.loads(line)
    result = message.get("result")
    if not isinstance(result, dict) or "protocolVersion" not in result:
        return line
    return with_list_changed(message)


def settled(step: Step, line: str) -> Any:
    """A line without what the step takes out of it. A greeting, where each request makes a connection, is one still."""
    message = greeted(line)
    return step.settle(line) if message == line else message


def with_list_changed(greeting: Any) -> Any:
    """A greeting, or what a client tells of it, with `listChanged` in those capabilities that it has."""
    if isinstance(greeting, list):
        return [with_list_changed(item) for item in greeting]
    if not isinstance(greeting, dict):
        return greeting
    changed = {name: with_list_changed(value) for name, value in greeting.items()}
    for name in ("tools", "prompts", "resources"):
        if isinstance(capability := greeting.get("capabilities", {}).get(name), dict):
            changed["capabilities"][name] = capability | {"listChanged": True}
    return changed


def covered(server: Server, record: Record) -> None:
    """Fails unless every tool of the server has been called."""
    listed = [json.loads(line)["result"].get("tools", []) for line in record.wires[1]]
    names = {tool["name"] for tools in listed for tool in tools}
    called = {step.params["name"] for step, _ in record.answers if step.method == "tools/call"}
    expect(sorted(names - called - server.untried), [], "tools that are not called")
    expect(bool(names), True, "tools are listed")


class Program:
    """All pairs."""

    def __init__(self, place: Place, pairs: list[tuple[Client, Server]], whole: bool) -> None:
        self.place = place
        self.pairs = pairs
        self.whole = whole
        self.turns = asyncio.Semaphore(AT_A_TIME)
        self.failed: list[str] = []

    async def all(self) -> None:
        """Shows everything. What fails does not keep the others from being shown."""
        async with asyncio.TaskGroup() as tasks:
            for client, server in self.pairs:
                tasks.create_task(self.one(client, server))

    async def one(self, client: Client, server: Server) -> None:
        """One pair."""
        async with self.turns:
            name = f"{client.name} and {server.name}"
            began = time.monotonic()
            try:
                shown = await Pair(self.place, client, server, self.whole).show()
                print(f"ok: {name}: {shown} ({time.monotonic() - began:.0f} s)", flush=True)
            except (Exception, BaseExceptionGroup) as error:
                self.failed += [f"{name}: {reason}" for reason in reasons(error)]
                print(f"FAILED: {name}", *reasons(error), sep="\n", flush=True)


def wanted(client: Client, server: Server, whole: bool) -> bool:
    """Whether the two are to be shown together."""
    if server.name == "mcp":
        # Of the same SDK as two others: it is here for what it does across kills with its own client.
        return client.name.startswith("mcp-")
    if client.name in ("inspector", "mcpdo") and not whole:
        return server.name in ("memory", "time")
    # How the era is found out depends on the client, and on which eras the server knows.
    return client.era != "auto" or server.name in ("memory", "rmcp")


def brief(client: Client, server: Server) -> bool:
    """Whether the two are not shown in full unless that is asked for: a process for each request, before a server that is
    slow to start."""
    return server.slow and client.name in ("inspector", "mcpdo", "sdk-legacy")


def main() -> int:
    """Shows everything. Gives the exit code."""
    began = time.monotonic()
    words = [word for word in sys.argv[1:] if word != "--whole"]
    whole = "--whole" in sys.argv
    binary, npm, examples = (Path(word).resolve() for word in words[:3])
    every = [(client, server) for client in clients(npm, examples) for server in servers(npm, examples)]
    pairs = [
        (client, server)
        for client, server in every
        if wanted(client, server, whole) and all(word in f"{client.name}+{server.name}" for word in words[3:])
    ]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        # Nothing of the user's is to be read or written, by nobody that is started here.
        os.environ["HOME"] = folder
        place = Place(binary, Path(folder).resolve())
        program = Program(place, pairs, whole)
        asyncio.run(program.all())
    if program.failed or not pairs:
        print(f"FAILED: {len(program.failed)} of {len(pairs)} pairs", file=sys.stderr)
        return 1
    print(
        f"{len(pairs)} pairs, {place.sessions} supervised sessions, {place.kills} kills, {place.compared} comparisons,"
        f" {place.unchanged} lines as they were sent, no difference, no process left,"
        f" in {time.monotonic() - began:.0f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

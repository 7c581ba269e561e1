"""Servers of the Python SDK behind the supervisor, killed or stopped at the worst moments, in both eras of the protocol.

`eras.py BINARY` drives the supervisor BINARY with the clients of `session.py`, against the server of `small.py`. It prints
a line for each thing that it has shown:

- a server that is killed between the probe for the era and what the client opens with: a fresh one serves that, in
  either era, though it would refuse it had it heard anything else before;
- a server that does not answer the probe in time, or dies of it, is replaced by one that has not heard it;
- calls in flight at a kill: those that are safe are repeated, others are answered with guidance, and what was done was
  done once;
- a stream of changes that the client listens to goes on;
- when the client has ended no process is left, and stderr tells of the kills and of nothing else.

Ends with 1 and a message at the first difference.
"""

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from pathlib import Path

from failure import Failure, expect, reasons
from session import Lines, Message, Talk, call, lines, list_tools, patiently, supervised
from supervised import Place, Supervised

AT_A_TIME = 3
"""How many conversations go on at once: on few cores, more of them would only make each other slow."""

LIFETIME = 240.0
"""For how long the whole may take before it is given up, in seconds: several times as long as it does."""

MODERN = "2026-07-28"
INITIALIZE = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "lines", "version": "1"}}
ENVELOPE = {
    "_meta": {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": {"name": "lines", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
}


class Program:
    """All that is shown, and in which order."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.turns = asyncio.Semaphore(AT_A_TIME)

    async def all(self) -> None:
        """Shows everything, what takes long first."""
        async with asyncio.TaskGroup() as tasks:

            def begin(name: str, scenario: Callable[..., Awaitable[str]], *what: object) -> None:
                tasks.create_task(self.one(name, scenario, *what))

            begin("stopped-lines", self.stopped_lines)
            begin("stopped-sdk", self.stopped_sdk)
            for era, mode in (("legacy", "legacy"), ("modern", "auto")):
                begin(f"in-flight-{era}", self.in_flight, mode)
            begin("listening", self.listening)
            begin("probe-greeting", self.probe_then_greeting)
            begin("probe-list", self.probe_then_list)
            begin("probe-deadly", self.deadly_probe)

    async def one(self, name: str, scenario: Callable[..., Awaitable[str]], *what: object) -> None:
        """Shows one thing and tells of it."""
        # Those with a server that stands wait most of the time, and take no turn.
        turn = nullcontext() if name.startswith("stopped") else self.turns
        try:
            async with turn:
                print(f"ok: {name}: {await scenario(name, *what)}", flush=True)
        except (Exception, BaseExceptionGroup) as error:
            raise Failure("\n".join(f"{name}: {reason}" for reason in reasons(error))) from error

    def journal(self, name: str) -> Path:
        """Where the server of this name writes down what it has done."""
        return self.place.folder / f"{name}.journal"

    def small(self, name: str) -> list[str]:
        """The command of the server of `small.py`, with the journal of this name."""
        return [sys.executable, str(Path(__file__).with_name("small.py")), str(self.journal(name))]

    def compare(self, what: str, given: Message, wanted: Message) -> None:
        """Fails unless the two answers are the same."""
        expect(given, wanted, what)
        self.place.compared += 1

    async def in_flight(self, name: str, mode: str) -> str:
        """Calls that the server is at when it is killed."""
        gate = self.place.folder / f"{name}.gate"
        run = Supervised(self.place, name, self.small(name))
        async with supervised(run, mode) as talk:
            await talk.ask(list_tools)

            guided(run, mode, await kill_during(run, talk, "hang", {"text": "hang"}))
            await serves(run, talk)

            answer = await kill_during(run, talk, "hang_typed", {"text": "hang_typed"})
            error = answer.get("error", {})
            expect(error.get("code"), -32603, f"a call that owes structured content is answered by {answer}")
            told_of_restart(run, error["data"])
            await serves(run, talk)

            look = {"gate": str(gate)}
            answer = await kill_during(run, talk, "look", look, before=gate.touch)
            self.compare("a safe call in flight is repeated", answer, await talk.ask(call("look", **look)))

            pid = (await run.server()).pid
            answer = await talk.ask(call("crash"))
            await run.died(pid)
            guided(run, mode, answer)
            await serves(run, talk)
            expect(len(talk.wire.handshakes()), 1, "the client greets once")
        expect(self.journal(name).read_text(), "hang\nhang_typed\n", "what was done, once each time")
        return "unsafe calls in flight get guidance, a safe one is repeated, and the session goes on"

    async def listening(self, name: str) -> str:
        """A stream of changes outlives the server that it was opened at."""
        uri = "small://greeting"
        run = Supervised(self.place, name, self.small(name))
        async with supervised(run, "auto") as talk:
            await talk.ask(list_tools)
            async with talk.client.listen(resource_subscriptions=[uri]) as changes:
                for _ in range(2):
                    await talk.ask(call("announce", uri=uri))
                    await patiently(anext(changes), "the server announces a change")
                    await run.kill()
                    await patiently(anext(changes), "what may have changed while nobody listened is announced")
                await serves(run, talk)
            heard = [message["method"] for message in talk.wire.heard if "method" in message]
            updated = ["notifications/resources/updated"] * 4
            expect(heard, ["notifications/subscriptions/acknowledged", *updated], "what is heard besides answers")
        return "a stream of changes goes on, and is acknowledged once"

    async def probe_then_greeting(self, name: str) -> str:
        """A server that has answered the probe dies, and the client goes on in the legacy era."""
        run = Supervised(self.place, name, self.small(name))
        async with lines(run) as host:
            probed = await host.ask("server/discover", ENVELOPE)
            expect(probed.get("result", {}).get("supportedVersions"), [MODERN], "the server answers the probe")
            await run.kill()
            await greets(run, host)
        return "killed after the probe, a fresh server is first told initialize"

    async def probe_then_list(self, name: str) -> str:
        """A server that has answered the probe dies, and the client goes on in the modern era."""
        run = Supervised(self.place, name, self.small(name))
        async with lines(run) as host:
            probed = await host.ask("server/discover", ENVELOPE)
            await run.kill()
            listed = await host.ask("tools/list", ENVELOPE)
            expect(listed.get("result", {}).get("resultType"), "complete", f"the list is {listed}")
            called = await host.ask("tools/call", ENVELOPE | {"name": "pid", "arguments": {}})
            expect(text_of(called), str((await run.server()).pid), "who answers")
            self.compare("the probe, at the fresh server", await host.ask("server/discover", ENVELOPE), probed)
            refused = await host.ask("initialize", INITIALIZE)
            expect(refused.get("error", {}).get("code"), -32022, f"locked to the modern era, it answers {refused}")
        return "killed after the probe, a fresh server is first told tools/list in its envelope"

    async def deadly_probe(self, name: str) -> str:
        """A server that dies with the probe in hand: the next one is not told it again."""
        run = Supervised(self.place, name, self.small(name))
        async with lines(run) as host:
            await run.stop()
            probe = await host.request("server/discover", ENVELOPE)
            # The supervisor reads on only after it has written what there is to write: by the second answer the server
            # has got the probe.
            for _ in range(2):
                expect((await host.ask("ping", {})).get("result"), {}, "ping is answered for the server")
            await run.kill()
            answer = await host.answer(probe)
            expect(answer.get("error", {}).get("code"), -32601, f"the probe is answered by {answer}")
            await greets(run, host)
        return "killed with the probe in hand, a fresh server is not told it, and is greeted"

    async def stopped_lines(self, name: str) -> str:
        """A server that stands does not answer the probe: the supervisor does, and a fresh one is greeted."""
        run = Supervised(self.place, name, self.small(name))
        async with lines(run) as host:
            stopped = await run.stop()
            began = time.monotonic()
            answer = await host.ask("server/discover", ENVELOPE)
            waited = time.monotonic() - began
            expect(answer.get("error", {}).get("code"), -32601, f"the probe is answered by {answer}")
            await greets(run, host)
            await run.reaped(stopped)
        return f"the probe is answered after {waited:.1f} s, and initialize by a fresh server"

    async def stopped_sdk(self, name: str) -> str:
        """The same with the client of the SDK, which falls back to the legacy era."""
        run = Supervised(self.place, name, self.small(name))
        async with supervised(run, "auto", run.stop) as talk:
            expect(talk.wire.handshakes(), ["server/discover", "initialize"], "how the client opens")
            await serves(run, talk)
        return f"the client falls back to initialize ({talk.version}), and a fresh server serves it"


async def kill_during(
    run: Supervised, talk: Talk, name: str, arguments: Message, before: Callable[[], object] = lambda: None
) -> Message:
    """Kills the server while it is at a call that tells of its progress. Gives the answer to the call."""
    begun = asyncio.Event()

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        begun.set()

    call = asyncio.create_task(talk.ask(lambda client: client.call_tool(name, arguments, progress_callback=progress)))
    await patiently(begun.wait(), f"{name} does not begin")
    before()
    await run.kill()
    return await patiently(call, f"{name} gets no answer")


def guided(run: Supervised, mode: str, answer: Message) -> None:
    """The answer to a call is guidance: an ordinary result, of the era, that is no failure of the tool."""
    result = answer.get("result", {})
    names = ["content"] if mode == "legacy" else ["content", "resultType"]
    expect(sorted(result), names, f"the members of {answer}")
    expect(result.get("resultType", "complete"), "complete", "the type of the result")
    told_of_restart(run, json.loads(text_of(answer)))


def told_of_restart(run: Supervised, guidance: Message) -> None:
    """Guidance that tells of a server that was killed with a call in flight."""
    told = {name: guidance.get(name) for name in ("status", "outcome", "exit", "server")}
    wanted = {"status": "server_restarted", "outcome": "unknown", "exit": "signal 9", "server": run.name}
    expect(told, wanted, f"the guidance {guidance}")


def text_of(answer: Message) -> str:
    """The text that a tool has answered."""
    content = answer.get("result", {}).get("content", [])
    if len(content) != 1 or content[0].get("type") != "text":
        raise Failure(f"expected the answer of a tool, got {answer}")
    text: str = content[0]["text"]
    return text


async def serves(run: Supervised, talk: Talk) -> None:
    """The server that runs now answers."""
    answer = await talk.ask(call("pid"))
    expect(text_of(answer), str((await run.server()).pid), "who answers")


async def greets(run: Supervised, host: Lines) -> None:
    """The server that runs now is greeted and answers, and is locked to the legacy era."""
    answer = await host.ask("initialize", INITIALIZE)
    version = answer.get("result", {}).get("protocolVersion")
    expect(version, INITIALIZE["protocolVersion"], f"the greeting: {answer}")
    await host.tell("notifications/initialized")
    called = await host.ask("tools/call", {"name": "pid", "arguments": {}})
    expect(text_of(called), str((await run.server()).pid), "who answers")
    refused = await host.ask("tools/list", ENVELOPE)
    expect(refused.get("error", {}).get("code"), -32600, f"it is locked to the legacy era: {refused}")


def main() -> int:
    """Shows everything. Gives the exit code."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        # Nothing of the user's is to be read or written, by nobody that is started here.
        os.environ["HOME"] = folder
        place = Place(Path(sys.argv[1]).resolve(), Path(folder).resolve())
        try:
            asyncio.run(patiently(Program(place).all(), "the end of it all", LIFETIME))
        except (Exception, BaseExceptionGroup) as error:
            print("FAILED", *reasons(error), sep="\n", file=sys.stderr)
            return 1
    print(
        f"{place.sessions} supervised sessions, {place.kills} kills, {place.compared} answers compared, no difference,"
        f" no process left, in {time.monotonic() - began:.0f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

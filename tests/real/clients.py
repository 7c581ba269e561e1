"""The clients: each is a program that is told what to ask for, and says what came back.

Those made of an SDK are asked line by line over one connection: `driver.mjs`, `driver.py` and `fixture-rmcp-client`.
Those of the Inspector are command lines: `mcp-inspector --cli` makes a connection for each request, and `mcpdo` leaves
one open in a process of its own between them.
"""

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from failure import Failure
from processes import PATIENCE
from steps import Step

HERE = Path(__file__).parent

LONGER = 1.5 * PATIENCE
"""How long a client's answer is waited for, in seconds: longer than the supervisor holds a request, so that its word for
a server that does not come up is seen, and is not taken for silence."""

PATIENT = ["--connect-timeout", f"{PATIENCE * 1000:.0f}"]
"""How long the Inspector's clients wait for a greeting: on a busy machine, a server may need more than their 15 s."""

TASKS = ("simulate-research-query",)
"""Tools that the Inspector's clients run as a task, and ask for how far it is: how often, depends on the time it takes."""

Answer = dict[str, Any]
"""What a client says: `{"results": [...]}`, or `{"error": ...}`."""


@dataclass(frozen=True)
class Client:
    """A client that speaks one era, or finds out."""

    name: str
    era: str
    argv: list[str]
    """What stands before the server's command."""
    kind: type["Conversation"]

    def converse(self, command: list[str], folder: Path, log: Path) -> "Conversation":
        """A conversation with the server that this command starts. What the client keeps for itself is in `folder`."""
        return self.kind(self, command, folder, log)


def clients(npm: Path, examples: Path) -> list[Client]:
    """All of them. `npm` is where the packages are, `examples` where the programs of Cargo's examples are."""
    bin_ = npm / "node_modules/.bin"
    driver = ["node", str(npm / "driver.mjs")]
    python = [sys.executable, "-W", "ignore", str(HERE / "driver.py")]
    rmcp = [str(examples / "fixture-rmcp-client")]
    inspector = [str(bin_ / "mcp-inspector"), "--cli", "--format", "json", "--quiet", *PATIENT]
    return [
        *(Client(f"client-{era}", era, [*driver, "client", era], Driver) for era in ("legacy", "modern", "auto")),
        Client("sdk-legacy", "legacy", [*driver, "sdk", "legacy"], Driver),
        *(Client(f"mcp-{era}", era, [*python, era], Driver) for era in ("legacy", "modern", "auto")),
        *(Client(f"rmcp-{era}", era, [*rmcp, era], Driver) for era in ("legacy", "modern", "auto")),
        Client("inspector", "legacy", inspector, Inspector),
        Client("mcpdo", "legacy", [str(bin_ / "mcpdo"), "--format", "json", "--conn", "it"], Mcpdo),
    ]


class Conversation(Protocol):
    """A client that talks to a server."""

    connections: bool
    """Whether it makes a connection for each request."""

    def __init__(self, client: Client, command: list[str], folder: Path, log: Path) -> None: ...

    async def open(self) -> Answer:
        """Begins, and tells who the server says it is."""

    async def ask(self, step: Step) -> Answer | None:
        """Asks for one thing. `None` if this client cannot ask for it."""

    async def close(self) -> None:
        """Ends, and with it all processes."""


def environment(folder: Path) -> dict[str, str]:
    """What a client finds in its environment: nothing of the user's."""
    path = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
    home = {"HOME": str(folder), "MCP_INSPECTOR_SECRET_STORE": "file", "MCP_INSPECTOR_DAEMON_DIR": str(folder / "do")}
    return path | home | {"LANG": "C.UTF-8", "MCP_INSPECTOR_DAEMON_TOKEN": "0" * 43, "DO_NOT_TRACK": "1"}


class Driver:
    """A program that is asked line by line."""

    connections = False

    def __init__(self, client: Client, command: list[str], folder: Path, log: Path) -> None:
        self.argv = [*client.argv, *command]
        self.folder = folder
        self.log = log
        self.process: asyncio.subprocess.Process | None = None

    async def open(self) -> Answer:
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self.argv,
                env=environment(self.folder),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                limit=1 << 24,
            )
        return await self.answer("the greeting")

    async def answer(self, what: str) -> Answer:
        """The next line."""
        assert self.process is not None and self.process.stdout is not None, "it was started with a pipe"
        try:
            async with asyncio.timeout(LONGER):
                line = await self.process.stdout.readline()
        except TimeoutError:
            raise Failure(f"waited {LONGER:.0f} s in vain for the answer to {what}") from None
        if not line.endswith(b"\n"):
            raise Failure(f"the client has ended instead of an answer to {what}:\n{self.log.read_text()}")
        answer: Answer = json.loads(line)
        return answer

    async def ask(self, step: Step) -> Answer | None:
        assert self.process is not None and self.process.stdin is not None, "it was started with a pipe"
        line = json.dumps({"method": step.method, "params": step.params})
        self.process.stdin.write(line.encode() + b"\n")
        await self.process.stdin.drain()
        return await self.answer(step.what())

    async def close(self) -> None:
        assert self.process is not None and self.process.stdin is not None, "it was started with a pipe"
        self.process.stdin.close()
        try:
            async with asyncio.timeout(PATIENCE):
                code = await self.process.wait()
        except TimeoutError:
            self.process.kill()
            raise Failure(f"the client does not end after {PATIENCE:.0f} s") from None
        if code != 0:
            raise Failure(f"the client ends with code {code}:\n{self.log.read_text()}")


async def run(argv: list[str], folder: Path, log: Path) -> tuple[int, str]:
    """Runs a command line of the Inspector's to its end. Gives its exit code and what it has printed."""
    with log.open("ab") as stderr:
        process = await asyncio.create_subprocess_exec(
            *argv, env=environment(folder), stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=stderr
        )
        try:
            async with asyncio.timeout(PATIENCE):
                printed, _ = await process.communicate()
        except TimeoutError:
            process.kill()
            raise Failure(f"{argv} does not end after {PATIENCE:.0f} s") from None
    assert process.returncode is not None, "it has ended"
    return process.returncode, printed.decode()


DAEMON_STARTS = 4
"""How often the daemon of `mcpdo` is started before it is given up."""


@dataclass
class ByCommands:
    """A client that is one command line a request, each in this folder."""

    client: Client
    command: list[str]
    folder: Path
    log: Path


class Inspector(ByCommands):
    """`mcp-inspector --cli`, once for each request."""

    connections = True

    async def open(self) -> Answer:
        return {"results": []}

    async def ask(self, step: Step) -> Answer | None:
        params = step.params
        match step.method:
            case "tools/call" if params["name"] in TASKS:
                return None
            case "tools/call":
                options = ["--tool-name", params["name"], "--tool-args-json", json.dumps(params["arguments"])]
            case "resources/read":
                options = ["--uri", params["uri"]]
            case "prompts/get":
                arguments = [f"{name}={value}" for name, value in params["arguments"].items()]
                options = ["--prompt-name", params["name"], *(["--prompt-args", *arguments] if arguments else [])]
            case method if method.endswith("/list"):
                options = []
            case _:
                return None
        argv = [*self.client.argv, "--method", step.method, *options, "--", *self.command]
        code, printed = await run(argv, self.folder, self.log)
        return {"results": [printed]} if code == 0 else {"error": {"code": code, "printed": printed}}

    async def close(self) -> None:
        pass


class Mcpdo(ByCommands):
    """`mcpdo`: one connection, in a daemon that this starts and stops."""

    connections = False

    async def do(self, *words: str) -> Answer:
        """One command of it."""
        code, printed = await run([*self.client.argv, *words], self.folder, self.log)
        return {"results": [printed]} if code == 0 else {"error": {"code": code, "printed": printed}}

    async def open(self) -> Answer:
        for _ in range(DAEMON_STARTS):
            opened = await self.do("connect", *PATIENT, "--", *self.command)
            # It waits for its own daemon, and not for any server, only as long as that takes on a machine with nothing to do.
            if "error" not in opened or "daemon_start_timeout" not in self.log.read_text():
                break
        if "error" in opened:
            raise Failure(f"mcpdo does not connect: {opened}\n{self.log.read_text()}")
        return {"results": [json.loads(opened["results"][0])["protocolEra"]]}

    async def ask(self, step: Step) -> Answer | None:
        params = step.params
        match step.method:
            case "tools/call" if params["name"] in TASKS:
                return None
            case "tools/call":
                return await self.do("tools/call", params["name"], "--tool-args-json", json.dumps(params["arguments"]))
            case "resources/read":
                return await self.do("resources/read", params["uri"])
            case "prompts/get":
                arguments = [f"{name}={value}" for name, value in params["arguments"].items()]
                return await self.do(
                    "prompts/get", params["name"], *(["--prompt-args", *arguments] if arguments else [])
                )
            case "logging/setLevel":
                return await self.do("logging/setLevel", params["level"])
            case method if method.endswith("/list"):
                return await self.do(method)
        return None

    async def close(self) -> None:
        await self.do("daemon", "stop")

"""One client of a server, with the supervisor in between or without it: the SDK's own, and one that speaks lines.

What goes over the wire is kept as it is, so that answers are compared as they were sent and not as the SDK reads them.
A supervised session ends with a look at what is left: no process, and nothing in the log but the kills.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from mcp import MCPError
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, get_default_environment, stdio_client
from mcp.shared.message import SessionMessage

from failure import Failure
from processes import PATIENCE
from supervised import Supervised

T = TypeVar("T")

Message = dict[str, Any]

@dataclass
class Wire:
    """What a client and its server have said to each other, in order."""

    asked: list[Message] = field(default_factory=list)
    heard: list[Message] = field(default_factory=list)

    def answers(self) -> list[Message]:
        """What came for requests."""
        return [message for message in self.heard if "method" not in message]

    def check(self) -> None:
        """Fails unless each request was answered once, and nothing else was. A stream may be open to the end."""
        requests = {message["id"]: message["method"] for message in self.asked if "id" in message}
        answered = [answer["id"] for answer in self.answers()]
        owed = [request for request, method in requests.items() if method != "subscriptions/listen"]
        if len(set(answered)) != len(answered) or not set(owed) <= set(answered) <= set(requests):
            raise Failure(f"the requests {requests} have the answers {answered}")

    def handshakes(self) -> list[str]:
        """The methods by which the client has opened the conversation."""
        opening = ("initialize", "server/discover")
        return [message["method"] for message in self.asked if message.get("method") in opening]


class Ear:
    """One stream of the SDK's transport, listened to in passing."""

    def __init__(self, stream: Any, kept: list[Message]) -> None:
        self.stream = stream
        self.kept = kept

    def keep(self, item: SessionMessage | Exception) -> None:
        if isinstance(item, Exception):
            raise Failure(f"a line is no message: {item}")
        self.kept.append(item.message.model_dump(mode="json", by_alias=True, exclude_unset=True))

    async def send(self, item: SessionMessage) -> None:
        self.keep(item)
        await self.stream.send(item)

    async def receive(self) -> SessionMessage | Exception:
        item: SessionMessage | Exception = await self.stream.receive()
        self.keep(item)
        return item

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        item: SessionMessage | Exception = await anext(self.stream)
        self.keep(item)
        return item

    async def aclose(self) -> None:
        await self.stream.aclose()

    async def __aenter__(self) -> Self:
        await self.stream.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        left: bool | None = await self.stream.__aexit__(kind, error, trace)
        return left


@dataclass
class Talk:
    """A client of the SDK that is connected."""

    client: Client
    wire: Wire
    version: str
    """The revision of the protocol that was agreed on."""

    async def ask(self, call: Callable[[Client], Awaitable[object]]) -> Message:
        """Asks for one thing. Gives the answer as it was on the wire, its id left out."""
        before = len(self.wire.asked)
        refused = None
        try:
            await call(self.client)
        except MCPError as error:
            refused = error
        # The client may ask for more, to judge the answer by it.
        request = self.wire.asked[before]["id"]
        for answer in self.wire.answers():
            if answer["id"] == request:
                return without_id(answer)
        raise Failure(f"the client got no answer: {refused}")


async def patiently(awaited: Awaitable[T], what: str, patience: float = PATIENCE) -> T:
    """Awaits something that must come, and fails if it does not."""
    try:
        async with asyncio.timeout(patience):
            return await awaited
    except TimeoutError:
        raise Failure(f"waited {patience:.0f} s in vain: {what}") from None


async def list_tools(client: Client) -> object:
    """Asks for the list of tools."""
    return await client.list_tools()


def call(name: str, **arguments: object) -> Callable[[Client], Awaitable[object]]:
    """Asks for a call of a tool."""
    return lambda client: client.call_tool(name, arguments)


def without_id(answer: Message) -> Message:
    """An answer without what differs from one request to the next."""
    return {name: value for name, value in answer.items() if name != "id"}


@asynccontextmanager
async def connect(
    argv: list[str],
    env: dict[str, str],
    log: Path,
    mode: str,
    before: Callable[[], Awaitable[object]] | None = None,
) -> AsyncIterator[Talk]:
    """A client of the SDK. `before` is awaited when the process runs and nothing has been said to it."""
    wire = Wire()

    @asynccontextmanager
    async def transport() -> AsyncIterator[tuple[Ear, Ear]]:
        command = StdioServerParameters(command=argv[0], args=argv[1:], env=env)
        with log.open("a", encoding="utf-8") as errlog:
            async with stdio_client(command, errlog=errlog) as (read, write):
                if before is not None:
                    await before()
                yield Ear(read, wire.heard), Ear(write, wire.asked)

    # Without its cache, for every list is to come from the server.
    async with Client(transport(), mode=mode, cache=None, read_timeout_seconds=PATIENCE) as client:
        yield Talk(client, wire, client.protocol_version)


@asynccontextmanager
async def supervised(
    run: Supervised, mode: str, before: Callable[[], Awaitable[object]] | None = None
) -> AsyncIterator[Talk]:
    """A client of the SDK with the supervisor in between."""
    async with connect(run.argv, run.env, run.log, mode, before) as talk:
        await run.server()
        yield talk
    talk.wire.check()
    await run.over()


class Lines:
    """A client that speaks JSON lines and knows nothing of MCP."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.ids = 0

    async def tell(self, method: str, params: Message | None = None, **members: Any) -> None:
        """Sends a notification, or with an `id` a request."""
        assert self.process.stdin is not None, "the process was started with a pipe"
        message = {"jsonrpc": "2.0", **members, "method": method} | ({} if params is None else {"params": params})
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        await self.process.stdin.drain()

    async def request(self, method: str, params: Message) -> int:
        """Sends a request. Gives its id."""
        self.ids += 1
        await self.tell(method, params, id=self.ids)
        return self.ids

    async def answer(self, request: int) -> Message:
        """Gives the next line, its id left out: it must be the answer to this request."""
        assert self.process.stdout is not None, "the process was started with a pipe"
        line = await patiently(self.process.stdout.readline(), f"no answer to request {request}")
        answer: Message = json.loads(line) if line else {}
        if answer.get("id") != request:
            raise Failure(f"expected the answer to request {request}, got {line!r}")
        return without_id(answer)

    async def ask(self, method: str, params: Message) -> Message:
        """Sends a request and gives the answer."""
        return await self.answer(await self.request(method, params))


@asynccontextmanager
async def lines(run: Supervised) -> AsyncIterator[Lines]:
    """A client that speaks lines, with the supervisor in between; its server runs."""
    with run.log.open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *run.argv,
            env=get_default_environment() | run.env,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            start_new_session=True,
            limit=1 << 20,
        )
    try:
        await run.server()
        yield Lines(process)
    finally:
        assert process.stdin is not None, "the process was started with a pipe"
        process.stdin.close()
        await process.wait()
    await run.over()

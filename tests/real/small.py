"""A small MCP server of both eras, made with the SDK of PyPI: `small.py JOURNAL`.

The SDK locks a process to the era of the first request that it hears: after `server/discover` it refuses `initialize`,
and after `initialize` whatever comes in an envelope. A process that was not opened as its client goes on gives itself
away by an error.

What is done for good is written to the file JOURNAL, one line each time. The tools that do not answer report progress
first: whoever has heard that knows that the call is being carried out.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from mcp.server.mcpserver import Context, MCPServer
from mcp.types import ToolAnnotations

READ_ONLY = ToolAnnotations(read_only_hint=True)
UNSAFE = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=False)

journal = Path(sys.argv[1])
server = MCPServer("small", version="1.0.0", instructions="Call anything.", log_level="ERROR")


def write_down(text: str) -> None:
    """Adds a line to the journal, in one write."""
    with journal.open("a", encoding="utf-8") as file:
        file.write(f"{text}\n")


async def never(context: Context) -> None:
    """Reports that the call is being carried out, and does not return."""
    await context.report_progress(1, 2)
    await asyncio.Event().wait()


@server.tool(annotations=READ_ONLY)
def pid() -> int:
    """Tell the process id of the server."""
    return os.getpid()


@server.tool(annotations=READ_ONLY)
async def look(gate: str, context: Context) -> str:
    """Answer if the file `gate` is there, else never."""
    if not Path(gate).exists():
        await never(context)
    return f"{Path(gate).name} is there"


@server.tool(annotations=READ_ONLY)
async def announce(uri: str, context: Context) -> str:
    """Tell whoever listens that a resource has changed."""
    await context.notify_resource_updated(uri)
    return f"announced: {uri}"


@server.tool(annotations=UNSAFE)
def note(text: str) -> str:
    """Write a text down."""
    write_down(text)
    return f"noted: {text}"


@server.tool(annotations=UNSAFE, structured_output=False)
async def hang(text: str, context: Context) -> str:
    """Write a text down and never answer."""
    write_down(text)
    await never(context)
    return text


@server.tool(annotations=UNSAFE, structured_output=True)
async def hang_typed(text: str, context: Context) -> str:
    """Write a text down and never answer with what would be structured content."""
    write_down(text)
    await never(context)
    return text


@server.tool(annotations=UNSAFE, structured_output=False)
def crash() -> str:
    """End the server as kill -9 does."""
    os.kill(os.getpid(), signal.SIGKILL)
    return "still here"


@server.resource("small://greeting")
def greeting() -> str:
    """A text that is always the same."""
    return "Good day."


@server.resource("small://{name}/length")
def length(name: str) -> str:
    """How long a name is."""
    return str(len(name))


@server.prompt()
def question(topic: str) -> str:
    """Ask about a topic."""
    return f"What is {topic}?"


if __name__ == "__main__":
    server.run()

"""What is asked of the servers, one thing after the other, and how two answers to it are compared."""

import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mcp.client import Client

from session import Message


@dataclass(frozen=True)
class Step:
    """One thing that a client asks for."""

    what: str
    call: Callable[[Client], Awaitable[object]]
    settle: Callable[[str], str] = lambda text: text
    """Takes out of an answer, as JSON text, what differs from one time to the next."""

    def settled(self, answer: Message) -> Message:
        """An answer without what differs from one time to the next."""
        settled: Message = json.loads(self.settle(json.dumps(answer)))
        return settled


def tool(name: str, arguments: dict[str, Any], settle: Callable[[str], str] = lambda text: text) -> Step:
    """The call of a tool."""
    return Step(f"the tool {name} with {arguments}", lambda client: client.call_tool(name, arguments), settle)


LISTS = [
    Step("the list of tools", lambda client: client.list_tools()),
    Step("the list of resources", lambda client: client.list_resources()),
    Step("the list of resource templates", lambda client: client.list_resource_templates()),
    Step("the list of prompts", lambda client: client.list_prompts()),
]


def time_steps() -> list[Step]:
    """What is asked of mcp-server-time: in a timezone where it is about noon, for a new day would be a difference."""
    ahead = 12 - datetime.now(UTC).hour
    zone = f"Etc/GMT{-ahead:+d}"
    at_noon = {"source_timezone": zone, "time": "13:30", "target_timezone": "Asia/Kathmandu"}
    return [
        *LISTS,
        tool("get_current_time", {"timezone": zone}, lambda text: re.sub(r"T\d\d:\d\d:\d\d", "Thh:mm:ss", text)),
        tool("convert_time", at_noon),
        tool("convert_time", at_noon | {"time": "noon"}),
        tool("no_such_tool", {}),
    ]


def small_steps(gate: Path) -> list[Step]:
    """What is asked of the server of `server.py`. `gate` is a file that is there."""
    return [
        *LISTS,
        Step("a resource", lambda client: client.read_resource("small://greeting")),
        Step("a resource of a template", lambda client: client.read_resource("small://anybody/length")),
        Step("a prompt", lambda client: client.get_prompt("question", {"topic": "a kill"})),
        tool("pid", {}, lambda text: re.sub(r"\d{2,}", "0", text)),
        tool("look", {"gate": str(gate)}),
        tool("note", {"text": "a line"}),
    ]

"""A client on the Python SDK that asks what it is told to: `driver.py ERA COMMAND...`.

It starts COMMAND, opens the conversation as ERA says (`legacy`, `modern`, or `auto` for whichever the server knows), and
prints one line of JSON for that and for each line on its stdin, in order. Such a line is a request, `{"method", "params"}`,
and a list is asked for page by page to its end. What is printed is what came out of the SDK: `{"results": [...]}`, or
`{"error": ...}`. With the end of stdin it closes the connection and ends.

It never asks for anything by itself. What the SDK adds, to check a result by the tool's schema for one, is the SDK's.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from mcp import MCPError
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp.types import PromptReference, ResourceTemplateReference
from pydantic import ValidationError

MODES = {"legacy": "legacy", "auto": "auto", "modern": "2026-07-28"}


def tell(what: dict[str, Any]) -> None:
    """Prints one line."""
    print(json.dumps(what), flush=True)


def plain(result: Any) -> Any:
    """What the SDK gives, as JSON."""
    return None if result is None else result.model_dump(mode="json", by_alias=True, exclude_unset=True)


async def ask(client: Client, method: str, params: dict[str, Any]) -> list[Any]:
    """Asks for one thing, or for all pages of a list. Gives the results."""
    match method:
        case "tools/call":
            return [await client.call_tool(params["name"], params["arguments"])]
        case "resources/read":
            return [await client.read_resource(params["uri"])]
        case "prompts/get":
            return [await client.get_prompt(params["name"], params.get("arguments"))]
        case "completion/complete":
            kinds = {"ref/prompt": PromptReference, "ref/resource": ResourceTemplateReference}
            kind = kinds[params["ref"]["type"]]
            return [await client.complete(kind.model_validate(params["ref"]), params["argument"])]
        case "logging/setLevel":
            return [await client.set_logging_level(params["level"])]
        case "ping":
            return [await client.send_ping()]
    pages: dict[str, Callable[..., Awaitable[Any]]] = {
        "tools/list": client.list_tools,
        "resources/list": client.list_resources,
        "resources/templates/list": client.list_resource_templates,
        "prompts/list": client.list_prompts,
    }
    results = [await pages[method]()]
    while (cursor := results[-1].next_cursor) is not None:
        results.append(await pages[method](cursor=cursor))
    return results


async def attempt(what: Callable[[], Awaitable[list[Any]]]) -> None:
    """Does it, and tells how it went."""
    try:
        tell({"results": [plain(result) for result in await what()]})
    except MCPError as error:
        tell({"error": plain(error.error)})
    except ValidationError as error:
        # A server that takes the request and answers as another era does.
        invalid = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        tell({"error": {"message": "the answer is not valid", "data": invalid}})


async def converse(era: str, command: list[str]) -> None:
    """The whole conversation."""
    # Without its cache, for every list is to come from the server.
    server = StdioServerParameters(command=command[0], args=command[1:])
    client = Client(server, mode=MODES[era], cache=None)  # type: ignore[arg-type]
    loop = asyncio.get_running_loop()
    async with client:
        tell(
            {
                "results": [
                    {
                        "server": plain(client.server_info),
                        "capabilities": plain(client.server_capabilities),
                        "instructions": client.instructions,
                        "version": client.protocol_version,
                    }
                ]
            }
        )
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            request = json.loads(line)
            await attempt(lambda: ask(client, request["method"], request.get("params", {})))


def refusals(error: BaseException) -> list[MCPError]:
    """The server's refusals in an error or a group of errors."""
    if isinstance(error, BaseExceptionGroup):
        return [refusal for inner in error.exceptions for refusal in refusals(inner)]
    return [error] if isinstance(error, MCPError) else []


def main() -> None:
    """Runs the conversation. That the server refuses to talk is an answer too."""
    try:
        asyncio.run(converse(sys.argv[1], sys.argv[2:]))
    except (MCPError, BaseExceptionGroup) as error:
        if not (refused := refusals(error)):
            raise
        tell({"error": plain(refused[0].error)})


if __name__ == "__main__":
    main()

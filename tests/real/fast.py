"""A small server made with FastMCP, of both eras, whose lists come in pages of two."""

from fastmcp import Context, FastMCP
from fastmcp.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import BaseModel

server = FastMCP("fast", version="1.0.0", instructions="Call anything.", list_page_size=2)


class Place(BaseModel):
    """Where something is."""

    name: str
    height: float


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def add(left: int, right: int) -> int:
    """Add two numbers."""
    return left + right


@server.tool
def highest(places: list[Place]) -> Place:
    """Find the highest place."""
    return max(places, key=lambda place: place.height)


@server.tool
def refuse(reason: str) -> str:
    """Fail for a reason."""
    raise ToolError(reason)


@server.tool
async def tell(text: str, context: Context) -> str:
    """Log a text, and answer it."""
    await context.info(text)
    return text


@server.tool(output_schema=None)
def characters() -> str:
    """Answer characters that are often got wrong."""
    return 'quote " backslash \\ newline \n tab \t crab \U0001f980 separator \u2028 nul \\u0000 slash /'


@server.resource("fast://notice")
def notice() -> str:
    """A text that is always the same."""
    return "Good day."


@server.resource("fast://bytes", mime_type="application/octet-stream")
def some_bytes() -> bytes:
    """Bytes that are no text."""
    return bytes(range(256))


@server.resource("fast://third")
def third() -> str:
    """What makes a second page of the list."""
    return "third"


@server.resource("fast://{name}/length")
def length(name: str) -> str:
    """How long a name is."""
    return str(len(name))


@server.prompt
def question(topic: str) -> str:
    """Ask about a topic."""
    return f"What is {topic}?"


if __name__ == "__main__":
    server.run(show_banner=False, log_level="ERROR")

"""What is asked of a server, one thing after the other, and how two answers to it are compared."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Settle = Callable[[str], str]


@dataclass(frozen=True)
class Step:
    """One request, or one list to its end."""

    method: str
    params: dict[str, Any] = field(default_factory=dict)
    settle: Settle = lambda text: text
    """Takes out of an answer, as JSON text, what differs from one time to the next."""
    kept: bool = False
    """Whether it asks for what only the process that served the step before it knows: it is not killed in between."""

    def what(self) -> str:
        """What is asked for, for a person."""
        return f"{self.method} {self.params}" if self.params else self.method


def tool(name: str, arguments: dict[str, Any] | None = None, settle: Settle = lambda text: text, **more: bool) -> Step:
    """The call of a tool."""
    return Step("tools/call", {"name": name, "arguments": arguments or {}}, settle, **more)


def read(uri: str, settle: Settle = lambda text: text, **more: bool) -> Step:
    """A resource."""
    return Step("resources/read", {"uri": uri}, settle, **more)


def prompt(name: str, /, **arguments: str) -> Step:
    """A prompt."""
    return Step("prompts/get", {"name": name, "arguments": arguments})


def complete(kind: str, name: str, argument: str, value: str) -> Step:
    """The completion of an argument of a prompt, or of the template of a resource."""
    ref = {"type": "ref/prompt", "name": name} if kind == "prompt" else {"type": "ref/resource", "uri": name}
    return Step("completion/complete", {"ref": ref, "argument": {"name": argument, "value": value}})


LISTS = [Step(method) for method in ("tools/list", "resources/list", "resources/templates/list", "prompts/list")]


def without(*patterns: str) -> Settle:
    """Takes out what these patterns match."""

    def settle(text: str) -> str:
        for pattern in patterns:
            text = re.sub(pattern, "*", text)
        return text

    return settle

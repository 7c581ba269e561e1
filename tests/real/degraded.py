"""What the supervisor answers where no server is there, judged by the types of the SDK of PyPI, revision by revision.

`degraded.py BINARY` asks the supervisor BINARY for every method that a revision has, once where its server has never
started and once where it has died. Each result must be one that the SDK takes in that revision, as must each error, and
no member of one revision may be in another; a method that the revision does not have must be refused. The types were
generated from the schema of the specification; for the older revisions the SDK takes that of 2025-11-25.

Ends with 1 and a message at the first that is not so.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mcp_types.jsonrpc import JSONRPCError
from mcp_types.methods import CLIENT_REQUESTS, SERVER_RESULTS, validate_server_result
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, KNOWN_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from failure import Failure, expect

Message = dict[str, Any]

MODERN_MEMBERS = {"resultType", "ttlMs", "cacheScope"}
"""What a result of an older revision does not have."""

PARAMS: dict[str, Message] = {
    "tools/call": {"name": "hang", "arguments": {"text": "a"}},
    "resources/read": {"uri": "small://greeting"},
    "resources/subscribe": {"uri": "small://greeting"},
    "resources/unsubscribe": {"uri": "small://greeting"},
    "prompts/get": {"name": "question", "arguments": {"topic": "a"}},
    "logging/setLevel": {"level": "debug"},
    "completion/complete": {
        "ref": {"type": "ref/prompt", "name": "question"},
        "argument": {"name": "topic", "value": ""},
    },
}

RESULTS = {"initialize", "ping", "tools/list", "tools/call", "completion/complete"}
"""What is answered with a result although nothing is known of the server, where the revision has it."""


class Degraded:
    """All that is asked, and how many answers were judged."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self.binary = binary
        self.folder = folder
        self.judged = 0

    def answers(self, name: str, revision: str, known: bool) -> None:
        """Asks for every method of every revision, in this one."""
        folder = self.folder / name
        folder.mkdir()
        command = folder / "server"
        if known:
            server = Path(__file__).with_name("small.py")
            command.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{server}" "{folder / "journal"}"\n')
            command.chmod(0o755)
        with self.host(folder, command, revision) as host:
            if known:
                host.open()
                for method in ("tools/list", "prompts/list", "resources/list", "resources/templates/list"):
                    host.ask(method, {})
                # It cannot be started again, so that all that follows is the supervisor's.
                command.unlink()
                self.judge(revision, "tools/call", host.ask("tools/call", {"name": "crash", "arguments": {}}))
            results = set()
            opening = "server/discover" if revision in MODERN_PROTOCOL_VERSIONS else "initialize"
            methods = sorted({method for method, _ in CLIENT_REQUESTS} - {opening, "subscriptions/listen"})
            for method in [opening, *methods, "acme/build"]:
                params = host.greeting() if method == "initialize" else PARAMS.get(method, {})
                answer = host.ask(method, params)
                self.judge(revision, method, answer)
                if "result" in answer:
                    results.add(method)
            wanted = {method for method in RESULTS if (method, revision) in SERVER_RESULTS}
            if not wanted <= results:
                raise Failure(f"{name}: these are answered with an error: {sorted(wanted - results)}")

    def judge(self, revision: str, method: str, answer: Message) -> None:
        """Fails unless the SDK takes this answer in this revision."""
        self.judged += 1
        try:
            if "error" in answer:
                JSONRPCError.model_validate(answer)
                if not answer["error"]["message"]:
                    raise Failure(f"{method} in {revision} is refused without a word: {answer}")
                return
            result = answer["result"]
            validate_server_result(method, revision, result)
        except (KeyError, ValidationError) as error:
            raise Failure(f"{method} in {revision} is answered {answer}: {error!r}") from error
        if revision in HANDSHAKE_PROTOCOL_VERSIONS and (strange := MODERN_MEMBERS & result.keys()):
            raise Failure(f"{method} in {revision} is answered with {strange}: {answer}")

    @contextmanager
    def host(self, folder: Path, command: Path, revision: str) -> "Iterator[Host]":
        """A host that speaks this revision to a supervisor of this command."""
        argv = [str(self.binary), "--max-restarts", "0", "--hold", "60s", "--init-timeout", "60s", "--", str(command)]
        environment = os.environ | {"MCP_SUPERVISE_DATA_DIR": str(folder / "data"), "HOME": str(folder)}
        with (folder / "stderr").open("wb") as log:
            process = subprocess.Popen(
                argv, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )
        try:
            yield Host(process, revision)
        finally:
            # Closes stdin, and waits until it has ended.
            process.communicate(timeout=60)


class Host:
    """The host's side of one conversation."""

    def __init__(self, process: subprocess.Popen[str], revision: str) -> None:
        self.process = process
        self.revision = revision
        self.modern = revision in MODERN_PROTOCOL_VERSIONS
        self.ids = 0

    def greeting(self) -> Message:
        """What it opens with before the modern era."""
        return {
            "protocolVersion": self.revision,
            "capabilities": {},
            "clientInfo": {"name": "degraded", "version": "1"},
        }

    def open(self) -> None:
        """Opens the conversation with a server that is there."""
        if self.modern:
            self.ask("server/discover", {})
        else:
            answer = self.ask("initialize", self.greeting())
            expect(answer.get("result", {}).get("protocolVersion"), self.revision, f"the greeting {answer}")
            self.tell({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def tell(self, message: Message) -> None:
        """Sends a message."""
        assert self.process.stdin is not None, "the process was started with a pipe"
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()

    def ask(self, method: str, params: Message) -> Message:
        """Sends a request and gives the answer."""
        self.ids += 1
        if self.modern:
            envelope = {"protocolVersion": self.revision, "clientCapabilities": {}}
            params = params | {"_meta": {f"io.modelcontextprotocol/{name}": value for name, value in envelope.items()}}
        self.tell({"jsonrpc": "2.0", "id": self.ids, "method": method, "params": params})
        assert self.process.stdout is not None, "the process was started with a pipe"
        for line in self.process.stdout:
            message: Message = json.loads(line)
            if message.get("id") == self.ids:
                return message
        raise Failure(f"no answer to {method} in {self.revision}")


def main() -> int:
    """Shows everything. Gives the exit code."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        degraded = Degraded(Path(sys.argv[1]).resolve(), Path(folder).resolve())
        try:
            for revision in KNOWN_PROTOCOL_VERSIONS:
                for known in (False, True):
                    degraded.answers(f"{revision}-{'died' if known else 'missing'}", revision, known)
        except Failure as failure:
            print("FAILED", failure, sep="\n", file=sys.stderr)
            return 1
    print(f"{degraded.judged} answers without a server are valid in {len(KNOWN_PROTOCOL_VERSIONS)} revisions")
    return 0


if __name__ == "__main__":
    sys.exit(main())

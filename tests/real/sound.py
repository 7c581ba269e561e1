"""Published servers, checked: nothing is found in any of them.

`sound.py BINARY NPM EXAMPLES`: the supervisor, the folder that holds `node_modules`, and the one that holds the programs of
Cargo's examples. Each server is checked as a CI would check it, with one of its tools called and its own baseline; the JUnit
form of the report is read too.
"""

import json
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from failure import Failure, expect
from servers import Server, fresh, servers

CALLS = {
    "everything": 'get-structured-content {"location": "Chicago"}',
    "filesystem": "list_allowed_directories",
    "memory": "read_graph",
    "time": 'get_current_time {"timezone": "Etc/UTC"}',
    "fastmcp": 'add {"left": 40, "right": 2}',
    "rmcp": 'add {"left": 40, "right": 2}',
    "mcp": "pid",
}
"""A tool of each that changes nothing, with arguments."""


def check(binary: str, server: Server, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Checks the server in a fresh folder."""
    fresh(server, folder)
    call = ["--call", CALLS[server.name]] if server.name in CALLS else []
    command = [binary, "check", *call, *options, "--", *server.command(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def main() -> None:
    binary, npm, examples = sys.argv[1:]
    with tempfile.TemporaryDirectory() as scratch:
        for server in servers(Path(npm), Path(examples)):
            folder, baseline = Path(scratch, server.name), f"{scratch}/{server.name}.json"
            written = check(binary, server, folder, "--baseline", baseline, "--write-baseline")
            expect(written.returncode, 0, f"{server.name}: {written.stdout} {written.stderr}")
            done = check(binary, server, folder, "--baseline", baseline, "--format", "json")
            report = json.loads(done.stdout)
            expect((report["findings"], done.returncode), ([], 0), server.name)
            suite = ElementTree.fromstring(check(binary, server, folder, "--format", "junit").stdout)
            expect(suite.get("failures"), "0", f"{server.name}: {ElementTree.tostring(suite)!r}")
            print(f"ok: {report['server']} is sound: {report['facts']['offers']}; {report['facts']['starts']}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit(str(failure))

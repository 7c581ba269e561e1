"""The supervisor through every line of its unsafe code, under a checker of memory.

Each scene is one life of the real program: pipes, pairs of sockets, terminals and files as its stdio; crashes, hangs and
restarts; the guardian that ends what a killed supervisor has left; the login shell; containers; exits by signals. What
the checker finds is in its reports, one file a process, the forked ones included. Nothing here sleeps and hopes: a scene
waits for lines, exits and files, and a watchdog ends it. Nothing of the user's is read or written.

    memory.py BINARY FIXTURE [CHECKER...]     the words of CHECKER come before BINARY; %p in them is for its reports
"""

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import tempfile
import time
import tty
from pathlib import Path

BINARY, FIXTURE, *CHECKER = sys.argv[1:]
# A link to a program, and a program looked for from another directory, need the whole path.
BINARY, FIXTURE = os.path.abspath(BINARY), os.path.abspath(FIXTURE)
# Only a failing scene waits as long. Everything is twenty times slower under valgrind.
WATCHDOG = 180.0
QUICK = ["--stop-grace", "400ms", "--term-grace", "200ms"]


class Failure(Exception):
    """A scene has not gone as it should."""


class Scene:
    """One life of the supervisor."""

    def __init__(self, scratch, name, kind="pipe", options=(), command=None, env=None, before=None):
        self.dir = Path(tempfile.mkdtemp(dir=scratch))
        self.name, self.lines, self.rest = name, [], b""
        stdin, self.stdin = ends(kind, self.dir, "in")
        self.stdout, stdout = ends(kind, self.dir, "out")[::-1]
        fixture = [FIXTURE, "--pid-file", self.dir / "pids", "--state", self.dir / "state"]
        words = [*CHECKER, BINARY, *QUICK, *options, "--", *(fixture if command is None else command(self.dir, fixture))]
        home = {"HOME": str(self.dir), "MCP_SUPERVISE_DATA_DIR": str(self.dir / "data"), "SHELL": "/bin/sh"}
        clean = {k: v for k, v in os.environ.items() if not k.startswith("MCP_SUPERVISE_")}
        ours = {name: value.replace("{dir}", str(self.dir)) for name, value in (env or {}).items()}
        with open(self.dir / "stderr", "wb") as stderr:
            self.process = subprocess.Popen(
                words, stdin=stdin, stdout=stdout, stderr=stderr, env={**clean, **home, **ours}, preexec_fn=before
            )
        for end in {stdin, stdout}:
            os.close(end)

    def until(self, what, holds):
        """Waits until this holds, and gives what it holds."""
        deadline = time.monotonic() + WATCHDOG
        while time.monotonic() < deadline:
            if found := holds():
                return found
            time.sleep(0.005)
        raise Failure(f"{self.name}: it does not come to be that {what}\n{(self.dir / 'stderr').read_text()}")

    def send(self, *messages):
        for message in messages:
            line = (json.dumps({"jsonrpc": "2.0", **message}) + "\n").encode()
            while line:
                # A terminal takes no long lines, and a socket takes what it has room for.
                line = line[os.write(self.stdin, line):]

    def answer(self, ident):
        """Waits for the answer with this id."""
        def found():
            self.read()
            return next((line for line in self.lines if line.get("id") == ident and "method" not in line), None)
        return self.until(f"{ident} is answered", found)

    def read(self):
        os.set_blocking(self.stdout, False)
        try:
            while data := os.read(self.stdout, 1 << 20):
                self.rest += data
        except OSError:
            pass
        *whole, self.rest = self.rest.split(b"\n")
        self.lines += [json.loads(line) for line in whole if line.strip()]

    def greet(self, version="2025-06-18"):
        info = {"name": "h", "version": "1"}
        params = {"protocolVersion": version, "capabilities": {}, "clientInfo": info}
        self.send({"id": "greet", "method": "initialize", "params": params})
        self.answer("greet")
        self.send({"method": "notifications/initialized"}, {"id": "list", "method": "tools/list"})
        self.answer("list")

    def call(self, ident, tool, **arguments):
        self.send({"id": ident, "method": "tools/call", "params": {"name": tool, "arguments": arguments}})
        return self.answer(ident)

    def servers(self):
        path = self.dir / "pids"
        return [int(pid) for pid in path.read_text().split()] if path.exists() else []

    def end(self, expected, sent=None):
        """Ends it, by a signal or by the end of its input, and looks at its exit code."""
        if sent is None:
            os.close(self.stdin)
        else:
            self.process.send_signal(sent)
        try:
            code = self.process.wait(WATCHDOG)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise Failure(f"{self.name}: it does not exit") from None
        if code != expected:
            raise Failure(f"{self.name}: exit code {code} and not {expected}\n{(self.dir / 'stderr').read_text()}")
        self.until("its processes are gone", lambda: not left(str(self.dir)))


def ends(kind, folder, name):
    """The supervisor's end of a stream, and ours."""
    if kind == "socket":
        theirs, ours = socket.socketpair()
        return theirs.detach(), ours.detach()
    if kind == "terminal":
        ours, theirs = pty.openpty()
        tty.setraw(theirs)
        return theirs, ours
    if kind == "fifo":
        # A pipe that cannot be opened anew because it has no reader or writer yet is lent instead.
        os.mkfifo(folder / name)
        end = os.open(folder / name, os.O_RDWR)
        return end, os.dup(end)
    reader, writer = os.pipe()
    return (reader, writer) if name == "in" else (writer, reader)


def left(part):
    """The living processes that were told this."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and part in (entry / "cmdline").read_text(errors="replace"):
                if (entry / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX":
                    found.append(int(entry.name))
        except OSError:
            pass
    return found


def traffic(scratch, kind):
    """Both directions with lines of all sizes, a crash, a hang-over into the next server, and the end of input."""
    scene = Scene(scratch, f"traffic on {kind}", kind, ["--max-restarts", "100", "--backoff-max", "0s"])
    scene.greet()
    most = {"terminal": 2_000, "fifo": 200_000}.get(kind, 1_500_000)
    for number, size in enumerate([0, 1, most // 10, most]):
        if scene.call(number, "echo", text="x" * size)["result"]["content"][0]["text"] != "x" * size:
            raise Failure(f"{scene.name}: {size} bytes have not come back")
    # Many at once, more than a pipe holds, before any of it is read.
    for number in range(100, 160):
        arguments = {"name": "big", "arguments": {"bytes": most // 40}}
        scene.send({"id": number, "method": "tools/call", "params": arguments})
    for number in range(100, 160):
        scene.answer(number)
    scene.call("crash", "crash", signal="SEGV")
    os.kill(scene.until("the next server starts", lambda: scene.servers()[1:])[0], signal.SIGKILL)
    scene.call("safe", "pid")
    scene.end(0, signal.SIGTERM if kind in ("terminal", "fifo") else None)


def hang(scratch):
    """A server that is stopped and one that reads nothing, and what waits for them."""
    options = ["--ping-interval", "300ms", "--max-restarts", "100", "--backoff-max", "0s"]
    scene = Scene(scratch, "hang", options=options)
    scene.greet()
    os.kill(scene.servers()[0], signal.SIGSTOP)
    scene.until("the stopped server is replaced", lambda: len(scene.servers()) > 1)
    scene.call("after", "pid")
    scene.end(0)


def files(scratch):
    """A file for stdin and one for stdout, as shells make them."""
    info = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "h", "version": "1"}}
    folder = Path(tempfile.mkdtemp(dir=scratch))
    (folder / "in").write_text(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": info}) + "\n")
    env = {**os.environ, "HOME": str(folder), "MCP_SUPERVISE_DATA_DIR": str(folder / "data"), "MCP_SUPERVISE_NAME": ""}
    with open(folder / "in", "rb") as stdin, open(folder / "out", "wb") as stdout:
        words = [*CHECKER, BINARY, *QUICK, "--", FIXTURE]
        code = subprocess.run(words, stdin=stdin, stdout=stdout, env=env, timeout=WATCHDOG, check=False).returncode
    if code != 0 or json.loads((folder / "out").read_text())["id"] != 1:
        raise Failure(f"files: exit code {code}")


def orphaned(scratch, stubborn):
    """The supervisor is killed: the guardian ends the group, with SIGKILL where SIGTERM is ignored."""
    def command(_folder, fixture):
        return [*fixture, "--ignore-eof", "--grandchild", *(["--ignore-term"] if stubborn else [])]
    scene = Scene(scratch, f"killed, stubborn {stubborn}", command=command)
    scene.greet()
    scene.end(-signal.SIGKILL, signal.SIGKILL)


def stubborn(scratch):
    """All rungs of the ladder, and a second signal that skips them."""
    def command(_folder, fixture):
        return [*fixture, "--ignore-eof", "--ignore-term", "--helper"]
    for second in (False, True):
        scene = Scene(scratch, f"stubborn, second signal {second}", command=command)
        scene.greet()
        if second:
            scene.process.send_signal(signal.SIGINT)
        scene.end(0, signal.SIGTERM)


def inherited(scratch):
    """A host that ignores SIGCHLD and SIGHUP hands that on, and has descriptors that nobody asked for."""
    def before():
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    scene = Scene(scratch, "inherited", before=before, env={"MCP_SUPERVISE_HOLD": "", "MCP_SUPERVISE_NAME": ""})
    scene.greet()
    scene.process.send_signal(signal.SIGHUP)
    scene.call("after", "crash", code=3)
    scene.call("again", "pid")
    scene.end(0)


def looked_for(scratch):
    """A command that only the login shell finds."""
    def command(folder, fixture):
        (folder / "bin").mkdir()
        (folder / "bin" / "only-here").symlink_to(FIXTURE)
        shell = folder / "shell"
        shell.write_text(f'#!/bin/sh\nPATH={folder}/bin:$PATH; export PATH\nwhile [ $# -gt 1 ]; do shift; done\nexec sh -c "$1"\n')
        shell.chmod(0o755)
        return ["only-here", *fixture[1:]]
    scene = Scene(scratch, "login shell", command=command, env={"SHELL": "{dir}/shell"})
    scene.greet()
    scene.end(0)
    scene = Scene(scratch, "found nowhere", command=lambda _folder, _fixture: ["only-nowhere"])
    scene.send({"id": "greet", "method": "initialize", "params": {"protocolVersion": "2025-06-18"}})
    scene.answer("greet")
    scene.end(127)


def contained(scratch):
    """A container's client that has to be killed: the container is ended too, by a process of its own."""
    def command(folder, fixture):
        client = folder / "docker"
        client.write_text(
            "#!/bin/sh\n"
            f'if [ "$1" = kill ]; then echo "$2" >{folder}/killed; exit; fi\n'
            'while [ $# -gt 0 ]; do case $1 in --cidfile=*) echo 0123456789ab >"${1#--cidfile=}";; '
            '--cidfile) echo 0123456789ab >"$2";; esac; [ "$1" = -- ] && break; shift; done; shift\n'
            'exec "$@"\n'
        )
        client.chmod(0o755)
        return [client, "run", "-i", "image", "--", *fixture, "--ignore-eof", "--ignore-term"]
    scene = Scene(scratch, "container", command=command)
    scene.greet()
    scene.end(0)
    scene.until("the container is ended", (scene.dir / "killed").exists)


def main():
    scenes = [(traffic, (kind,)) for kind in ("pipe", "socket", "terminal", "fifo")]
    scenes += [(hang, ()), (files, ()), (orphaned, (False,)), (orphaned, (True,)), (stubborn, ())]
    scenes += [(inherited, ()), (looked_for, ()), (contained, ())]
    with tempfile.TemporaryDirectory() as scratch:
        for scene, arguments in scenes:
            since = time.monotonic()
            scene(scratch, *arguments)
            print(f"{scene.__name__} {' '.join(map(str, arguments))}: {time.monotonic() - since:.1f} s", flush=True)


try:
    main()
except Failure as failure:
    sys.exit(str(failure))

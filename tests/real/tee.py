"""Stands between two that speak JSON lines and writes down what they say: `tee.py FOLDER COMMAND...`.

COMMAND is started with what comes in on stdin, and what it says goes out on stdout, byte for byte. FOLDER/asked and
FOLDER/heard get the same bytes, before they go on: who has seen an answer finds it there. Several that are started one
after the other add to the same files. It ends when what COMMAND says has ended, with its exit code.

It is started often: nothing is imported that takes long, and it wants to be run with `-I -S`.
"""

import os
import signal
import subprocess
import sys
import threading

AT_ONCE = 1 << 16
"""The most that is read at a time, in bytes: what a pipe holds."""


def relay(source: int, sink: int, record: str) -> None:
    """Passes on what comes, to its end."""
    file = os.open(record, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    while said := os.read(source, AT_ONCE):
        write(file, said)
        try:
            write(sink, said)
        except BrokenPipeError:
            # Nobody listens any more; the other direction tells how it ended.
            break
    os.close(file)


def write(sink: int, said: bytes) -> None:
    """Writes all of it."""
    while said:
        said = said[os.write(sink, said) :]


def main() -> int:
    """Relays in both directions. Gives the exit code of the command."""
    folder, *command = sys.argv[1:]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None and child.stdout is not None, "both are pipes"
    inward, outward = child.stdin, child.stdout
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())

    def listen() -> None:
        relay(0, inward.fileno(), f"{folder}/asked")
        inward.close()

    threading.Thread(target=listen, daemon=True).start()
    relay(outward.fileno(), 1, f"{folder}/heard")
    # Whoever reads learns now that nothing more comes, and not only when the process has ended.
    os.close(1)
    code = child.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    # A thread may still wait for what nobody will say.
    os._exit(main())

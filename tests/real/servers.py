"""The servers: how each is started, what it finds when it is, and what is asked of it.

Every tool that needs no network is called at least once. Whoever plays the steps checks that against the list of tools,
so that one that comes with a new version is not forgotten.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from steps import LISTS, Step, complete, prompt, read, tool, without

HERE = Path(__file__).parent
ERAS = ("legacy", "modern")
NOON = 1_790_000_000
"""The time of all files that a server finds, in seconds since 1970."""
TIME_OF_DAY = without(r"\d+:\d\d:\d\d( [AP]M)?")


@dataclass(frozen=True)
class Server:
    """A server as it is started in a folder of its own."""

    name: str
    eras: tuple[str, ...]
    command: Callable[[Path], list[str]]
    steps: Callable[[Path], list[Step]]
    prepare: Callable[[Path], None] = lambda folder: None
    """Makes in the empty folder what the server finds there."""
    slow: bool = False
    """Whether it takes a second or more to start."""
    untried: frozenset[str] = frozenset()
    """Tools that are not called, for they need the network, or end the server."""


def servers(npm: Path, examples: Path) -> list[Server]:
    """All of them. `npm` is where the packages are, `examples` where the programs of Cargo's examples are."""

    def node(package: str, *words: str) -> list[str]:
        return ["node", str(npm / "node_modules/@modelcontextprotocol" / package / "dist/index.js"), *words]

    def python(*words: str) -> list[str]:
        return [sys.executable, *words]

    return [
        Server("everything", ("legacy",), lambda _: node("server-everything"), everything_steps),
        Server(
            "filesystem",
            ("legacy",),
            lambda folder: node("server-filesystem", str(folder)),
            filesystem_steps,
            make_files,
        ),
        Server(
            "memory",
            ("legacy",),
            lambda folder: ["env", f"MEMORY_FILE_PATH={folder}/memory.jsonl", *node("server-memory")],
            memory_steps,
        ),
        Server("time", ERAS, lambda _: python("-m", "mcp_server_time", "--local-timezone", "UTC"), time_steps, slow=True),
        Server(
            "git",
            ERAS,
            # At a time that is always the same, for the name of a commit depends on it.
            lambda folder: ["env", *(f"{name}={value}" for name, value in COMMIT.items())]
            + python("-m", "mcp_server_git", "--repository", str(folder)),
            git_steps,
            make_repository,
            slow=True,
        ),
        Server("fastmcp", ERAS, lambda _: python(str(HERE / "fast.py")), fast_steps, slow=True),
        Server(
            "rmcp",
            ERAS,
            lambda _: [str(examples / "fixture-rmcp-server")],
            rmcp_steps,
            untried=frozenset({"crash", "leave"}),
        ),
        Server(
            "mcp",
            ERAS,
            lambda folder: python(str(HERE / "small.py"), str(folder / "journal")),
            small_steps,
            slow=True,
            untried=frozenset({"hang", "hang_typed", "crash"}),
        ),
    ]


def everything_steps(_: Path) -> list[Step]:
    """Of server-everything, whose resources tell the time."""
    template = "demo://resource/dynamic/text/{resourceId}"
    # The text of a blob tells it too.
    blob = without(r'\\?"blob\\?": ?\\?"[^"]*"', r"\d+:\d\d:\d\d( [AP]M)?")
    hello = {"name": "hello.gz", "data": "data:text/plain,hello"}
    return [
        *LISTS,
        tool("echo", {"message": 'crab \U0001f980, separator \u2028, quote ", nul \x00'}),
        tool("get-sum", {"a": 2.5, "b": 40}),
        tool("get-sum", {"a": "two"}),
        tool("get-annotated-message", {"messageType": "error", "includeImage": True}),
        tool("get-env"),
        tool("get-resource-links", {"count": 3}),
        tool("get-resource-reference", {"resourceType": "Text", "resourceId": 1}, TIME_OF_DAY),
        tool("get-structured-content", {"location": "Chicago"}),
        tool("get-tiny-image"),
        tool("gzip-file-as-resource", hello | {"outputType": "resource"}),
        tool("gzip-file-as-resource", hello),
        read("demo://resource/session/hello.gz", kept=True),
        tool("simulate-research-query", {"topic": "kills"}),
        tool("toggle-simulated-logging"),
        tool("toggle-simulated-logging", kept=True),
        tool("toggle-subscriber-updates"),
        tool("toggle-subscriber-updates", kept=True),
        tool("trigger-long-running-operation", {"duration": 0.2, "steps": 2}),
        tool("no-such-tool"),
        read("demo://resource/static/document/features.md"),
        read("demo://resource/dynamic/text/1", TIME_OF_DAY),
        read("demo://resource/dynamic/blob/1", blob),
        read("demo://resource/no/such"),
        prompt("simple-prompt"),
        prompt("args-prompt", city="Paris", state="TX"),
        prompt("completable-prompt", department="Sales", name="David"),
        prompt("no-such-prompt"),
        complete("prompt", "completable-prompt", "department", "S"),
        complete("resource", template, "resourceId", "1"),
        Step("logging/setLevel", {"level": "error"}),
        Step("ping"),
    ]


def make_files(folder: Path) -> None:
    """Some files, of a time that is always the same."""
    (folder / "deep/deeper").mkdir(parents=True)
    (folder / "a.txt").write_text("one\ntwo\nthree\n")
    (folder / "deep/b.txt").write_text("b\n")
    (folder / "dot.png").write_bytes(b"\x89PNG\r\n\x1a\n not really")
    for path in folder.rglob("*"):
        os.utime(path, (NOON, NOON))


def filesystem_steps(folder: Path) -> list[Step]:
    """Of server-filesystem: what it writes it finds again, for it is on disk."""

    def at(name: str) -> str:
        return str(folder / name)

    # What a file has for its birth is the system's.
    times = without(r"(created|modified|accessed): [^\\]*")
    return [
        *LISTS,
        tool("read_file", {"path": at("a.txt")}),
        tool("read_text_file", {"path": at("a.txt"), "tail": 2}),
        tool("read_media_file", {"path": at("dot.png")}),
        tool("read_multiple_files", {"paths": [at("a.txt"), at("deep/b.txt"), at("none")]}),
        tool("write_file", {"path": at("new.txt"), "content": "alpha\nbeta\n"}),
        tool("edit_file", {"path": at("new.txt"), "edits": [{"oldText": "beta", "newText": "\U0001f980"}]}),
        tool("read_text_file", {"path": at("new.txt")}),
        tool("create_directory", {"path": at("made/in/one")}),
        tool("move_file", {"source": at("new.txt"), "destination": at("made/moved.txt")}),
        tool("list_directory", {"path": at("")}),
        tool("list_directory_with_sizes", {"path": at(""), "sortBy": "size"}),
        tool("directory_tree", {"path": at("")}),
        tool("search_files", {"path": at(""), "pattern": "**/*.txt"}),
        tool("get_file_info", {"path": at("a.txt")}, times),
        tool("list_allowed_directories"),
        tool("read_text_file", {"path": "/etc/hostname"}),
    ]


def memory_steps(_: Path) -> list[Step]:
    """Of server-memory: what it has learned is on disk."""
    crab = {"name": "crab", "entityType": "animal", "observations": ["walks sideways"]}
    relation = {"from": "crab", "to": "sea", "relationType": "lives in"}
    sea = {"name": "sea", "entityType": "place", "observations": []}
    return [
        *LISTS,
        tool("create_entities", {"entities": [crab, sea]}),
        tool("create_relations", {"relations": [relation]}),
        tool("add_observations", {"observations": [{"entityName": "crab", "contents": ["is \U0001f980"]}]}),
        tool("add_observations", {"observations": [{"entityName": "none", "contents": ["nothing"]}]}),
        tool("read_graph"),
        tool("search_nodes", {"query": "sideways"}),
        tool("open_nodes", {"names": ["sea"]}),
        tool("delete_observations", {"deletions": [{"entityName": "crab", "observations": ["walks sideways"]}]}),
        tool("delete_relations", {"relations": [relation]}),
        tool("delete_entities", {"entityNames": ["sea"]}),
        tool("read_graph"),
    ]


BEGUN = datetime.now(UTC)
"""When this run began: what is asked of a server does not change in the middle of it."""


def time_steps(_: Path) -> list[Step]:
    """Of mcp-server-time, in a timezone where it is about noon: a new day would be a difference."""
    ahead = 12 - BEGUN.hour
    zone = f"Etc/GMT{-ahead:+d}"
    at_noon = {"source_timezone": zone, "time": "13:30", "target_timezone": "Asia/Kathmandu"}
    return [
        *LISTS,
        tool("get_current_time", {"timezone": zone}, without(r"T\d\d:\d\d:\d\d")),
        tool("convert_time", at_noon),
        tool("convert_time", at_noon | {"time": "noon"}),
        tool("no_such_tool"),
    ]


COMMIT = {"GIT_AUTHOR_DATE": f"{NOON} +0000", "GIT_COMMITTER_DATE": f"{NOON} +0000"}


def make_repository(folder: Path) -> None:
    """A repository with one commit and a change that is not in it."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder.parent), "GIT_CONFIG_NOSYSTEM": "1", **COMMIT}

    def git(*words: str) -> None:
        subprocess.run(["git", *words], cwd=folder, env=environment, check=True, capture_output=True)

    git("init", "--initial-branch", "main")
    git("config", "user.name", "Crab")
    git("config", "user.email", "crab@example.org")
    (folder / "a.txt").write_text("one\n")
    git("add", ".")
    git("commit", "--message", "First")
    (folder / "a.txt").write_text("one\ntwo\n")


def git_steps(folder: Path) -> list[Step]:
    """Of mcp-server-git: what it does is in the repository."""

    def git(name: str, **arguments: object) -> Step:
        return tool(f"git_{name}", {"repo_path": str(folder), **arguments})

    return [
        *LISTS,
        git("status"),
        git("diff_unstaged"),
        git("add", files=["a.txt"]),
        git("diff_staged"),
        git("reset"),
        git("add", files=["a.txt"]),
        git("commit", message="Second \U0001f980"),
        git("commit", message="Nothing"),
        git("log", max_count=5),
        git("create_branch", branch_name="aside"),
        git("checkout", branch_name="aside"),
        git("diff", target="main"),
        git("branch", branch_type="local"),
        git("show", revision="HEAD"),
        git("show", revision="none"),
    ]


def fast_steps(_: Path) -> list[Step]:
    """Of the server of `fast.py`."""
    places = [{"name": "hill", "height": 99.5}, {"name": "mountain", "height": 8849}]
    return [
        *LISTS,
        tool("add", {"left": 40, "right": 2}),
        tool("highest", {"places": places}),
        tool("refuse", {"reason": "no \U0001f980"}),
        tool("tell", {"text": "a text"}),
        tool("characters"),
        read("fast://bytes"),
        read("fast://anybody/length"),
        read("fast://none"),
        prompt("question", topic="a kill"),
    ]


def rmcp_steps(_: Path) -> list[Step]:
    """Of `fixture-rmcp-server`."""
    return [
        *LISTS,
        tool("echo", {"text": "crab \U0001f980"}),
        tool("add", {"left": 40, "right": 2}),
        tool("touch"),
        tool("who"),
        tool("note", {"text": "a line"}),
        tool("big", {"bytes": 100_000}),
        tool("slow", {"ms": 10}),
        tool("pid", settle=without(r"\d{2,}")),
        tool("none"),
        read("fixture://greeting"),
        read("fixture://none"),
        prompt("hello"),
    ]


def small_steps(folder: Path) -> list[Step]:
    """Of the server of `small.py`."""
    return [
        *LISTS,
        read("small://greeting"),
        read("small://anybody/length"),
        prompt("question", topic="a kill"),
        tool("pid", settle=without(r"\d{2,}")),
        tool("look", {"gate": str(folder)}),
        tool("announce", {"uri": "small://greeting"}),
        tool("note", {"text": "a line"}),
    ]


def fresh(server: Server, folder: Path) -> None:
    """Gives the server an empty folder, and what it is to find there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    server.prepare(folder)

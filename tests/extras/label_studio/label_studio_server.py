"""Start a real Label Studio for tests, in an environment of its own: its pins do not fit beside ours.

The environment and an empty database are made once, in the user's cache; that takes minutes. A start takes seconds.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import httpx2
import pytest
from filelock import FileLock

from extras.label_studio.client import NEWEST, OLDEST

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "retrain-tests"  # tests change HOME later
KEY = "0123456789abcdef0123456789abcdef01234567"  # of the one user of a server that is gone after the tests
WAIT = 300  # seconds

old_and_new = pytest.mark.parametrize("label_studio", [NEWEST, OLDEST], indirect=True)  # for tests that need it

OPTIONS = ["--no-browser", "--internal-host", "127.0.0.1", "--user-token", KEY]
OPTIONS += ["--username", "tests@example.com", "--password", "tests@example.com"]
VARIABLES = {
    "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
    "COLLECT_ANALYTICS": "False",
    "LATEST_VERSION_CHECK": "False",
    "SENTRY_DSN": "",
    "FRONTEND_SENTRY_DSN": "",
    "SSRF_PROTECTION_ENABLED": "false",  # both, or a model on this machine is refused
    "ML_BLOCK_LOCAL_IP": "false",
}


class LabelStudio(NamedTuple):
    """A running server."""

    url: str
    key: str  # a legacy token
    personal_access_token: str  # empty if the version has none


@contextmanager
def run_label_studio(folder: Path, version: str) -> Iterator[LabelStudio]:
    """Run a server with an empty database in a new folder, on a free port of the loopback, until the block ends."""
    CACHE.mkdir(parents=True, exist_ok=True)
    program = CACHE / f"label-studio-{version}" / "bin" / "label-studio"
    database = CACHE / f"label-studio-{version}-data"
    with FileLock(CACHE / ".lock"):  # another run of the tests may be making them at this moment
        _install(program, version)
        _make_database(program, database)
    shutil.copytree(database, folder)
    with _serve(program, folder) as url:
        answer = httpx2.post(f"{url}/api/token/", headers={"Authorization": f"Token {KEY}"})
        yield LabelStudio(url, KEY, answer.json()["token"] if answer.is_success else "")


def _install(program: Path, version: str) -> None:
    # pip writes the command last: without it, an installation was interrupted.
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", program.parents[1]], check=True)
        subprocess.run([program.with_name("pip"), "install", "--quiet", f"label-studio=={version}"], check=True)


def _make_database(program: Path, database: Path) -> None:
    if not database.exists():
        building = database.with_name(f"{database.name}.part")
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir()
        with _serve(program, building):
            pass
        building.rename(database)


@contextmanager
def _serve(program: Path, data: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://localhost:{port}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LABEL_STUDIO_")}
    command = [str(program), "start", *OPTIONS, "--port", str(port), "--data-dir", str(data)]
    log = data / "server.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command, cwd=data, env=kept | VARIABLES, stdout=output, stderr=output, start_new_session=True
        ) as process,
    ):
        try:
            _wait_for(url, process, log)
            yield url
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + WAIT
    while time.monotonic() < end and process.poll() is None:
        try:
            if httpx2.get(f"{url}/health").is_success:
                return
        except httpx2.HTTPError:
            time.sleep(0.2)
    raise RuntimeError(f"Label Studio did not start:\n{log.read_text()[-2000:]}")


class Answer(NamedTuple):
    """What a pretended server answers: status, body and headers; a body may be endless."""

    status: int = 200
    body: bytes | Iterator[bytes] = b"{}"
    headers: Mapping[str, str] = MappingProxyType({})


class Pretended(NamedTuple):
    """A server on the loopback, its answers by path, and the paths and Authorization headers that came."""

    url: str
    answers: dict[str, Callable[[str], Answer]]
    requests: list[tuple[str, str]]

    def answer(self, path: str, content: object) -> None:
        """Answer with JSON there."""
        self.answers[path] = lambda _: Answer(body=json.dumps(content).encode())


@contextmanager
def pretend_label_studio() -> Iterator[Pretended]:
    """Run a server that does what a real one cannot be made to do. Its answers may depend on the Authorization."""
    answers = {
        "/api/version": lambda _: Answer(body=b'{"release": "1.23.2"}'),
        "/api/current-user/whoami": lambda _: Answer(),
    }
    requests: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path, authorization = self.path.partition("?")[0], self.headers.get("Authorization", "")
            requests.append((path, authorization))
            answer = answers.get(path, lambda _: Answer(404))(authorization)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            with suppress(ConnectionError):
                for piece in [answer.body] if isinstance(answer.body, bytes) else answer.body:
                    self.wfile.write(piece)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
        yield Pretended(f"http://127.0.0.1:{server.server_port}", answers, requests)
        server.shutdown()

"""Servers for tests: real ones, on loopback, and waiting for them; and apps that are asked without one."""

import asyncio
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any

import httpx2
import pytest
import uvicorn
from fastapi import FastAPI


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """Serve an app with uvicorn; gives its address."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
    thread = Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def ask_app(app: FastAPI, method: str, path: str, **options: Any) -> httpx2.Response:
    """Ask an app in this process, where only the answer matters: a server takes a third of a second to come and go."""

    async def ask() -> httpx2.Response:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost") as client:
            return await client.request(method, path, **options)

    return asyncio.run(ask())


@contextmanager
def proxying(folder: Path, largest: str = "1m", **servers: str) -> Iterator[str]:
    """Put servers side by side behind nginx, each below its name; gives nginx's address. Skips where there is none.

    A request of more than `largest` is refused, and 1 MB is what nginx itself takes for that.
    """
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")
    if not nginx:
        pytest.skip("nginx is not installed")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    config = f"""
        daemon off; master_process off; pid nginx.pid; error_log nginx.log;
        events {{}}
        http {{
            access_log off; client_max_body_size {largest};
            {" ".join(f"{kind}_temp_path {kind};" for kind in kinds)}
            server {{
                listen 127.0.0.1:{port};
                {" ".join(f"location /{name}/ {{ proxy_pass {url}/; }}" for name, url in servers.items())}
            }}
        }}
    """
    (folder / "nginx.conf").write_text(config)
    command = [nginx, "-p", str(folder), "-e", "nginx.log", "-c", "nginx.conf"]
    with subprocess.Popen(command) as process:
        try:
            wait_until(lambda: process.poll() is not None or listens(port))
            assert process.poll() is None, "nginx did not start"
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait for what a server does in the background."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it never came"
        time.sleep(0.05)


def trickle(content: bytes) -> Iterator[bytes]:
    """Give ten bytes a second."""
    for byte in content:
        time.sleep(0.1)
        yield bytes([byte])

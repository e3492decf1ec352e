"""The model backend as Label Studio feels it: predictions, health meanwhile, many requests at once, memory."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import httpx2
from PIL import Image

from benchmarks.rounds import make_benchmark
from helpers.decode import SUFFIXES
from helpers.files import list_files
from helpers.pipeline.model import load_classifier
from helpers.pipeline.paths import MODEL
from helpers.workspace import EXTRA, Workspace

PROJECT = Path(__file__).resolve().parents[1]
TASKS, SIDE_BY_SIDE, MANY = 1000, 100, 10_000
BOMBS, WIDTH = 8, 9_400  # pictures of a third of a megabyte, whose pixels take one gigabyte each to decode


def measure(workspace: Workspace) -> None:
    """Ask for predictions of the pictures in ``extra-data``."""
    images = [file for file in list_files(workspace.root / EXTRA) if Path(file).suffix in SUFFIXES]
    uploads = cycle(f"/data/upload/1/{number:08x}-{Path(file).name}" for number, file in enumerate(images))
    tasks = [{"id": number, "data": {"image": image}} for number, image in enumerate(islice(uploads, TASKS))]
    classes = load_classifier((workspace.root / MODEL).read_bytes()).description.classes
    for number in range(BOMBS):
        Image.new("RGB", (WIDTH, WIDTH)).save(workspace.root / EXTRA / f"bomb-{number}.png")
    bombs = [{"data": {"image": f"/data/upload/1/00000000-bomb-{number}.png"}} for number in range(BOMBS)]
    choices = "".join(f'<Choice value="{label}"/>' for label in classes)
    config = f'<View><Image name="i" value="$image"/><Choices name="c" toName="i">{choices}</Choices></View>'

    began = time.perf_counter()
    with serve(workspace) as (client, server), ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        print(f"{'from its start to /health':42}{time.perf_counter() - began:7.2f} s")
        print(f"{'memory at rest':42}{resident(server):7.0f} MB")

        def ask(tasks: list[dict[str, Any]]) -> int:
            """How many tasks got a score."""
            results = client.post("/predict", json={"tasks": tasks, "label_config": config}).json()["results"]
            return sum(result.get("score") is not None for result in results)

        started, waits = time.perf_counter(), []
        prediction = pool.submit(ask, tasks)
        while not prediction.done():
            asked = time.perf_counter()
            client.get("/health")
            waits.append(time.perf_counter() - asked)
            time.sleep(0.01)
        took = time.perf_counter() - started
        print(f"{f'/predict of {TASKS:,} pictures':42}{took:7.2f} s  ({prediction.result():,} got a score)")
        print(f"{f'/health meanwhile, the slowest of {len(waits)}':42}{1000 * max(waits):7.1f} ms")

        started = time.perf_counter()
        parts = [tasks[i : i + TASKS // SIDE_BY_SIDE] for i in range(0, TASKS, TASKS // SIDE_BY_SIDE)]
        scored = sum(pool.map(ask, parts))
        took = time.perf_counter() - started
        print(f"{f'the same in {SIDE_BY_SIDE} requests side by side':42}{took:7.2f} s  ({scored:,} got a score)")

        before = resident(server)
        for _ in range(MANY // TASKS):
            ask(tasks)
        print(f"{f'memory before and after {MANY:,} more':42}{before:7.0f} MB → {resident(server):.0f} MB")

        before, memory = resident(server), [0.0]
        predictions = [pool.submit(ask, [bomb]) for bomb in bombs]
        while not all(prediction.done() for prediction in predictions):
            memory.append(resident(server))
            time.sleep(0.01)
        what = f"the same of {BOMBS} pictures of {WIDTH:,} x {WIDTH:,}"
        scored = sum(prediction.result() for prediction in predictions)
        after = resident(server)
        print(f"{what:42}{before:7.0f} MB → {after:.0f} MB, {max(memory):.0f} MB meanwhile  ({scored} got a score)")


@contextmanager
def serve(workspace: Workspace) -> Iterator[tuple[httpx2.Client, int]]:
    """Run a backend of this project's code on a workspace; gives a client for it and its process number."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["--app-dir", str(PROJECT), "--port", str(port), "--log-level", "warning"]
    command = [sys.executable, "-m", "uvicorn", "--factory", "extras.backend.app:make_backend", *options]
    client = httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=100, limits=httpx2.Limits(max_connections=None))
    with client, subprocess.Popen(command, cwd=workspace.root) as process:
        try:
            while not is_up(client):
                time.sleep(0.02)
            yield client, process.pid
        finally:
            process.terminate()


def is_up(client: httpx2.Client) -> bool:
    """Whether the server answers."""
    try:
        return client.get("/health").is_success
    except httpx2.ConnectError:
        return False


def resident(process: int) -> float:
    """The memory of a process in megabytes."""
    return int(subprocess.check_output(["ps", "-o", "rss=", "-p", str(process)])) / 1000


def main(folder: Path) -> None:
    """Make a workspace and serve it."""
    measure(make_benchmark(folder))

"""JupyterLab in a real browser, used as a person uses it: menus, buttons, and the file that it saves."""

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import nbformat
from browsers import SCREENSHOTS
from playwright.sync_api import Browser, Locator, Page
from servers import listens, wait_until

from helpers.workspace import Workspace

MINUTES = 60_000 * 4  # milliseconds that a round may take


class Lab:
    """The notebook of a workspace in JupyterLab."""

    def __init__(self, page: Page, workspace: Workspace) -> None:
        self.page, self._file = page, workspace.root / "notebooks/retrain.ipynb"

    def choose(self, menu: str, item: str) -> None:
        self.page.get_by_role("menuitem", name=menu, exact=True).click()
        self.page.get_by_role("menuitem", name=re.compile(f"^{item}")).first.click()

    def run_all(self, restart: bool = False) -> None:
        """Run all cells to the end, or to the first error."""
        if restart:
            self.choose("Kernel", "Restart Kernel and Run All Cells")
            self.page.get_by_role("button", name="Confirm Kernel Restart").click()
            self.page.wait_for_timeout(2000)
        else:
            self.choose("Run", "Run All Cells")
        self.wait()

    def wait(self) -> None:
        """Wait until no cell runs any more: between two cells, too, JupyterLab may say for a moment that it is idle."""
        idle = self.page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]')
        seconds = 0
        while seconds < 3:
            self.page.wait_for_timeout(1000)
            seconds = seconds + 1 if idle.count() else 0
            idle.wait_for(timeout=MINUTES)

    def button(self, name: str) -> Locator:
        found = self.page.get_by_role("button", name=name, exact=True)
        found.scroll_into_view_if_needed()
        return found

    def shows(self, text: str) -> None:
        """Wait until an output has this text."""
        self.page.locator(".jp-OutputArea-output", has_text=text).first.wait_for(timeout=MINUTES)

    def screenshot(self, name: str) -> None:
        SCREENSHOTS.mkdir(exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")

    def saved(self, cell: str = "") -> str:
        """Save the notebook, and return what a cell of it shows, by its id, or all cells: outputs as text."""
        with self.page.expect_response(lambda answer: answer.request.method == "PUT"):  # then the file is whole
            self.page.keyboard.press("Control+s")
        self.page.locator(".jp-mod-dirty").first.wait_for(state="detached")
        cells = nbformat.read(self._file, as_version=4).cells
        outputs = [output for one in cells if cell in ("", one.id) for output in one.get("outputs", [])]
        return "\n".join(str(output.get("text") or output.get("data") or output.get("evalue")) for output in outputs)


@contextmanager
def open_lab(browser: Browser, workspace: Workspace) -> Iterator[Lab]:
    """Start JupyterLab in a workspace, as `make lab` does, and open its notebook for retraining."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}"]
    command += ["--IdentityProvider.token=", "--config=notebooks/jupyter_server_config.py"]
    log = workspace.root.with_name("lab.log").open("w")
    with subprocess.Popen(command, cwd=workspace.root, stdout=log, stderr=log) as server:
        try:
            address = f"http://127.0.0.1:{port}"
            page = browser.new_page(viewport={"width": 1280, "height": 1000})
            wait_until(lambda: server.poll() is not None or listens(port))
            page.goto(f"{address}/lab/tree/notebooks/retrain.ipynb")
            page.get_by_text("| Idle").wait_for(timeout=60_000)
            yield Lab(page, workspace)
            page.close()
        finally:
            server.terminate()

"""Outputs that change while a cell runs, and a bar that a terminal and JupyterLab show and a file keeps as a line."""

import sys
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tqdm import tqdm  # type: ignore[import-untyped]


class Output:
    """An output of a cell; each content, by MIME type, takes the place of the one before."""

    _shown: Any = None

    def show(self, content: dict[str, Any]) -> None:
        from IPython.display import display

        if self._shown is None:
            self._shown = display(content, raw=True, display_id=True)
        else:
            self._shown.update(content, raw=True)


class _Line(Output):
    """An output of one line, as a file that `tqdm` writes to."""

    def write(self, text: str) -> None:
        if line := text.strip():
            self.show({"text/plain": line})

    def flush(self) -> None:
        """Writing shows it already."""


def _in_notebook() -> bool:
    """Whether a notebook runs this; without IPython, whose import takes half a second, none does."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and ipython.get_ipython() is not None


def is_watched() -> bool:
    """Whether a person sits at the notebook: JupyterLab lets a cell ask for input, papermill and nbconvert do not."""
    if not _in_notebook():
        return False
    kernel = getattr(sys.modules["IPython"].get_ipython(), "kernel", None)  # a terminal has none
    return bool(kernel and kernel.get_parent().get("content", {}).get("allow_stdin"))


def progress_bar(total: int, description: str, unit: str = "images") -> tqdm:
    """Make a bar to be used with ``with`` and `update`; it appears after a second.

    The widget of tqdm stays in an executed notebook as it was when it first appeared, and its plain bar leaves a line
    per update there.
    """
    options: dict[str, Any] = {"file": _Line(), "ascii": False, "ncols": 100} if _in_notebook() else {"disable": None}
    return tqdm(total=total, desc=description, unit=f" {unit}", delay=1, **options)


def map_in_threads(
    function: Callable[[Any], Any], items: Collection[Any], description: str, threads: int | None = None
) -> list[Any]:
    """Call a function with each item, in threads and with a bar; the results keep the order of the items."""
    results = []
    with progress_bar(len(items), description) as bar, ThreadPoolExecutor(threads) as pool:
        for result in pool.map(function, items):
            results.append(result)
            bar.update()
    return results

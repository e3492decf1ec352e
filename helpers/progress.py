"""Outputs that change while a cell runs, and a bar that a terminal and JupyterLab show and a file keeps as a line."""

import sys
from collections.abc import Callable, Collection, Iterable
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


def _find_shell() -> Any:
    """Return the IPython that runs this. Whoever has not imported it, which takes half a second, is not run by it."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython else None


def is_watched() -> bool:
    """Whether a person sits at the notebook: JupyterLab lets a cell ask for input, papermill and nbconvert do not."""
    kernel = getattr(_find_shell(), "kernel", None)  # a terminal has none
    return bool(kernel and kernel.get_parent().get("content", {}).get("allow_stdin"))


def progress_bar(total: int, description: str, unit: str = "images", items: Iterable[Any] | None = None) -> tqdm:
    """Make a bar that appears after a second: loop over it if it has `items`, else use ``with`` and `update`.

    The widget of tqdm stays in an executed notebook as it was when it first appeared, and its plain bar leaves a line
    per update there.
    """
    options: dict[str, Any] = {"file": _Line(), "ascii": False, "ncols": 100} if _find_shell() else {"disable": None}
    return tqdm(items, total=total, desc=description, unit=f" {unit}", delay=1, **options)


def map_in_threads(
    function: Callable[[Any], Any], items: Collection[Any], description: str, threads: int | None = None
) -> list[Any]:
    """Call a function with each item, in threads and with a bar; the results keep the order of the items."""
    with ThreadPoolExecutor(threads) as pool:
        return list(progress_bar(len(items), description, items=pool.map(function, items)))

"""A progress bar that a terminal shows, JupyterLab shows, and an executed notebook keeps as one line."""

from typing import Any

from IPython.core.getipython import get_ipython
from IPython.display import display
from tqdm import tqdm  # type: ignore[import-untyped]


class _Line:
    """A line of a cell's output; each write takes the place of the one before."""

    _shown: Any = None

    def write(self, text: str) -> None:
        if line := text.strip():
            content = {"text/plain": line}
            if self._shown is None:
                self._shown = display(content, raw=True, display_id=True)
            else:
                self._shown.update(content, raw=True)

    def flush(self) -> None:
        """Writing shows it already."""


def progress_bar(total: int, description: str, unit: str = "images") -> tqdm:
    """Make a bar to be used with ``with`` and `update`; it appears after a second.

    The widget of tqdm stays in an executed notebook as it was when it first appeared, and its plain bar leaves a line
    per update there.
    """
    options: dict[str, Any] = {"file": _Line(), "ascii": False, "ncols": 100} if get_ipython() else {"disable": None}
    return tqdm(total=total, desc=description, unit=f" {unit}", delay=1, **options)

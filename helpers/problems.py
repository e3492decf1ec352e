"""The one exception that is meant for people."""

import sys
from collections.abc import Callable, Iterable


class Problem(Exception):
    """Something from outside is wrong, and a person has to put it right.

    Parameters
    ----------
    headline : str
        What is wrong, in one sentence.
    details : iterable of str
        Every single problem found, one line each: the file, the row, the value.
    advice : str
        What to do about it.
    """

    def __init__(self, headline: str, details: Iterable[str] = (), advice: str = "") -> None:
        self.headline, self.details, self.advice = headline, list(details), advice
        super().__init__("\n".join([headline, *(f"  - {line}" for line in self.details), *filter(None, [advice])]))

    def _render_traceback_(self) -> list[str]:
        # IPython shows this in place of a traceback: the sentence matters, not where it was raised.
        return str(self).splitlines()


def exit_on_problem(main: Callable[[], None]) -> None:
    """Run a command's `main`; a `Problem` ends it with its message and exit code 1, without a traceback."""
    try:
        main()
    except Problem as problem:
        sys.exit(f"\n{problem}\n")

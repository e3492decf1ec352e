"""The one exception that is meant for people."""

import sys
from collections.abc import Callable, Iterable

MOST = 20  # places that a message names


class Problem(Exception):
    """Something from outside is wrong, and a person has to put it right.

    The headline is the fault in one sentence; the details, one line each, are all places where it was found: the file,
    the row, the value; the advice is the remedy. The message has the remedy before the places, of which it names the
    first `MOST` and counts the others.
    """

    def __init__(self, headline: str, details: Iterable[str] = (), advice: str = "") -> None:
        self.headline, self.details, self.advice = headline, list(details), advice
        more = len(self.details) - MOST
        places = self.details if more <= 0 else [*self.details[:MOST], f"and {more:,} more"]
        super().__init__("\n".join([headline, *filter(None, [advice]), *(f"  - {line}" for line in places)]))

    def _render_traceback_(self) -> list[str]:
        # IPython shows this in place of a traceback: the sentence matters, not where it was raised.
        return str(self).splitlines()


class EndOfRun(Exception):
    """Ends a run in which nothing is left to do, with a sentence in place of a traceback and with exit code 0."""

    def __init__(self, sentence: str) -> None:
        self.sentence = sentence
        super().__init__()

    def _render_traceback_(self) -> list[str]:
        return [self.sentence]


# An error of this name without a message is the one that papermill takes for a regular end.
EndOfRun.__name__ = "SystemExit"


def require_choice(name: str, value: str, choices: Iterable[str]) -> None:
    """See that a parameter has one of the values that it may have."""
    if value not in choices:
        raise Problem(f"{name} is {value!r}.", advice=f"Use one of: {', '.join(map(repr, choices))}.")


def check_all(checks: Iterable[Callable[[], object]]) -> None:
    """Make every check, and raise all problems found as one."""
    problems = []
    for check in checks:
        try:
            check()
        except Problem as problem:
            problems.append(problem)
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise Problem("There are several problems.", map(str, problems))


def exit_on_problem(main: Callable[[], None]) -> None:
    """Run a command's `main`; a `Problem` ends it with its message and exit code 1, without a traceback."""
    try:
        main()
    except Problem as problem:
        sys.exit(f"\n{problem}\n")

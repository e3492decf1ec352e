"""A round where nobody watches: papermill, the page of its notebook, and one sentence as the last line.

    python -m helpers.headless annotations.json

runs the notebook of the project in the working folder with that `export`, and writes ``out.ipynb`` and ``report.html``.
"""

import sys
from pathlib import Path

from nbconvert import HTMLExporter
from papermill import execute_notebook
from papermill.exceptions import PapermillExecutionError

from helpers.workspace import DECISION, Workspace

NOTEBOOK, EXECUTED, PAGE, TEMPLATE = "notebooks/retrain.ipynb", "out.ipynb", "report.html", "notebooks/report"
QUIET = ["--IPKernelApp.log_level=ERROR"]  # else each kernel warns that programs of this machine could listen


def run_round(parameters: dict[str, str]) -> str:
    """Run the notebook, printing what it prints, and write its page; return its error, empty if there is none."""
    problem = ""
    try:
        execute_notebook(
            NOTEBOOK, EXECUTED, parameters, progress_bar=False, stdout_file=sys.stdout, extra_arguments=QUIET
        )
    except PapermillExecutionError as error:
        problem = "\n".join(error.traceback)
    page, _ = HTMLExporter(template_name=TEMPLATE).from_filename(EXECUTED)
    Path(PAGE).write_text(page, encoding="utf-8")
    return problem


if __name__ == "__main__":
    if problem := run_round({"export": sys.argv[1]} if sys.argv[1:] else {}):
        sys.exit(f"\n{problem}")
    print(f"\n{Workspace(Path.cwd()).load(DECISION)['sentence']}")

"""A round where nobody watches: papermill, the page of its notebook, and one sentence as the last line.

    python -m helpers.round.headless annotations.json

runs the notebook of the project in the working folder with that `export`, and writes ``out.ipynb`` and ``report.html``.
"""

import sys
from pathlib import Path

from nbconvert import HTMLExporter
from papermill import execute_notebook
from papermill.exceptions import PapermillExecutionError

from helpers.round.record import read_decision
from helpers.workspace import Workspace

NOTEBOOK, EXECUTED, PAGE, TEMPLATE = "notebooks/retrain.ipynb", "out.ipynb", "report.html", "notebooks/report"
QUIET = ["--IPKernelApp.log_level=ERROR"]  # else each kernel warns that programs of this machine could listen


def run_round(parameters: dict[str, str]) -> str:
    """Run the notebook, printing its output, and write its page; return its last sentence, or exit with its error."""
    Path(EXECUTED).unlink(missing_ok=True)  # of an earlier round
    try:
        notebook = execute_notebook(
            NOTEBOOK, EXECUTED, parameters, progress_bar=False, stdout_file=sys.stdout, extra_arguments=QUIET
        )
    except PapermillExecutionError as error:
        sys.exit("\n".join(["", *error.traceback]))
    finally:
        if Path(EXECUTED).exists():  # papermill has begun
            page, _ = HTMLExporter(template_name=TEMPLATE).from_filename(EXECUTED)
            Path(PAGE).write_text(page, encoding="utf-8")
    # A run in which nothing is left to do ends in a cell before the verdict: see `helpers.problems.EndOfRun`.
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    ends = ["\n".join(output.traceback) for output in outputs if output.output_type == "error"]
    return ends[0] if ends else str(read_decision(Workspace(Path.cwd())).sentence)


if __name__ == "__main__":
    print(f"\n{run_round({'export': sys.argv[1]} if sys.argv[1:] else {})}")

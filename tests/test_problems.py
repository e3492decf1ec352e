"""A problem is a sentence for people: in a notebook, in a headless run and on the command line."""

import subprocess
from pathlib import Path

import nbformat
import pytest
from notebook_runs import PAPERMILL

from helpers.problems import Problem

PROJECT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("number", "last"), [(20, "  - image 19"), (21, "  - and 1 more"), (1955, "  - and 1,935 more")], ids=str
)
def test_a_long_list_leaves_the_remedy_in_sight_and_is_counted(number, last):
    problem = Problem("Images have no file.", (f"image {place}" for place in range(number)), "Put them into `images`.")
    headline, remedy, *places = str(problem).splitlines()
    assert (headline, remedy) == ("Images have no file.", "Put them into `images`.")
    assert places[:20] == [f"  - image {place}" for place in range(20)]
    assert places[-1] == last
    assert len(places) <= 21
    assert len(problem.details) == number


@pytest.mark.parametrize(
    ("end", "code", "shown"),
    [
        (
            'Problem("There is no export.", ["a.json", "b.json"], "Make one.")',
            1,
            "There is no export.\nMake one.\n  - a.json\n  - b.json",
        ),
        ('EndOfRun("Declined.")', 0, "Declined."),
    ],
)
def test_what_ends_a_headless_run_is_shown_without_a_traceback(tmp_path, end, code, shown):
    notebook, out = nbformat.v4.new_notebook(), tmp_path / "out.ipynb"
    source = f"from helpers.problems import EndOfRun, Problem\nraise {end}"
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    notebook.cells = [nbformat.v4.new_code_cell(source), nbformat.v4.new_code_cell("print('gone on')")]
    nbformat.write(notebook, tmp_path / "in.ipynb")
    result = subprocess.run([*PAPERMILL, tmp_path / "in.ipynb", out], cwd=PROJECT, capture_output=True, text=True)
    assert result.returncode == code, result.stderr
    (error,) = [output for cell in nbformat.read(out, as_version=4).cells for output in cell.get("outputs", [])]
    text = "\n".join(error.traceback)
    assert text.startswith(shown)
    assert "Traceback" not in text

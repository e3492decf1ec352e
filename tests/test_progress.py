"""A progress bar has to be seen while it lasts, and must not fill an executed notebook with its updates."""

import nbformat
from nbclient import NotebookClient

SLOW = """
from time import sleep
from helpers.progress import progress_bar
with progress_bar({total}, "Copying images") as bar:
    for _ in range({total}):
        sleep(0.01)
        bar.update()
"""


def outputs_of(source: str) -> list[str]:
    cell = nbformat.v4.new_code_cell(source)
    NotebookClient(nbformat.v4.new_notebook(cells=[cell]), kernel_name="python3").execute()
    return [output["data"]["text/plain"] for output in cell.outputs]


def test_a_notebook_keeps_the_last_line_of_a_bar():
    (line,) = outputs_of(SLOW.format(total=200))
    assert "Copying images: 100%" in line
    assert "200/200" in line


def test_what_is_done_at_once_shows_no_bar():
    assert outputs_of(SLOW.format(total=3)) == []

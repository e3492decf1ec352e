"""A progress bar has to be seen while it lasts, and must not fill an executed notebook with its updates."""

import nbformat
import pytest
from nbclient import NotebookClient

from helpers.progress import is_watched

SLOW = """
from time import sleep
from helpers.progress import progress_bar
with progress_bar({total}, "Copying images") as bar:
    for _ in range({total}):
        sleep(0.01)
        bar.update()
"""
LOOP = """
from time import sleep
from helpers.progress import progress_bar
for _ in progress_bar({total}, "Copying images", items=range({total})):
    sleep(0.01)
"""


@pytest.mark.parametrize("source", [SLOW, LOOP], ids=["updated", "looped over"])
def test_a_notebook_keeps_the_last_line_of_a_bar_and_nothing_of_what_is_done_at_once(source):
    cells = [nbformat.v4.new_code_cell(source.format(total=total)) for total in (120, 3)]
    NotebookClient(nbformat.v4.new_notebook(cells=cells), kernel_name="python3").execute()
    (line,) = (output["data"]["text/plain"] for output in cells[0].outputs)
    assert "Copying images: 100%" in line
    assert "120/120" in line
    assert cells[1].outputs == []


def test_nobody_watches_a_script_or_an_executed_notebook():
    assert not is_watched()
    cell = nbformat.v4.new_code_cell("from helpers.progress import is_watched\nis_watched()")
    NotebookClient(nbformat.v4.new_notebook(cells=[cell]), kernel_name="python3").execute()
    (output,) = cell.outputs
    assert output["data"]["text/plain"] == "False"

"""The parameters that papermill hands to the notebook are checked before anything else happens."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook
from papermill import execute_notebook
from papermill.exceptions import PapermillExecutionError

from helpers.problems import Problem
from helpers.round.parameters import check_parameters, find_export

PROJECT = Path(__file__).parents[2]
DECLARED = 'export: str = "a.json"  # the export\nmargin: float = 0.01\npublish: bool = False\nnew_classes: list = []\n'


def check(injected: str, *other: str) -> None:
    cells = ["", DECLARED, *(["# Parameters\n" + injected] if injected else []), *other]
    namespace: dict[str, object] = {}
    exec(DECLARED + injected, namespace)
    check_parameters(namespace | {"In": cells}, Path("/nowhere"))


@pytest.mark.parametrize("injected", ["", 'export = "b.json"', "margin = 0", 'publish = True\nnew_classes = ["Pluto"]'])
def test_right_parameters_pass(injected):
    check(injected)


@pytest.mark.parametrize(
    ("injected", "named"),
    [
        ("exprt = 'b.json'", "no parameter `exprt`: did you mean `export`?"),
        ("colour = 'grey'", "no parameter `colour`$"),
        ("export = 5315.0", "`export` must be str, not float 5315.0"),
        ("publish = 1", "`publish` must be bool, not int 1"),
        ("margin = '1%'", "`margin` must be float, not str '1%'"),
        ("new_classes = 'Pluto'", "`new_classes` must be list, not str 'Pluto'"),
        ("new_classes = ['Pluto', 7]", "`new_classes` must hold text, not int 7"),
        ("new_classes = [None]", "`new_classes` must hold text, not NoneType None"),
        ("margin = True", "`margin` must be float, not bool True"),
    ],
)
def test_wrong_parameters_are_named(injected, named):
    with pytest.raises(Problem, match=named.replace("?", r"\?")):
        check(injected)


def test_all_wrong_parameters_are_named_at_once():
    with pytest.raises(Problem) as problem:
        check("exprt = 1\npublsh = True\nexport = 7")
    assert all(name in str(problem.value) for name in ("`exprt`", "`publsh`", "`export`"))


def test_what_else_a_person_typed_into_the_notebook_does_not_matter():
    check("", "surprise = 3", "this is no Python", "get_ipython().run_line_magic('matplotlib', 'inline')")


def write_notebook(file: Path, declared: str = DECLARED) -> Path:
    """A notebook that declares parameters, and checks them as those of the project do."""
    check = f"""
import sys
sys.path.insert(0, {str(PROJECT)!r})
from pathlib import Path
from helpers.round.parameters import check_parameters
check_parameters(globals(), Path({str(file.parents[1])!r}))
"""
    file.parent.mkdir(parents=True, exist_ok=True)
    cells = [new_code_cell(declared, metadata={"tags": ["parameters"]}), new_code_cell(check)]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python"}, "language_info": {"name": "python"}}
    nbformat.write(new_notebook(cells=cells, metadata=metadata), file)
    return file


def test_other_cells_declare_what_they_like_when_the_cells_above_run_again(tmp_path):
    notebook = nbformat.read(write_notebook(tmp_path / "notebooks/mine.ipynb"), as_version=4)
    declare, check = notebook.cells
    notebook.cells.append(new_code_cell("names: list[str] = ['a']\nexport: Path = Path('b.json')\nexport = 'b.json'"))
    notebook.cells.append(new_code_cell("# Parameters\nrate = 0.1"))
    notebook.cells += [new_code_cell(check.source), new_code_cell(declare.source.replace("0.01", "'1%'"))]
    NotebookClient(notebook).execute()
    notebook.cells.append(new_code_cell(check.source))
    with pytest.raises(Exception, match="`margin` must be float, not str '1%'"):  # an edit that is not saved
        NotebookClient(notebook).execute()


@pytest.mark.parametrize("folder", ["notebooks", pytest.param("elsewhere", marks=pytest.mark.slow)])
def test_a_notebook_of_ones_own_takes_its_own_parameters(tmp_path, folder):
    own = DECLARED + "names: list[str] = []\nday: 'date | None' = None\n"
    write_notebook(tmp_path / "notebooks/retrain.ipynb")
    mine, out = write_notebook(tmp_path / folder / "mine.ipynb", own), tmp_path / "out/out.ipynb"
    out.parent.mkdir()
    execute_notebook(mine, out, {"names": ["a"], "day": 1}, progress_bar=False)
    with pytest.raises(PapermillExecutionError) as problem:
        execute_notebook(mine, out, {"nams": ["a"], "names": [1]}, progress_bar=False)
    assert "did you mean `names`?" in str(problem.value)
    assert "`names` must hold text, not int 1" in str(problem.value)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["retrain", "label"])
def test_the_parameters_of_the_projects_notebooks_are_checked_also_when_the_cells_above_run_again(tiny, name):
    notebook = nbformat.read(tiny.root / f"notebooks/{name}.ipynb", as_version=4)
    declare, *setup = [cell for cell in notebook.cells if cell.cell_type == "code"][: 2 if name == "retrain" else 3]
    setup[-1].source = setup[-1].source.partition("server = ")[0]
    wrong = new_code_cell(declare.source.replace('images: str = "extra-data"', "images: str = 7"))
    cells = [declare, *setup, new_code_cell("names: list[str] = ['a']"), *setup, wrong, *setup]
    notebook.cells = [new_code_cell(cell.source) for cell in cells]
    with pytest.raises(Exception, match="`images` must be str, not int 7"):
        NotebookClient(notebook, resources={"metadata": {"path": str(tiny.root / "notebooks")}}).execute()
    assert all(cell.execution_count for cell in notebook.cells[: -len(setup)])


def test_an_export_is_looked_for_here_then_at_the_root_then_in_extra_data(tmp_path, monkeypatch):
    here, root = tmp_path / "here", tmp_path / "root"
    places = [root / "extra-data", root, here]
    monkeypatch.chdir(tmp_path)
    here.mkdir()
    monkeypatch.chdir(here)
    for place in places:
        place.mkdir(parents=True, exist_ok=True)
        (place / "export.json").write_text("[]")
        assert find_export("export.json", root) == place / "export.json"
    assert find_export(str(root / "export.json"), root) == root / "export.json"


def test_an_export_that_no_system_can_name_is_a_problem(tmp_path):
    with pytest.raises(Problem, match="There is no '0000"):
        find_export("0" * 300, tmp_path)


def test_an_export_that_is_nowhere_is_a_problem_with_all_three_places(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Problem) as problem:
        find_export("lost.json", tmp_path / "root")
    for place in (tmp_path, tmp_path / "root", tmp_path / "root/extra-data"):
        assert str(place / "lost.json") in str(problem.value)

"""The parameters that papermill hands to the notebook are checked before anything else happens."""

import pytest

from helpers.problems import Problem
from helpers.round.parameters import check_parameters, find_export

DECLARED = 'export: str = "a.json"  # the export\nmargin: float = 0.01\npublish: bool = False\nnew_classes: list = []\n'


def check(injected: str, *other: str) -> None:
    cells = ["", DECLARED, *other]
    if injected:
        cells.append("# Parameters\n" + injected)
    namespace: dict[str, object] = {}
    exec(DECLARED + injected, namespace)
    check_parameters(namespace | {"In": cells})


@pytest.mark.parametrize("injected", ["", 'export = "b.json"', "margin = 0", 'publish = True\nnew_classes = ["Pluto"]'])
def test_right_parameters_pass(injected):
    check(injected)


@pytest.mark.parametrize(
    ("injected", "named"),
    [
        ("exprt = 'b.json'", "no parameter `exprt`: did you mean `export`?"),
        ("colour = 'grey'", "no parameter `colour`\n"),
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

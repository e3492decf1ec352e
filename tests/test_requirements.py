"""A round finds every package that it imports in requirements.txt, and the tests in that or in requirements-dev.txt."""

import ast
import json
import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[1]
OWN = {"helpers", "extras", "examples", "benchmarks"} | {file.stem for file in (ROOT / "tests").rglob("*.py")}
FOR_DEVELOPMENT = ROOT / "examples/picture.py"  # which `make notebook` runs


def list_files(*folders: str) -> set[Path]:
    return {file for folder in folders for file in (ROOT / folder).rglob("*") if file.suffix in (".py", ".ipynb")}


def read_code(file: Path) -> str:
    if file.suffix == ".py":
        return file.read_text()
    cells = json.loads(file.read_text())["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


def list_imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(read_code(file))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def find_unlisted(files: set[Path], *requirements: str) -> set[str]:
    """The packages that the files import and that these requirements do not name."""
    lines = "".join((ROOT / name).read_text() for name in requirements)
    listed = {normalized(name) for name in re.findall(r"^([\w.-]+)==", lines, re.MULTILINE)}
    imported = {name.partition(".")[0] for file in files for name in list_imports(file)}
    distributions = packages_distributions()
    return {
        name
        for name in imported - OWN - set(sys.stdlib_module_names)
        if not listed & {normalized(distribution) for distribution in distributions.get(name, [name])}
    }


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_all_that_a_round_imports_is_in_the_requirements():
    files = list_files("helpers", "extras", "examples", "notebooks") - {FOR_DEVELOPMENT}
    assert find_unlisted(files, "requirements.txt") == set()


def test_all_that_the_tests_import_is_in_one_of_the_requirements():
    files = list_files("tests", "benchmarks") | {FOR_DEVELOPMENT}
    assert find_unlisted(files, "requirements.txt", "requirements-dev.txt") == set()

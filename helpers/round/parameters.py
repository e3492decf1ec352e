"""The parameters of a notebook, and the files that they name."""

import ast
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Any

from helpers.problems import Problem
from helpers.workspace import EXTRA

INJECTED = "# Parameters\n"  # papermill begins the cell that it adds with this, behind the one with parameters
CHECKED = {"str", "int", "float", "bool", "list"}


def check_parameters(namespace: Mapping[str, Any], project: Path) -> None:
    """Check that each parameter exists and has its type: papermill only warns of unknown names, and guesses types.

    `namespace` is ``globals()`` of the notebook, whose cell with the tag ``parameters`` declares them as
    ``name: type = value``.
    """
    history = namespace["In"]
    declared = _read_declarations(history, project)
    wrong = []
    for before, source in pairwise(history):
        if source.startswith(INJECTED) and _list_declarations(before) == declared:
            wrong += [_refuse_name(name, declared) for name in _list_targets(source) if name not in declared]
    for name, kind in declared.items():
        value, kind = namespace.get(name), kind.removesuffix("[str]")
        found = type(value).__name__
        if kind in CHECKED and found != kind and (found, kind) != ("int", "float"):
            wrong.append(f"`{name}` must be {kind}, not {found} {value!r}")
        elif kind == "list" and isinstance(value, list):
            others = [entry for entry in value if not isinstance(entry, str)]
            wrong += [f"`{name}` must hold text, not {type(entry).__name__} {entry!r}" for entry in others]
    if wrong:
        raise Problem(
            "The notebook does not take these parameters.",
            wrong,
            f"It takes {', '.join(declared)}. papermill guesses types: give text as -r name value, "
            "and a list as -y 'name: [a, \"7\"]'.",
        )


def _read_declarations(history: Sequence[str], project: Path) -> dict[str, str]:
    """Map the names of the parameters to their types, from the file of the notebook that runs.

    The kernel knows neither the tags of its cells nor its file, and other cells may declare variables. The file is a
    notebook, here or in the project, whose cell with parameters has run: perhaps with other values, not yet saved. A
    notebook in another place can only be run from its top, by papermill: then all cells so far are its beginning.
    """
    ran = [_list_declarations(source) for source in history]
    for file in [*Path.cwd().glob("*.ipynb"), *(project / "notebooks").glob("*.ipynb")]:
        declared = _list_declarations(_read_tagged(file))
        if declared and declared in ran:
            return declared
    return {name: kind for declared in ran for name, kind in declared.items()}


def _read_tagged(notebook: Path) -> str:
    """Read the source of a notebook's cell with the tag ``parameters``, empty if there is none."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):  # half written, or no notebook
        for cell in json.loads(notebook.read_bytes())["cells"]:
            if "parameters" in cell["metadata"].get("tags", []):
                return "".join(cell["source"])
    return ""


def _list_declarations(source: str) -> dict[str, str]:
    """Map the names that a cell declares, as ``name: type = value``, to their types."""
    return {
        ast.unparse(statement.target): ast.unparse(statement.annotation)
        for statement in _parse(source)
        if isinstance(statement, ast.AnnAssign)
    }


def _list_targets(source: str) -> list[str]:
    assignments = [statement for statement in _parse(source) if isinstance(statement, ast.Assign)]
    return [ast.unparse(target) for statement in assignments for target in statement.targets]


def _parse(source: str) -> list[ast.stmt]:
    with suppress(SyntaxError, ValueError):  # an experiment in another cell
        return ast.parse(source).body
    return []


def _refuse_name(name: str, declared: Iterable[str]) -> str:
    meant = "".join(f": did you mean `{near}`?" for near in get_close_matches(name, declared, n=1))
    return f"there is no parameter `{name}`{meant}"


def find_export(export: str, root: Path) -> Path:
    """Find the file `export`: in the current folder, at the root of the workspace, or in its ``extra-data``."""
    advice = "Export the labels from Label Studio, for example as JSON-MIN."
    return _find(export, [Path.cwd(), root, root / EXTRA], os.path.isfile, advice)


def find_images(images: str, root: Path) -> Path:
    """Find the folder `images`: in the current folder, or at the root of the workspace."""
    return _find(images, [Path.cwd(), root], os.path.isdir, "`images` is the folder of the labelled pictures.")


def _find(name: str, folders: list[Path], fits: Callable[[Path], bool], advice: str) -> Path:
    places = list(dict.fromkeys(folder / name for folder in folders))  # here may be the root
    for place in filter(fits, places):
        return place
    raise Problem(f"There is no {name!r}.", map(str, places), advice)

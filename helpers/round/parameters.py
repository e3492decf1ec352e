"""The parameters of a notebook, and the files that they name."""

import ast
import os
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from helpers.problems import Problem
from helpers.workspace import EXTRA

INJECTED = "# Parameters\n"  # papermill begins the cell that it adds with this


def check_parameters(namespace: Mapping[str, Any]) -> None:
    """Check that each parameter exists and has its type: papermill only warns of unknown names, and guesses types.

    `namespace` is ``globals()`` of the notebook, whose cells declare parameters as ``name: type = value``.
    """
    declared, injected = {}, []
    for source in namespace["In"]:
        try:
            statements = ast.parse(source).body
        except SyntaxError:  # an experiment in another cell
            continue
        for statement in statements:
            if isinstance(statement, ast.AnnAssign):
                declared[ast.unparse(statement.target)] = ast.unparse(statement.annotation)
            elif isinstance(statement, ast.Assign) and source.startswith(INJECTED):
                injected += [ast.unparse(target) for target in statement.targets]

    wrong = []
    for name in injected:
        if name not in declared:
            meant = "".join(f": did you mean `{near}`?" for near in get_close_matches(name, declared, n=1))
            wrong.append(f"there is no parameter `{name}`{meant}")
    for name, kind in declared.items():
        value = namespace.get(name)
        found = type(value).__name__
        if found != kind and (found, kind) != ("int", "float"):
            wrong.append(f"`{name}` must be {kind}, not {found} {value!r}")
        elif isinstance(value, list):
            others = [entry for entry in value if not isinstance(entry, str)]
            wrong += [f"`{name}` must hold text, not {type(entry).__name__} {entry!r}" for entry in others]
    if wrong:
        raise Problem(
            "The notebook does not take these parameters.",
            wrong,
            f"It takes {', '.join(declared)}. papermill guesses types: give text as -r name value, "
            "and a list as -y 'name: [a, \"7\"]'.",
        )


def find_export(export: str, root: Path) -> Path:
    """Find the file `export`: in the current folder, at the root of the workspace, or in its ``extra-data``."""
    advice = "Export the labels from Label Studio, for example as JSON-MIN, or give the address of the project."
    return _find(export, [Path.cwd(), root, root / EXTRA], os.path.isfile, advice)


def find_images(images: str, root: Path) -> Path:
    """Find the folder `images`: in the current folder, or at the root of the workspace."""
    return _find(images, [Path.cwd(), root], os.path.isdir, "`images` is the folder of the labelled pictures.")


def _find(name: str, folders: list[Path], fits: Callable[[Path], bool], advice: str) -> Path:
    places = list(dict.fromkeys(folder / name for folder in folders))  # here may be the root
    for place in filter(fits, places):
        return place
    raise Problem(f"There is no {name!r}.", map(str, places), advice)

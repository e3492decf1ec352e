"""The documents keep true: their links, tables of parameters and settings, messages and targets of make."""

import ast
import json
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
NOTEBOOKS = [f"notebooks/{notebook.name}" for notebook in sorted((ROOT / "notebooks").glob("*.ipynb"))]
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
ROW = re.compile(r"^\| `([^`]+)` \| `([^`]+)` \|", re.MULTILINE)


def test_relative_links_lead_to_files():
    links = {
        document.parent / link.partition("#")[0]
        for document in DOCUMENTS
        for link in re.findall(r"\]\(([^)]+)\)", document.read_text())
        if "://" not in link
    }
    assert [link for link in links if not link.exists()] == []


@pytest.mark.parametrize("file", [*NOTEBOOKS, "params.yaml"])
def test_the_tables_have_every_parameter_and_setting_with_its_default(file):
    _, _, after = (ROOT / "docs/settings.md").read_text().partition(f"## {file}\n")
    documented = {name: yaml.safe_load(default) for name, default in ROW.findall(after.partition("\n## ")[0])}
    assert documented == read_defaults(ROOT / file)


def read_defaults(file: Path) -> dict[str, object]:
    content = file.read_text()
    if file.suffix == ".yaml":
        sections = yaml.safe_load(content).items()
        return {f"{section}.{name}": value for section, settings in sections for name, value in settings.items()}
    (cell,) = [cell for cell in json.loads(content)["cells"] if "parameters" in cell["metadata"].get("tags", [])]
    return {
        ast.unparse(line.target): ast.literal_eval(line.value)
        for line in ast.parse("".join(cell["source"])).body
        if isinstance(line, ast.AnnAssign) and line.value
    }


def test_the_messages_that_are_explained_are_those_of_the_code():
    tables = [page.read_text().split("| the message |") for page in (ROOT / "docs").glob("*.md")]
    rows = [row for _, *table in tables for row in re.findall(r"^\| `([^`]+)` \|", "".join(table), re.MULTILINE)]
    fixed = {words.strip("' ") for row in rows for words in row.split("…")}
    files = [path for folder in ("helpers", "extras") for path in (ROOT / folder).rglob("*.py")]
    nodes = [node for path in files for node in ast.walk(ast.parse(path.read_text()))]
    texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    assert rows
    assert [words for words in fixed if not any(words in text for text in texts)] == []


def test_the_map_of_the_house_has_every_part():
    parts = {
        part.name
        for part in (*(ROOT / "helpers").iterdir(), *(ROOT / "extras").iterdir())
        if not part.name.startswith("_")
    }
    named = re.findall(r"`([a-z_]+)(?:/|(\.py))`", (ROOT / "CONTRIBUTING.md").read_text())
    assert parts - {name + suffix for name, suffix in named} == set()


def test_make_has_the_targets_that_the_documents_name():
    named = {
        target
        for document in DOCUMENTS
        for target in re.findall(r"(?:^    |`)make ([a-z]+)", document.read_text(), re.M)
    }
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert named - targets == set()

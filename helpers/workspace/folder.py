"""The folder of a project: its files, as they are and as they were, with DVC and git."""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from helpers.pipeline.paths import HASHES, RAW, SCENES
from helpers.problems import Problem
from helpers.workspace.commits import read_committed
from helpers.workspace.dvc import run_dvc
from helpers.workspace.git import ask_git, run_git

# The files of the pipeline are in `helpers.pipeline.paths`; these are the round's.
EXTRA, LINEAGE, DECISION = "extra-data", "data/labels.csv", "evaluation/decision.json"


@dataclass(frozen=True)
class Workspace:
    """A clone of this repository with images in ``data/raw``. Its absolute `root` holds ``dvc.yaml``."""

    root: Path

    @property
    def raw(self) -> Path:
        return self.root / RAW

    @property
    def lineage(self) -> Path:
        return self.root / LINEAGE

    @property
    def scenes(self) -> Path:
        return self.root / SCENES

    @property
    def hashes(self) -> Path:
        return self.root / HASHES

    def dvc(self, *arguments: str, quiet: bool = False, tell: Callable[[str], object] = print) -> list[str]:
        """Run DVC here, return its lines of output without its `ADVICE` and, unless `quiet`, `tell` each as it comes.

        A `Problem` has the last lines of a command that failed, or tells that another DVC command is at work here.
        """
        return run_dvc(self.root, *arguments, quiet=quiet, tell=tell)

    def git(self, *arguments: str, **variables: str) -> str:
        """Run git here with additional environment `variables`, and return its output; a failure is a `Problem`.

        Whatever a person has configured, git says the same; see `GIT_CONFIG`.
        """
        return run_git(self.root, *arguments, **variables)

    def changes(self, *files: str) -> list[str]:
        """List the files, among these or in these folders, that differ from the last commit, new ones included."""
        said = self.git("status", "--porcelain", "-z", "--", *files)
        return [entry[3:] for entry in said.split("\0")[:-1]]

    def commit_of(self, revision: str) -> str:
        """Return the full hash of a git revision; raise a `Problem` if there is none."""
        try:
            options = ["--verify", "--quiet", "--end-of-options"]
            return ask_git(self.root, revision, "rev-parse", *options, f"{revision}^{{commit}}").strip()
        except Problem:
            raise Problem(
                f"There is no git revision `{revision}` in {self.root}.",
                advice="`git log --oneline` lists them. To papermill, give it with -r: -r baseline 5315e10",
            ) from None

    def read_at(self, revision: str, path: str) -> bytes | None:
        """Read a file as it was at a git revision, from DVC's cache or remote, without touching the workspace.

        The result is None if the revision does not have the file. A `Problem` tells that the revision has it, but
        neither the cache nor the remote does.
        """
        return read_committed(self.root, self.commit_of(revision), path)

    def load(self, file: str, revision: str = "") -> dict[str, Any]:
        """Read a file of JSON or YAML, as it is or was at a git revision; missing or damaged, it has no fields."""
        parse = yaml.safe_load if file.endswith((".yaml", ".dvc")) else json.loads
        with suppress(Problem, OSError, ValueError, yaml.YAMLError):
            path = self.root / file
            blob = f"{revision}:{file}"
            content = parse(ask_git(self.root, revision, "cat-file", "blob", blob) if revision else path.read_bytes())
            return content if isinstance(content, dict) else {}
        return {}

    def save(self, file: str, content: dict[str, Any]) -> None:
        """Write a file of JSON, which `load` reads, as a whole: nobody ever reads half of it.

        One that says the same stays as a person or a hook has put it.
        """
        if content and self.load(file) == content:
            return
        path, text = self.root / file, json.dumps(content, indent=2, ensure_ascii=False)
        path.parent.mkdir(exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        part.write_text(f"{text}\n", encoding="utf-8")
        part.replace(path)

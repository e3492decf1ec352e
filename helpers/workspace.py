"""The folder of a user's project: find it, run DVC and git there, and read files of its past."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from helpers.pipeline.paths import BACKBONES, HASHES, MODEL, RAW
from helpers.problems import Problem

# The files of the pipeline are in `helpers.pipeline.paths`; these are the round's.
EXTRA, LINEAGE, DECISION = "extra-data", "data/labels.csv", "evaluation/decision.json"
# DVC's advice on what to do next, which publishing a round does, and its notes about its own lock file.
ADVICE = re.compile(
    r"$|To track the changes|\tgit add|To enable auto staging|\tdvc config core.autostage|Use `dvc push`"
    r"|(Updating|Generating) lock file"
)

OF_LISTED_FILES = {"checkout", "fetch", "pull", "push"}  # commands of DVC that believe its list of files
# A person's configuration of git decides on names, signatures, hooks and credentials, but not on these.
GIT_CONFIG = f"""
color.ui=false commit.cleanup=whitespace core.abbrev=auto core.quotePath=false diff.autoRefreshIndex=true
diff.orderFile={os.devnull} diff.renames=false i18n.commitEncoding=UTF-8 log.follow=false log.showSignature=false
status.renames=false status.showUntrackedFiles=all
""".split()
# Its messages can be read by a program, it asks nobody for a password, and its looks at files hold no lock.
GIT_VARIABLES = {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}
# A hook of git that starts a round hands them down: they name the repository of the hook.
OF_A_HOOK = {f"GIT_{name}" for name in ("DIR", "WORK_TREE", "COMMON_DIR", "INDEX_FILE", "OBJECT_DIRECTORY")}


class Folder(NamedTuple):
    """A folder that DVC tracks: the hash that DVC gives it, and the MD5 of each file by its path in the folder."""

    hash: str
    files: dict[str, str]


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
    def hashes(self) -> Path:
        return self.root / HASHES

    def dvc(self, *arguments: str, quiet: bool = False, tell: Callable[[str], object] = print) -> list[str]:
        """Run DVC here, return its lines of output without its `ADVICE` and, unless `quiet`, `tell` each as it comes.

        A `Problem` has the last lines of a command that failed, or tells that another DVC command is at work here.
        """
        if arguments[0] in OF_LISTED_FILES:
            drop_data_index(self.root)
        said = []
        # DVC's stages look for `python` on PATH, and Python buffers its output to a pipe.
        environment = _environment() | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONUNBUFFERED": "1",
        }
        command = [sys.executable, "-m", "dvc", *arguments]
        output: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        with subprocess.Popen(command, cwd=self.root, env=environment, process_group=0, **output) as process:
            assert process.stdout is not None
            try:
                for line in map(str.rstrip, process.stdout):
                    if ADVICE.match(line):
                        continue
                    if not quiet:
                        tell(line)
                    said.append(line)
            except BaseException:  # a person interrupts it, or nobody reads any more what it prints
                os.killpg(process.pid, signal.SIGINT)  # DVC and the stage that it runs
                process.communicate()  # read their last words: else they wait for room in the pipe for ever
                raise
        if process.returncode:
            shown = f"`dvc {' '.join(arguments)}`"
            if any("is busy" in line for line in said):
                raise Problem(f"{shown}: another DVC command is running in {self.root}.", advice="Wait for it to end.")
            raise Problem(f"{shown} failed.", said[-15:])
        return said

    def git(self, *arguments: str, **variables: str) -> str:
        """Run git here with additional environment `variables`, and return its output; a failure is a `Problem`.

        Whatever a person has configured, git says the same; see `GIT_CONFIG`.
        """
        config = [part for setting in GIT_CONFIG for part in ("-c", setting)]
        environment = _environment() | GIT_VARIABLES | variables
        result = subprocess.run(
            ["git", *config, *arguments], cwd=self.root, env=environment, stdin=subprocess.DEVNULL, capture_output=True
        )
        if result.returncode:
            shown = " ".join(re.sub(r"\n.*", " …", argument, flags=re.DOTALL) for argument in arguments)
            said = (result.stderr + result.stdout).decode(errors="replace").expandtabs().splitlines()
            raise Problem(f"`git {shown}` failed in {self.root}.", filter(str.strip, said))
        return result.stdout.decode(errors="surrogateescape")

    def changes(self, *files: str) -> list[str]:
        """List the files, among these or in these folders, that differ from the last commit, new ones included."""
        said = self.git("status", "--porcelain", "-z", "--", *files)
        return [entry[3:] for entry in said.split("\0")[:-1]]

    def load(self, file: str, revision: str = "") -> dict[str, Any]:
        """Read a file of JSON or YAML, as it is or was at a git revision; missing or damaged, it has no fields."""
        parse = yaml.safe_load if file.endswith((".yaml", ".dvc")) else json.loads
        with suppress(Problem, OSError, ValueError, yaml.YAMLError):
            path = self.root / file
            content = parse(self.git("cat-file", "blob", f"{revision}:{file}") if revision else path.read_bytes())
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

    def stop_on_locks(self) -> None:
        """Raise a `Problem` that names each lock and each half written file, its age and the command that removes it.

        None is deleted: only a person can know that no program is at work on it.
        """
        if self._locks():
            time.sleep(1)  # a running git releases most of its locks by then
        if locks := self._locks():
            raise Problem(
                f"{self.root} is locked: git or DVC is at work there, or was killed.",
                [f"{lock}, since {datetime.fromtimestamp(since):%Y-%m-%d %H:%M:%S}" for lock, since in locks.items()],
                f"Wait for it to end. If none is at work: rm {shlex.join(map(str, locks))}",
            )

    def _locks(self) -> dict[Path, float]:
        """The locks of git, and files of DVC that a kill has left half written, with their times."""
        folders = self.git("rev-parse", "--path-format=absolute", "--git-dir", "--git-common-dir").splitlines()
        locks: set[Path] = set()
        for folder in map(Path, folders):
            locks.update(folder.glob("*.lock"), folder.glob("refs/**/*.lock"))
        locks.update(self._half_written())
        held = {}
        for lock in sorted(locks):
            with suppress(FileNotFoundError):  # its program has just released it
                held[lock] = lock.stat().st_mtime
        return held

    def _half_written(self) -> Iterator[Path]:
        """Find the files that DVC was writing when it was killed, and that it makes again where they are missing.

        They are its list of locks, its record of the stages, and its pointers to the data of a round. Files with the
        marks of a merge are left for git and a person.
        """
        from dvc.exceptions import DvcException  # takes half a second, and only a round needs it
        from dvc.schema import COMPILED_LOCKFILE_SCHEMA, COMPILED_SINGLE_STAGE_SCHEMA
        from dvc.utils.strictyaml import load

        def check_pointer(file: Path) -> None:
            pointer, _ = load(str(file), COMPILED_SINGLE_STAGE_SCHEMA)
            pointer["outs"][0]["path"]  # which DVC writes last

        checks: dict[str, Callable[[Path], object]] = {
            ".dvc/tmp/rwlock": lambda file: json.loads(file.read_bytes()),
            "dvc.lock": lambda file: load(str(file), COMPILED_LOCKFILE_SCHEMA),
            f"{RAW}.dvc": check_pointer,
            f"{LINEAGE}.dvc": check_pointer,
        }
        for name, check in checks.items():
            file = self.root / name
            with suppress(FileNotFoundError):
                try:
                    check(file)
                except (ValueError, LookupError, TypeError, DvcException):
                    if b"<<<<<<<" not in file.read_bytes():
                        yield file

    def list_folder(self, folder: str, revision: str = "") -> Folder:
        """List the files of a folder that DVC tracks: those that are there or, with a git revision, those that it had.

        A revision that does not have the folder lists nothing. A `Problem` tells that the folder cannot be read, or
        that neither DVC's cache nor its remote has the list of the revision.
        """
        from dvc.repo import Repo  # takes half a second, and only a round needs it
        from dvc_data.hashfile.build import build

        commit = self.commit_of(revision) if revision else ""
        if commit and not self.load(f"{folder}.dvc", commit):
            return Folder("", {})
        try:
            with Repo.open(str(self.root), rev=commit or None) as repo:
                if commit:
                    (out,) = repo.stage.load_one(repo.fs.join(repo.root_dir, f"{folder}.dvc")).outs
                    tree: Any = out.get_dir_cache()  # it fetches the list from the remote if need be
                else:
                    path = str(self.root / folder)
                    _, _, tree = build(repo.cache.local, path, repo.fs, "md5", ignore=repo.dvcignore, dry_run=True)
        except OSError as error:
            advice = "Make it readable, or remove it. `dvc checkout` mends links to nothing."
            raise Problem(f"{folder} cannot be read: {error}.", advice=advice) from None
        if tree is None:
            raise _lost(folder, commit)
        return Folder(tree.hash_info.value, {"/".join(key): md5.value for key, _, md5 in tree})

    def dvc_remote(self) -> str:
        """The name of DVC's default remote, empty if there is none."""
        from dvc.config import Config

        return str(Config(str(self.root / ".dvc"))["core"].get("remote") or "")

    def reproduce(self, tell: Callable[[str], object] = print) -> str:
        """Run the stages of ``dvc.yaml`` whose inputs changed, `tell` what they say, and return the state of the model.

        It was ``trained``, ``restored`` from DVC's cache, or it is ``unchanged``. DVC removes the outputs of a stage
        before it starts; if a stage fails or is interrupted, which is a `Problem`, those of the last successful run
        are restored.
        """
        try:
            said = self.dvc("repro", tell=tell)
        except BaseException as stopped:
            with suppress(Problem):
                self.dvc("checkout", "train", "evaluate", quiet=True)
            if not isinstance(stopped, KeyboardInterrupt):
                raise
            there = "the old model is back" if (self.root / MODEL).exists() else "there is no model yet"
            raise Problem(f"The training was interrupted: {there}.", advice="Run again to start it.") from None
        if "Running stage 'train':" in said:
            return "trained"
        return "restored" if any(line.startswith("Stage 'train' is cached") for line in said) else "unchanged"

    def status(self, *targets: str) -> list[str]:
        """Tell, in DVC's words, how stages and data differ from its records; nothing if they do not."""
        # A stage that always runs has not changed for that reason alone, and a frozen one is only warned of.
        said = [line for line in self.dvc("status", *targets, quiet=True) if line != "\talways changed"]
        return [line for line, after in pairwise([*said, ""]) if line.startswith("\t") or after.startswith("\t")]

    def stages(self) -> list[dict[str, Any]]:
        """Read the stages of ``dvc.yaml`` that make the model and its evaluation; there may be others beside them."""
        from dvc.repo import Repo  # takes half a second, and only a round needs it

        with Repo(str(self.root)) as repo:
            needed = {stage.addressing.rpartition(":")[2] for stage in self.collect_stages(repo)}
        return [stage for name, stage in self.load("dvc.yaml")["stages"].items() if name in needed]

    def collect_stages(self, repo: Any) -> list[Any]:
        """Collect what makes the model, its evaluation and the lineage in DVC's graph, from a `dvc.repo.Repo`."""
        from dvc.exceptions import DvcException

        lineage = [f"{LINEAGE}.dvc"] if (self.root / f"{LINEAGE}.dvc").exists() else []
        targets = [str(self.root / target) for target in ("dvc.yaml:evaluate", *lineage)]
        try:
            return [stage for target in targets for stage in repo.stage.collect(target, with_deps=True)]
        except DvcException as error:
            raise Problem("The stages of dvc.yaml cannot be read.", str(error).splitlines()) from None

    def code_of_stages(self) -> list[str]:
        """List ``dvc.yaml`` and the files that these stages depend on, apart from data and their outputs."""
        stages = self.stages()
        made = {out if isinstance(out, str) else next(iter(out)) for stage in stages for out in stage.get("outs", [])}
        read = {file for stage in stages for file in stage.get("deps", [])}
        return ["dvc.yaml", *sorted(read - made - {RAW, BACKBONES})]

    def commit_of(self, revision: str) -> str:
        """Return the full hash of a git revision; raise a `Problem` if there is none."""
        try:
            return self.git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}").strip()
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
        return _read_commit(self.root, self.commit_of(revision), path)


def _environment() -> dict[str, str]:
    """The variables of this process that are meant for programs in a workspace."""
    return {name: value for name, value in os.environ.items() if name not in OF_A_HOOK}


@lru_cache(maxsize=5)  # a round needs the files of the old model several times
def _read_commit(root: Path, commit: str, path: str) -> bytes | None:
    """Read a file as `Workspace.read_at` does."""
    import dvc.api  # takes half a second, and only reading the past needs it
    from dvc.exceptions import OutputNotFoundError
    from dvc.repo import Repo

    def read() -> bytes:
        return dvc.api.read(path, repo=str(root), rev=commit, mode="rb")

    with suppress(Exception):  # DVC's own, and those of every kind of storage
        return read()
    # If DVC has recorded a hash of the file or of a folder above it, it is lost; else it was not there.
    with suppress(OutputNotFoundError), Repo.open(str(root), rev=commit, uninitialized=True) as repo:
        if any(out.hash_info for out in repo.find_outs_by_path(path, repo.index.outs, strict=False)):
            drop_data_index(root)
            try:
                return read()
            except Exception as error:
                raise _lost(path, commit, repr(error)) from None
    return None


def drop_data_index(root: Path) -> None:
    """Let DVC list its files once more: a kill leaves an incomplete list, which it trusts (treeverse/dvc#10977)."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    with suppress(DvcException), Repo(str(root)) as repo:  # the command that follows says what is wrong
        repo.drop_data_index()


def _without_git(root: Path, said: str) -> str:
    """Say in words why git does not work in a folder, by its own message."""
    if "not a git repository" in said:
        return f"not a git repository: run `git init` ({said})"
    if "dubious ownership" in said:
        trust = f"git config --global --add safe.directory {shlex.quote(str(root))}"
        return f"its files belong to another user, so that git refuses to work there: if you trust them, run `{trust}`"
    return f"git does not work there: {said}"


def _lost(path: str, commit: str, *reason: str) -> Problem:
    return Problem(
        f"{path} of {commit[:7]} is neither in DVC's cache nor in its remote.",
        reason,
        "`dvc pull` or `dvc fetch --all-commits` on a machine that has access brings it back.",
    )


def open_workspace(start: Path) -> Workspace:
    """Find the workspace that contains the folder `start`.

    A `Problem` names everything that is missing: git, the repository, DVC, its set-up, the images.
    """
    root = next((folder for folder in (start, *start.parents) if (folder / "dvc.yaml").is_file()), None)
    if root is None:
        raise Problem(
            f"{start} is not inside a project with a dvc.yaml.", advice="Change to the project and run again."
        )
    workspace, missing = Workspace(root.resolve()), []
    try:
        if prefix := workspace.git("rev-parse", "--show-prefix").strip():  # DVC would not find files of the past
            missing.append(f"{prefix} is a part of a git repository: make it a repository of its own")
    except FileNotFoundError:
        missing.append("git is not installed")
    except Problem as problem:
        missing.append(_without_git(workspace.root, "; ".join(problem.details)))
    if not (root / ".dvc").is_dir():
        missing.append("not a DVC repository: run `dvc init`")
    if not (root / RAW).is_dir():
        missing.append(f"no {RAW}: put images into {RAW}/<label>/ and run `dvc add {RAW}`, or run `dvc pull`")
    if missing:
        raise Problem(f"{root} cannot be worked in yet.", missing)
    return workspace

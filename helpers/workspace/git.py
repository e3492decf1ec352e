"""Run git so that it says the same whatever a person has configured, and whichever program has started the round."""

import os
import re
import subprocess
from functools import lru_cache
from pathlib import Path

from helpers.problems import Problem

# A person's configuration of git decides on names, signatures, hooks and credentials, but not on these.
GIT_CONFIG = f"""
color.ui=false commit.cleanup=whitespace core.abbrev=auto core.quotePath=false diff.autoRefreshIndex=true
diff.orderFile={os.devnull} diff.renames=false i18n.commitEncoding=UTF-8 log.follow=false log.showSignature=false
status.renames=false status.showUntrackedFiles=all
""".split()
# Its messages can be read by a program, it asks nobody for a password, and its looks at files hold no lock.
GIT_VARIABLES = {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}
FULL_HASH = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")  # names the same commit for ever
# A hook of git that starts a round hands them down: they name the repository of the hook.
OF_A_HOOK = {f"GIT_{name}" for name in ("DIR", "WORK_TREE", "COMMON_DIR", "INDEX_FILE", "OBJECT_DIRECTORY")}


def run_git(root: Path, *arguments: str, **variables: str) -> str:
    """Run git in a folder, as `Workspace.git` does."""
    config = [part for setting in GIT_CONFIG for part in ("-c", setting)]
    environment = environment_without_hook() | GIT_VARIABLES | variables
    result = subprocess.run(
        ["git", *config, *arguments], cwd=root, env=environment, stdin=subprocess.DEVNULL, capture_output=True
    )
    if result.returncode:
        shown = " ".join(re.sub(r"\n.*", " …", argument, flags=re.DOTALL) for argument in arguments)
        said = (result.stderr + result.stdout).decode(errors="replace").expandtabs().splitlines()
        raise Problem(f"`git {shown}` failed in {root}.", filter(str.strip, said))
    return result.stdout.decode(errors="surrogateescape")


def ask_git(root: Path, revision: str, *arguments: str) -> str:
    """Run git like `run_git` with a question about a revision; the answer about a full hash is remembered."""
    ask = _remembered if FULL_HASH.fullmatch(revision) else run_git
    return ask(root, *arguments)


_remembered = lru_cache(run_git)


def environment_without_hook() -> dict[str, str]:
    """The variables of this process that are meant for programs in a workspace."""
    return {name: value for name, value in os.environ.items() if name not in OF_A_HOOK}

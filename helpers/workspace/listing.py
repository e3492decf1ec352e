"""The files of a folder that DVC tracks, as they are or as a commit has them."""

from typing import Any, NamedTuple

from helpers.problems import Problem
from helpers.workspace.commits import lost
from helpers.workspace.folder import Workspace


class Listing(NamedTuple):
    """The hash that DVC gives a folder, and the MD5 of each file by its path in the folder."""

    hash: str
    files: dict[str, str]


def list_folder(workspace: Workspace, folder: str, revision: str = "") -> Listing:
    """List the files of a folder that DVC tracks: those that are there or, with a git revision, those that it had.

    A revision that does not have the folder lists nothing. A `Problem` tells that the folder cannot be read, or that
    neither DVC's cache nor its remote has the list of the revision.
    """
    from dvc.repo import Repo  # takes half a second, and only a round needs it
    from dvc_data.hashfile.build import build

    commit = workspace.commit_of(revision) if revision else ""
    if commit and not workspace.load(f"{folder}.dvc", commit):
        return Listing("", {})
    try:
        with Repo.open(str(workspace.root), rev=commit or None) as repo:
            if commit:
                (out,) = repo.stage.load_one(repo.fs.join(repo.root_dir, f"{folder}.dvc")).outs
                tree: Any = out.get_dir_cache()  # it fetches the list from the remote if need be
            else:
                path = str(workspace.root / folder)
                _, _, tree = build(repo.cache.local, path, repo.fs, "md5", ignore=repo.dvcignore, dry_run=True)
    except OSError as error:
        advice = "Make it readable, or remove it. `dvc checkout` mends links to nothing."
        raise Problem(f"{folder} cannot be read: {error}.", advice=advice) from None
    if tree is None:
        raise lost(folder, commit)
    return Listing(tree.hash_info.value, {"/".join(key): md5.value for key, _, md5 in tree})

"""The folder of a user's project: open it, run DVC and git there, and read files of its past.

`Workspace` does what every step needs. `stages` runs and reads those of dvc.yaml, `listing` names the files of a folder
that DVC tracks, and `locks` stops where another program is at work or was killed.
"""

from helpers.workspace.folder import DECISION, EXTRA, LINEAGE, Workspace
from helpers.workspace.opening import open_workspace

__all__ = ["DECISION", "EXTRA", "LINEAGE", "Workspace", "open_workspace"]

"""Settings of JupyterLab for `make lab`: it saves no buttons, which are dead without the kernel that made them."""

from typing import Any

BUTTONS = "application/vnd.jupyter.widget-view+json"


def leave_out_buttons(model: dict[str, Any], **_: object) -> None:
    """Take the outputs that are widgets out of a notebook that is about to be saved."""
    if model["type"] == "notebook":
        for cell in filter(lambda cell: cell["cell_type"] == "code", model["content"]["cells"]):
            cell["outputs"] = [output for output in cell["outputs"] if BUTTONS not in output.get("data", {})]


c = get_config()  # noqa: F821 (Jupyter gives it)
c.FileContentsManager.pre_save_hook = leave_out_buttons

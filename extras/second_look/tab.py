"""The second look in Label Studio: a tab with the tasks whose labels the old model doubts."""

from collections.abc import Sequence
from pathlib import Path

from extras.label_studio.client import connect
from extras.label_studio.projects import parse_project_url
from extras.label_studio.settings import Settings
from extras.label_studio.tabs import find_tabs, make_tab

TAB = "Second look"


def open_tab(address: str, root: Path, tasks: Sequence[int]) -> str:
    """Make the tab *Second look* of a project hold these tasks alone; without tasks there is no such tab.

    `address` is that of the project, as a browser shows it. Returns the address to open.
    """
    url, project = parse_project_url(address)
    server = connect(Settings.read(root), url)
    for tab in find_tabs(server, project, TAB):
        server.ask("DELETE", f"/api/dm/views/{tab}/")
    page = f"{server.url}/projects/{project}/data"
    if not tasks:
        return page
    # The server takes a list of numbers as a filter, but its page fails on that. So a pattern looks at them as text.
    pattern = f"^({'|'.join(map(str, tasks))})$"
    chosen = {"filter": "filter:tasks:id", "operator": "regex", "type": "String", "value": pattern}
    about = {"filters": {"conjunction": "and", "items": [chosen]}, "columnsDisplayType": {"tasks:id": "String"}}
    return f"{page}?tab={make_tab(server, project, TAB, about)}"

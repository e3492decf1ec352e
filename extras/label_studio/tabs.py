"""The tabs of a project's Data Manager."""

from typing import Any

import pandas as pd

from extras.label_studio.client import Server


def find_tabs(server: Server, project: int, title: str) -> list[int]:
    """The numbers of the tabs of the Data Manager that have a title."""
    tabs = server.ask("GET", "/api/dm/views/", params={"project": project})
    return [tab["id"] for tab in tabs if tab["data"].get("title") == title]


def make_tab(server: Server, project: int, title: str, about: dict[str, Any]) -> int:
    """Make a tab with the columns of one that somebody opens by hand; returns its number."""
    columns = server.ask("GET", "/api/dm/columns", params={"project": project})["columns"]
    names = [f"tasks:{'data.' if column.get('parent') else ''}{column['id']}" for column in columns]
    shown = pd.DataFrame([column.get("visibility_defaults", {}) for column in columns], names)
    hidden = {place: shown.index[shown[place].eq(False)].tolist() for place in shown}
    data = {"title": title, "hiddenColumns": hidden, **about}
    return server.ask("POST", "/api/dm/views/", json={"project": project, "data": data})["id"]

"""Images that the backend cannot have now: the real Label Studio stores nothing for them, and asks again."""

import pytest
from backends import config, labels, retrieve_predictions
from label_studio_server import old_and_new
from servers import serving, wait_until

from extras.backend.app import make_app
from extras.backend.settings import BackendSettings

pytest_plugins = ["served", "connected"]  # their fixtures


@pytest.mark.label_studio
@old_and_new
def test_images_that_were_not_there_get_their_predictions_the_next_time(root, names, server):
    def retrieve() -> dict[str, list[str | None]]:
        tasks = retrieve_predictions(server, project)
        return {task["file_upload"].partition("-")[2]: labels(task["predictions"]) for task in tasks}

    folder, names = root / "extra-data", names[:5]
    project = server.ask("POST", "/api/projects/", json={"title": "Lost", "label_config": config()})["id"]
    files = {name: (name, (folder / name).read_bytes()) for name in names}
    server.ask("POST", f"/api/projects/{project}/import", files=files)
    for name in names[1:]:
        (folder / name).rename(root / name)

    with serving(make_app(root, BackendSettings())) as url:
        backend = server.ask("POST", "/api/ml", json={"project": project, "url": url, "title": "model"})["id"]

        assert [len(retrieve()[name]) for name in names] == [1, 0, 0, 0, 0]
        (folder / names[0]).rename(root / names[0])
        shown = server.ask("POST", f"/api/ml/{backend}/predict/test", params={"random": "true"})  # *Send Test Request*
        assert "LABEL_STUDIO_URL" in str(shown)

        for name in names:
            (root / name).rename(folder / name)
        wait_until(lambda: [len(retrieve()[name]) for name in names] == [1, 1, 1, 1, 1])
        assert None not in [label for (label,) in retrieve().values()]

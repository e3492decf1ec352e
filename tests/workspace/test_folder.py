"""Files of JSON are saved whole, and only if they say something else."""

import json

from helpers.workspace import DECISION, Workspace


def test_a_file_that_is_saved_is_read_as_a_whole_while_it_is_written(tmp_path):
    workspace = Workspace(tmp_path)
    workspace.save("runs/last.json", {"report": "old"})
    with (tmp_path / "runs/last.json").open() as reader:
        workspace.save("runs/last.json", {"report": "new"})
        assert json.load(reader) == {"report": "old"}
    assert workspace.load("runs/last.json") == {"report": "new"}
    assert [file.name for file in (tmp_path / "runs").iterdir()] == ["last.json"]


def test_a_file_that_says_the_same_is_not_written_again(tiny):
    (tiny.root / DECISION).write_text('{"sentence": "Better.", "accepted": true}')
    tiny.save(DECISION, {"accepted": True, "sentence": "Better."})
    assert (tiny.root / DECISION).read_text() == '{"sentence": "Better.", "accepted": true}'
    tiny.save(DECISION, {"accepted": False, "sentence": "Better."})
    assert json.loads((tiny.root / DECISION).read_text())["accepted"] is False

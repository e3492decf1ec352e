"""Settings of the machine: read from the environment or `.env`, and never shown where they hold a key."""

import pytest

from extras.backend.settings import BackendSettings
from helpers.problems import Problem


def test_they_come_from_a_file_and_the_environment_wins(tmp_path, monkeypatch):
    (tmp_path / ".env").write_text("LABEL_STUDIO_URL=hTTp://localhost:8080\nRETRAIN_PROJECT=3  # the digits\n")
    monkeypatch.setenv("RETRAIN_PROJECT", "4")
    settings = BackendSettings.read(tmp_path)
    assert settings.label_studio_url == "hTTp://localhost:8080"
    assert settings.retrain_project == 4


def test_without_any_nothing_is_reached_and_nothing_starts(tmp_path):
    settings = BackendSettings.read(tmp_path)
    assert not settings.label_studio_url
    assert not settings.label_studio_api_key.get_secret_value()
    assert not settings.retrain_project


def test_all_that_cannot_be_used_are_named_without_their_values(tmp_path, monkeypatch):
    (tmp_path / ".env").write_text("LABEL_STUDIO_URL=user:s3cret@host\nRETRAIN_AFTER=many\nBACKEND_USER=a:b\n")
    monkeypatch.setenv("BACKEND_HOSTS", "localhost:9090")
    with pytest.raises(Problem) as problem:
        BackendSettings.read(tmp_path)
    for name in ("LABEL_STUDIO_URL", "RETRAIN_AFTER", "BACKEND_USER", "BACKEND_HOSTS"):
        assert name in str(problem.value)
    assert "s3cret" not in str(problem.value)


def test_a_key_is_not_shown_with_the_others(tmp_path):
    (tmp_path / ".env").write_text("LABEL_STUDIO_API_KEY=s3cret\nBACKEND_PASSWORD=s3cret\n")
    assert "s3cret" not in repr(BackendSettings.read(tmp_path))

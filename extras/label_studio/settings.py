"""The settings of a machine: addresses and keys, from environment variables or a ``.env`` file."""

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from helpers.problems import Problem


class Settings(BaseSettings):
    """Each is an environment variable of the same name in capitals, or a line of ``.env`` at the workspace's root."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    # Where Label Studio runs, such as http://localhost:8080. Images are fetched from this host only.
    label_studio_url: str = Field(default="", pattern=r"^((?i:https?)://[^/\s?#@]+[^\s?#@]*)?$")
    # From Account & Settings in Label Studio: a personal access token or a legacy token.
    label_studio_api_key: SecretStr = SecretStr("")

    @classmethod
    def read(cls, root: Path) -> Self:
        """Read the settings that hold for a workspace; the environment wins over ``.env``.

        A `Problem` names every setting that cannot be used, without its value: it may be a key.
        """
        try:
            return cls(_env_file=root / ".env")
        except ValidationError as error:
            wrong = [f"{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors(include_input=False)]
            advice = "They are in the environment or in `.env`."
            raise Problem("These settings cannot be used.", wrong, advice) from None

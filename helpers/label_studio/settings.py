"""The settings of a machine: addresses and keys, from environment variables or a ``.env`` file."""

from pathlib import Path

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
    # Label Studio sends them to the model as Basic authentication, in ASCII. Without a password, none is asked for.
    backend_user: str = Field(default="label-studio", pattern=r"^[!-9;-~]+$")
    backend_password: SecretStr = SecretStr("")
    # The names under which the backend may be asked, without ports, with spaces between. Empty: any if it has a
    # password, else those of this machine, so that no page in a browser reaches it under a name of its own.
    backend_hosts: str = Field(default="", pattern=r"^( *(\*|(\*\.)?[\w.-]+|\[[\da-fA-F:.]+\])( |$))*$")
    # The folder of the images, relative to the root. Others are fetched from Label Studio.
    backend_images: str = "extra-data"
    # The pixels, in millions, that are decoded at once, and so of the largest picture. A million takes 12 MB meanwhile.
    backend_megapixels: int = Field(default=90, gt=0)
    # The number of the project whose labels retrain the model. 0: nothing starts a training.
    retrain_project: int = Field(default=0, ge=0)
    # Start a training after so many new annotations. 0: only the button of Label Studio does.
    retrain_after: int = Field(default=0, ge=0)


def read_settings(root: Path) -> Settings:
    """Read the settings that hold for a workspace; the environment wins over ``.env``.

    A `Problem` names every setting that cannot be used, without its value: it may be a key.
    """
    try:
        return Settings(_env_file=root / ".env")
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors(include_input=False)]
        raise Problem("These settings cannot be used.", wrong, "They are in the environment or in `.env`.") from None

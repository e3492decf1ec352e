"""The settings of the backend, beside the ones of Label Studio."""

from pydantic import Field, SecretStr

from extras.label_studio.settings import Settings


class BackendSettings(Settings):
    """Each is an environment variable of the same name in capitals, or a line of ``.env`` at the workspace's root."""

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
    # The field of the tasks that names the scene of an image; empty: none does.
    retrain_scene_key: str = ""

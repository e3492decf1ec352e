"""The settings of the pipeline: ``params.yaml``, checked."""

import re
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from helpers.pipeline.paths import PARAMS
from helpers.problems import Problem


class Params(BaseModel):
    """A section of ``params.yaml``: a missing setting has its default; one that is misspelt or wrong is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class StageParams(Params):
    """A section that ``dvc.yaml`` names, without which DVC refuses to run the stage; it may be empty."""


def _check_pattern(pattern: str) -> str:
    """Check a pattern that names scenes: its one group is the scene."""
    try:
        groups = 1 if pattern == "none" else re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"it is no regular expression: {error}") from None
    if groups != 1:
        raise ValueError(f"it has {groups} groups, and needs one: the scene")
    return pattern


class PrepareParams(StageParams):
    """Section ``prepare``: how pictures become arrays and which of them are held out."""

    image_size: int = Field(32, ge=16, le=1024)
    colour: Literal["rgb", "grey"] = "rgb"
    validation_fraction: float = Field(0.2, gt=0, lt=1)
    seed: int = 42
    scene: Annotated[str, AfterValidator(_check_pattern)] = "none"

    @property
    def scene_pattern(self) -> str:
        """The pattern of file names that `helpers.scenes.name_scenes` takes, empty if there is none."""
        return "" if self.scene == "none" else self.scene


class TrainParams(StageParams):
    """Section ``train``: the network, its schedule and its augmentation."""

    launcher: str = "python"
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    threads: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    seed: int = 42
    backbone: str = "none"
    width: int = Field(16, ge=1)
    epochs: int = Field(8, ge=1)
    batch_size: int = Field(32, ge=2)
    learning_rate: float = Field(0.01, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    shift: float = Field(0.06, ge=0, lt=0.5)
    flip: bool = False


DEFAULTS = {"prepare": PrepareParams().model_dump(), "train": TrainParams().model_dump()}

# Settings of earlier versions by their sections, with their fate in words; they have no effect, and stop nothing.
GONE = {
    "decide": {
        "max_label_noise": "`second_look.max_label_noise` has taken its place",
        "max_negative_flips": "images that were right before are counted and shown, and refuse no model",
        "min_class_support": "a class counts if its changed predictions are more than chance explains",
    }
}

OfColours = Annotated[list[float], Field(min_length=3, max_length=3)]


class BackboneParams(Params):
    """The description of a backbone beside its file: how it sees pictures, and its output."""

    image_size: int
    mean: float | OfColours
    scale: float | OfColours
    output: str


Section = TypeVar("Section", bound=Params)


def read_params(section: type[Section], path: Path = Path(PARAMS)) -> Section:
    """Read one section of the settings; a `Problem` names each setting that is unknown or has a wrong value."""
    name = re.sub("(?<=[a-z])(?=[A-Z])", "_", section.__name__.removesuffix("Params")).lower()
    try:
        sections = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        if name in sections or not issubclass(section, StageParams):
            settings, gone = sections.get(name) or {}, GONE.get(name, {})
            return section(**{setting: value for setting, value in settings.items() if setting not in gone})
    except (OSError, yaml.YAMLError, AttributeError, TypeError) as error:
        raise Problem(f"{path} has no readable section `{name}`.", [repr(error)]) from None
    except ValidationError as error:
        advice = "docs/settings.md lists the settings, and docs/pipeline.md those of a backbone."
        wrong = [_describe(name, **fault) for fault in error.errors()]
        raise Problem(f"{path} has settings that cannot be used.", wrong, advice) from None
    raise Problem(
        f"{path} has no section `{name}`.", advice=f"The line `{name}:` is enough: its settings have defaults."
    )


def tell_gone(path: Path = Path(PARAMS)) -> list[str]:
    """Tell, in a sentence each, the fate of the settings of earlier versions that a readable file still has."""
    sections = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    return [
        f"{name}.{setting} in {path.name} has no effect: {fate}."
        for name, settings in GONE.items()
        for setting, fate in settings.items()
        if setting in (sections.get(name) or {})
    ]


def _describe(section: str, *, type: str, loc: tuple[int | str, ...], msg: str, input: object, **_: object) -> str:
    """Say which setting is wrong, and how."""
    setting = ".".join(map(str, (section, *loc)))
    if type == "extra_forbidden":
        return f"{setting}: there is no such setting"
    if type == "missing":
        return f"{setting}: it is missing"
    return f"{setting} = {input!r}: {msg.removeprefix('Value error, ')}"

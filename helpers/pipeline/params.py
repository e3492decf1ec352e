"""The settings of the pipeline: ``params.yaml``, checked."""

from pathlib import Path
from typing import Annotated, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from helpers.pipeline.paths import PARAMS
from helpers.problems import Problem


class Params(BaseModel):
    """A section of ``params.yaml``; a setting that is misspelt, missing or of the wrong type is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class PrepareParams(Params):
    """Section ``prepare``: how pictures become arrays and which of them are held out."""

    image_size: int = Field(ge=16, le=1024)
    colour: Literal["rgb", "grey"]
    validation_fraction: float = Field(gt=0, lt=1)
    seed: int


class TrainParams(Params):
    """Section ``train``: the network, its schedule and its augmentation."""

    launcher: str
    device: Literal["auto", "cpu", "cuda", "mps"]
    threads: int = Field(ge=1)
    seed: int
    backbone: str
    width: int = Field(ge=1)
    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=2)
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    shift: float = Field(ge=0, lt=0.5)
    flip: bool


OfColours = Annotated[list[float], Field(min_length=3, max_length=3)]


class BackboneParams(Params):
    """The description of a backbone beside its file: how it sees pictures, and its output."""

    image_size: int
    mean: float | OfColours
    scale: float | OfColours
    output: str


class DecideParams(Params):
    """Section ``decide``: the policy by which a new model is accepted."""

    margin: float = Field(ge=0, le=1)
    max_negative_flips: float = Field(ge=0, le=1)
    min_class_support: int = Field(ge=1)
    max_class_drop: float = Field(ge=0, le=1)
    max_label_noise: float = Field(ge=0, le=1)


Section = TypeVar("Section", bound=Params)


def read_params(section: type[Section], path: Path = Path(PARAMS)) -> Section:
    """Read one section of the settings; a `Problem` names each setting that is unknown, missing or out of range."""
    name = section.__name__.removesuffix("Params").lower()
    try:
        return section(**yaml.safe_load(path.read_text(encoding="utf-8"))[name])
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise Problem(f"{path} has no readable section `{name}`.", [repr(error)]) from None
    except ValidationError as error:
        wrong = [f"{name}.{'.'.join(map(str, e['loc']))} = {e['input']!r}: {e['msg']}" for e in error.errors()]
        raise Problem(f"{path} has settings that cannot be used.", wrong) from None

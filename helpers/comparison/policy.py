"""The policy by which a new model is accepted."""

from pydantic import Field

from helpers.pipeline.params import Params


class DecideParams(Params):
    """Section ``decide`` of ``params.yaml``: the policy by which a new model is accepted."""

    margin: float = Field(0.02, ge=0, le=1)
    confidence: float = Field(0.95, gt=0.5, lt=1)
    max_class_drop: float = Field(0.1, ge=0, le=1)

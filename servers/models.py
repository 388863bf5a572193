"""The registry of models."""

from . import dispatch, handoff, reuseport, shared, single
from .model import Model

MODELS: tuple[Model, ...] = (single.MODEL, handoff.MODEL, dispatch.MODEL, shared.MODEL, reuseport.MODEL)


def model_named(name: str) -> Model:
    """Return the model of this name; KeyError if there is none."""
    return {model.name: model for model in MODELS}[name]

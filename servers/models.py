"""The registry: every model that can be served."""

from . import dispatch, handoff, reuseport, shared, single
from .model import Model

MODELS: tuple[Model, ...] = (single.MODEL, handoff.MODEL, dispatch.MODEL, shared.MODEL, reuseport.MODEL)


def model_named(name: str) -> Model:
    """The model of this name; KeyError when there is none."""
    return {model.name: model for model in MODELS}[name]

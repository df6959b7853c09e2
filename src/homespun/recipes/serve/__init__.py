"""Runs behind the server: the only place where the rooms of the engine and of the server meet.

models  which runs, under which names
seat    an engine as the server wants it
"""

from homespun.recipes.serve.models import runs_in, served_model, served_models
from homespun.recipes.serve.seat import EngineSeat

__all__ = ["EngineSeat", "runs_in", "served_model", "served_models"]

"""Models from elsewhere, as runs.

hub      the files of a model on a Hugging Face hub, fetched and checked
places   a folder, or a name on the hub, as a folder
bring    import_model: a folder or a model on the hub becomes a run
loading  the same in one call, kept in the cache folder
"""

from homespun.recipes.imports.bring import import_model
from homespun.recipes.imports.hub import fetch_model
from homespun.recipes.imports.loading import load
from homespun.recipes.imports.places import model_place

__all__ = ["fetch_model", "import_model", "load", "model_place"]

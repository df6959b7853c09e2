"""The fixture of `sentence_files`, for every test of this folder that has no texts of its own."""

from sentence_files import texts  # type: ignore[import-not-found]

__all__ = ["texts"]

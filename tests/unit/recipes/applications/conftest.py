"""The fixtures of `task_files`, for every test of this folder."""

from task_files import make, tiny_bert  # type: ignore[import-not-found]

__all__ = ["make", "tiny_bert"]

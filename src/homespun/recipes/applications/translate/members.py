"""Several models that learn the same pairs, each by itself, to write together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from homespun.core import derive_seed
from homespun.recipes.applications.contract import Lesson
from homespun.recipes.applications.neural import join_kept
from homespun.recipes.applications.translate.task import Pair

if TYPE_CHECKING:
    from homespun.models import Rewriter

MemberT = TypeVar("MemberT")
MOST_MEMBERS = 16


def member_folders(folder: Path, num: int) -> list[Path]:
    """Where the weights of each member are: of one alone in `folder` itself."""
    return [folder] if num == 1 else [folder / f"member-{at}" for at in range(1, num + 1)]


def learn_members(
    lesson: Lesson[Pair], num: int, learn: Callable[[Lesson[Pair]], MemberT]
) -> list[MemberT]:
    """Have each learn in turn, from draws of its own and for its share of the time. Killed and
    called again, it goes on with the one that was not done.

    Args:
        num: of members; one alone learns as if there were no others to be.
        learn: one, from a lesson in a folder of its own.
    """
    if num == 1:
        return [learn(lesson)]
    seconds = None if lesson.seconds is None else lesson.seconds / num
    members: list[MemberT] = []
    folders = member_folders(lesson.folder, num)
    for at, folder in enumerate(folders, 1):
        folder.mkdir(exist_ok=True)
        lesson.progress.say(f"model {at} of {num} that will write together")
        seed = derive_seed(lesson.seed, f"member-{at}")
        members.append(learn(replace(lesson, folder=folder, seed=seed, seconds=seconds)))
    join_kept(lesson.folder, folders)
    return members


def put_together(members: Sequence[Rewriter]) -> Rewriter:
    """One that writes as all of them do."""
    from homespun.models import Ensemble

    return members[0] if len(members) == 1 else Ensemble(members).eval()

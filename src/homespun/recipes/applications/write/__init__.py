"""Texts of one's own kind, written on: stories that end, poems that keep a form, code that parses.

task      columns, and how good what was written is
forms     which form texts have, and whether one keeps it
decoder   a decoder learned from nothing, a run that goes on learning, and a run as it is
writer    what was learned: writes, again where a form is not kept, and scores texts
"""

from homespun.recipes.applications.write.task import Write

__all__ = ["Write"]

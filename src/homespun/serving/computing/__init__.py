"""Where requests are computed, in another thread or another process.

desk      a thread that computes, as the event loop meets it, and what a process of its own runs
process   such a process, and another where it ends
rounds    what it does: takes work, lets engines make steps, tells what came of it
messages  what goes between
wire      the same as lines of JSON, for a process
"""

from homespun.serving.computing.desk import Desk, ThreadDesk, serve_desk
from homespun.serving.computing.messages import Ask, Drop, Embed, Ended, News, Numbers, Said, Work
from homespun.serving.computing.process import ProcessDesk
from homespun.serving.computing.rounds import Rounds

__all__ = [
    "Ask",
    "Desk",
    "Drop",
    "Embed",
    "Ended",
    "News",
    "Numbers",
    "ProcessDesk",
    "Rounds",
    "Said",
    "ThreadDesk",
    "Work",
    "serve_desk",
]

"""The conversation at the terminal, shared by `chat` and `spin`.

loop      asks, answers, and does what lines that begin with "/" say
commands  which of those there are, in words
reading   what a person types: line editing with history, or lines of a pipe
stopping  Ctrl-C stops an answer and not the program
settings  /set: how answers are sampled
saved     /save and /load: a conversation as a file
why       /why: what else the model might have said
"""

from homespun.cli.talk.loop import Session, Talk
from homespun.cli.talk.reading import Reader, open_reader

__all__ = ["Reader", "Session", "Talk", "open_reader"]

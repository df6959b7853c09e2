"""The command line: one file a command, and the manners all commands share.

main       the `homespun` command: assembles the commands, turns every error into one sentence
commands/  one file a command; whatever is heavy is imported inside the command
options    arguments and options that several commands share, checked before any work starts
groups     a command of commands, which lists them when called alone
terminal   UTF-8 output, colours, and how sizes, counts and durations are written
progress   core's Progress, drawn: bars on a terminal, few plain lines in a log
errors     exceptions as one sentence and an exit code
summary    what a finished run says of itself
talk/      the conversation at the terminal, shared by `chat` and `spin`
sampling   options of how answers are made

Nothing heavy is imported before a command needs it: `homespun --help` loads neither torch nor
pydantic.
"""

from homespun.cli.main import main

__all__ = ["main"]

"""A model answers at the terminal.

generate    it continues a text, or a file of them
write       stories, poems with a form, code that parses
chat        a conversation
"""

from homespun.cli.commands.using.chat import chat
from homespun.cli.commands.using.generate import generate
from homespun.cli.commands.using.write import write

__all__ = ["chat", "generate", "write"]

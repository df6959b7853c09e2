"""A model answers at the terminal.

generate    it continues a text, or a file of them
chat        a conversation
"""

from homespun.cli.commands.using.chat import chat
from homespun.cli.commands.using.generate import generate

__all__ = ["chat", "generate"]

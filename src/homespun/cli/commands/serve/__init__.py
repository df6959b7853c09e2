"""`homespun serve`.

command  the command
places   what is to be served, by which names, and for whom
"""

from homespun.cli.commands.serve.command import serve

__all__ = ["serve"]

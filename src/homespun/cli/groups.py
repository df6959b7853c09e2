"""A command of commands, which lists them when it is called alone."""

from __future__ import annotations

import typer


def new_group(help: str) -> typer.Typer:
    """A group to hang commands on. With its callback, a group of one command stays a group."""
    group = typer.Typer(help=help)
    group.callback(invoke_without_command=True, help=help)(help_when_alone)
    return group


def help_when_alone(context: typer.Context) -> None:
    """Show the help page where no command follows."""
    if context.invoked_subcommand is None:
        page = context.get_help()  # typer prints it itself where rich is installed
        if page:
            typer.echo(page)

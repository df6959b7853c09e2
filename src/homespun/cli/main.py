"""The `homespun` command."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from homespun.cli.commands import add_commands
from homespun.cli.groups import help_when_alone
from homespun.cli.terminal import open_streams, say
from homespun.cli.together import is_told_elsewhere, joins_in, let_another_tell

STOPPED, PIPE_CLOSED = 130, 141  # 128 + SIGINT, 128 + SIGPIPE, as shells count


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        say(f"homespun {version('homespun')}")
        raise typer.Exit


def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error; works anywhere.")
    ] = False,
) -> None:
    """Spin raw text into a language model you can talk to, on the machine you own.

    Begin with `homespun spin FOLDER --minutes 10`.
    """
    help_when_alone(context)


def build_app(only: str | None = None) -> typer.Typer:
    """The command tree. Building it imports nothing heavy.

    Args:
        only: the one command to build, as typer reads the options of all it is given, which takes
            longer than a light command itself; all where it names none.
    """
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.callback(invoke_without_command=True)(_root)
    add_commands(app)
    commands = [command for command in app.registered_commands if command.name == only]
    groups = [group for group in app.registered_groups if group.name == only]
    if commands or groups:
        app.registered_commands, app.registered_groups = commands, groups
    return app


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: what stands after `homespun`; the process's own arguments where None.

    Returns:
        The exit code, see `homespun.cli.errors`.
    """
    open_streams()
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    arguments = [a for a in arguments if a != "--debug"]
    try:
        if not joins_in(arguments):
            return 0
        app = build_app(arguments[0] if arguments else None)
        code = app(args=arguments, prog_name="homespun", standalone_mode=False)
        sys.stdout.flush()
        if code == STOPPED:  # typer's own way to pass Ctrl-C on
            raise KeyboardInterrupt
    except SystemExit as leave:
        if isinstance(leave.__context__, BrokenPipeError):  # so rich and typer say that it closed
            return _leave_closed_pipe()
        if leave.code:  # where another process failed
            let_another_tell()
        return leave.code if isinstance(leave.code, int) else 1
    except BrokenPipeError:
        return _leave_closed_pipe()
    except BaseException as error:
        return _explain(error, debug=debug)
    return code if isinstance(code, int) else 0


def _explain(error: BaseException, *, debug: bool) -> int:
    from homespun.cli.errors import explain, print_error, print_stopped

    is_quiet = is_told_elsewhere(error)
    if isinstance(error, KeyboardInterrupt):
        if not is_quiet:
            print_stopped()
        return STOPPED
    if debug and not is_quiet:
        import traceback

        traceback.print_exception(error)
    fault = explain(error)
    if is_quiet:
        let_another_tell()
    else:
        print_error(fault.sentence)
    if isinstance(error, OSError):
        try:
            sys.stdout.flush()
        except OSError:  # a full disk: what could not be written is tried again at exit
            _drop_output()
    return fault.exit_code


def _leave_closed_pipe() -> int:
    _drop_output()
    return PIPE_CLOSED


def _drop_output() -> None:
    """Point stdout at nothing, or the interpreter complains when it flushes at exit, and ends with
    a code of its own."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

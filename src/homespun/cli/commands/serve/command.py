"""`homespun serve`: models behind the OpenAI API, and a page to talk to them."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from homespun.cli.commands.serve.places import host_names, key_hashes, places_of
from homespun.cli.options import RunsOption, number, run_name
from homespun.cli.sampling import DeviceOption, KernelsOption, WeightsOption


def serve(
    runs_given: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME=]RUN",
            help="Runs to serve, a folder of runs, an encoder's folder (for embeddings), or what "
            "`finetune translate` or `summarise` wrote; all runs under runs/ where none is named.",
        ),
    ] = None,
    host: Annotated[
        str, typer.Option("--host", help="Where to listen; beyond this machine only with keys.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", callback=number(0, 65535), help="0 takes any that is free.")
    ] = 8000,
    keys: Annotated[
        Path | None, typer.Option("--keys", help="A file of keys; who asks must have one.")
    ] = None,
    new_key: Annotated[
        str | None,
        typer.Option("--new-key", callback=run_name, help="Add a key to --keys, show it, leave."),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", help="A further name by which this server may be called."),
    ] = None,
    settings: Annotated[
        Path | None, typer.Option("--settings", help="Limits of the server, a JSON file.")
    ] = None,
    any_model: Annotated[
        bool, typer.Option("--any-model", help="Any name means the first model; to test clients.")
    ] = False,
    preferences: Annotated[
        Path | None,
        typer.Option(
            "--preferences",
            help="Where choices between answers are kept; preferences.jsonl in the folder of runs.",
        ),
    ] = None,
    log: Annotated[
        Path | None,
        typer.Option("--log", help="A line for each answer goes here: path, status, seconds, key."),
    ] = None,
    moderator: Annotated[
        Path | None,
        typer.Option(
            "--moderator", help="What `finetune classify` learned: it answers /v1/moderations."
        ),
    ] = None,
    flag: Annotated[
        list[str] | None,
        typer.Option("--flag", help="A class of the moderator that is not wanted."),
    ] = None,
    certificate: Annotated[
        Path | None,
        typer.Option("--tls-certificate", help="Serve https: a PEM file of the certificate."),
    ] = None,
    certificate_key: Annotated[
        Path | None, typer.Option("--tls-key", help="The certificate's private key, a PEM file.")
    ] = None,
    weights: WeightsOption = "float32",
    kernels: KernelsOption = "auto",
    device: DeviceOption = "auto",
    rows: Annotated[
        int | None,
        typer.Option(
            "--rows", callback=number(1, 4096), help="Answers written together, of each model."
        ),
    ] = None,
    kv_tokens: Annotated[
        int | None,
        typer.Option(
            "--kv-tokens", callback=number(16, 1 << 30), help="Tokens each model remembers."
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads", callback=number(1, 1024), help="Each model computes on; else it tries."
        ),
    ] = None,
    runs: RunsOption = Path("runs"),
) -> None:
    """Answer programs that speak the OpenAI API, and show a page to talk to the models."""
    from homespun.cli.terminal import err, out, say, visible
    from homespun.core import ConfigError, parse_config
    from homespun.core.files import read_json
    from homespun.serving import ServerConfig, add_key, check_free, check_open, tls_files

    if new_key is not None:
        if keys is None:
            raise ConfigError("--new-key needs a file", remedy="say which with --keys FILE")
        key = add_key(keys, new_key)
        out().print(key, highlight=False, soft_wrap=True)
        # Beside the output, which a script may want to be the key alone.
        told = f"this is the key '{new_key}'; it is shown once, {keys} holds only its hash"
        err().print(visible(told), style="dim", soft_wrap=True)
        return
    hashes = key_hashes(keys)
    check_open(host, has_keys=bool(hashes))
    tls = tls_files(certificate, certificate_key)
    limits = ServerConfig()
    if settings is not None:
        if not settings.is_file():
            raise ConfigError(
                f"there is no file {settings}", remedy="leave --settings out, or write it"
            )
        limits = parse_config(
            ServerConfig, read_json(settings, remedy="mend it"), where=str(settings)
        )
    if flag and moderator is None:
        raise ConfigError("--flag is for a moderator", remedy="name it with --moderator FOLDER")
    names = host_names(host, allow_host or [])
    places = places_of(runs_given or [], runs=runs)

    from homespun.recipes.process import keep_memory
    from homespun.recipes.serve import EngineWish, moderator_of, open_desk
    from homespun.serving import AccessLog, KeyRing, PreferenceLog, Server, build_page, create_app

    check_free(host, port)  # before models are opened, which may take minutes
    judge = None if moderator is None else moderator_of(moderator, flag or ())
    choices = PreferenceLog(preferences or runs / "preferences.jsonl")
    if preferences is not None:  # a folder of runs may be there to be read alone
        choices.check()
    page, is_public = build_page(choices)
    shown = f"[{host}]" if ":" in host else host
    on_answer = None if log is None else AccessLog(log)  # before models are opened
    _log_to_stderr()
    wish = EngineWish(weights, kernels, device, rows, kv_tokens, threads)
    with open_desk(places, wish, limits=limits) as (models, desk):
        app = create_app(
            models,
            desk,
            config=limits,
            keys=KeyRing(hashes),
            hosts=names,
            moderator=judge,
            extra=[page],
            is_public=is_public,
            any_model=any_model,
            on_answer=on_answer,
        )

        def started(at: int) -> None:
            listed = ", ".join(model.name for model in models)
            for model in models:
                if model.engine.notice:
                    say(f"{model.name}: {model.engine.notice}", "dim")
            if host in ("0.0.0.0", "::", "") and not allow_host:
                say("it answers to the name localhost alone: add --allow-host NAME for others")
            scheme = "http" if tls is None else "https"
            say(f"serving {listed} at {scheme}://{shown}:{at}/; the API is under /v1; Ctrl-C stops")

        def draining(num_requests: int) -> None:
            what = "1 request is" if num_requests == 1 else f"{num_requests} requests are"
            seconds = f"{limits.drain_seconds:g} seconds at most"
            told = f"stopping: {what} answered first, in {seconds}; Ctrl-C again does not wait"
            with contextlib.suppress(OSError, SystemExit):  # whoever read it may be gone
                err().print(told, style="dim", soft_wrap=True)

        keep_memory()
        Server(app, host=host, port=port, on_start=started, on_drain=draining, tls=tls).run()


def _log_to_stderr() -> None:
    """What goes wrong inside is told here, with its place, and never to whoever asks. uvicorn would
    say the same once more."""
    import logging

    from homespun.recipes.process import log_to_stderr

    logging.getLogger("uvicorn").addHandler(logging.NullHandler())
    logging.getLogger("uvicorn").propagate = False
    log_to_stderr()

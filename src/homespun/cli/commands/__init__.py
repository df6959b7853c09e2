"""One file a command. `add_commands` hangs them all on the `homespun` command.

spin                                          text to talking model, in one go
corpus tokenizer plan pretrain finetune       its stages, one by one
encoder encoder-decoder recurrent             models of other families
words ngrams                                  what is learned by counting
continue extend average                       models that go on learning
eval report runs score                        what came out
import generate write chat serve export       using a model
apply search embed                            using what was learned of a task
doctor data bench scale tune                  the machine, the texts at hand, measurements, the law
"""

from __future__ import annotations

import typer

from homespun.cli.commands import (
    bench,
    corpus,
    counted,
    data,
    doctor,
    evaluate,
    export,
    families,
    finetune,
    further,
    import_,
    plan,
    pretrain,
    report,
    runs,
    scaling,
    serve,
    spin,
    tasks,
    tokenizer,
    using,
)

__all__ = ["add_commands"]

_START, _STAGES, _COUNTED, _FURTHER, _RESULTS, _USE, _AROUND = (
    "Start here",
    "Stage by stage",
    "Learned by counting",
    "Go on learning",
    "What came out",
    "Use a model",
    "Around",
)


def add_commands(app: typer.Typer) -> None:
    """Add every command to `app`, in the order of the help page."""
    app.command("spin", rich_help_panel=_START)(spin.spin)
    app.command("doctor", rich_help_panel=_START)(doctor.doctor)
    app.add_typer(corpus.build_group(), name="corpus", rich_help_panel=_STAGES)
    app.add_typer(tokenizer.build_group(), name="tokenizer", rich_help_panel=_STAGES)
    app.command("plan", rich_help_panel=_STAGES)(plan.plan)
    app.command("pretrain", rich_help_panel=_STAGES)(pretrain.pretrain)
    app.command("encoder", rich_help_panel=_STAGES)(families.encoder)
    app.command("encoder-decoder", rich_help_panel=_STAGES)(families.encoder_decoder)
    app.add_typer(families.build_recurrent(), name="recurrent", rich_help_panel=_STAGES)
    app.add_typer(finetune.build_group(), name="finetune", rich_help_panel=_STAGES)
    counted.add_counted(app, panel=_COUNTED)
    further.add_further(app, panel=_FURTHER)
    app.command("eval", rich_help_panel=_RESULTS)(evaluate.evaluate)
    app.command("report", rich_help_panel=_RESULTS)(report.report)
    app.command("runs", rich_help_panel=_RESULTS)(runs.runs)
    app.command("score", rich_help_panel=_RESULTS)(tasks.score)
    app.command("import", rich_help_panel=_USE)(import_.import_)
    app.command("generate", rich_help_panel=_USE)(using.generate)
    app.command("write", rich_help_panel=_USE)(using.write)
    app.command("chat", rich_help_panel=_USE)(using.chat)
    app.command("serve", rich_help_panel=_USE)(serve.serve)
    app.add_typer(tasks.build_group(), name="apply", rich_help_panel=_USE)
    app.command("search", rich_help_panel=_USE)(tasks.search)
    app.command("embed", rich_help_panel=_USE)(tasks.embed)
    app.add_typer(export.build_group(), name="export", rich_help_panel=_USE)
    app.add_typer(data.build_group(), name="data", rich_help_panel=_AROUND)
    app.add_typer(bench.build_group(), name="bench", rich_help_panel=_AROUND)
    app.add_typer(scaling.build_group(), name="scale", rich_help_panel=_AROUND)
    app.command("tune", rich_help_panel=_AROUND)(scaling.tune)

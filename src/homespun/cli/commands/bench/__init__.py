"""`homespun bench NAME`: one measurement a file, each with a table for people and JSON for records.

machine      what `homespun doctor` measures
startup      how soon the command line answers, and that it does so without torch
train        tokens a second, ours beside others', and the share of the machine's limit
shakespeare  how low a loss by characters, in how much time
law          a run foretold by the scaling law, ten times larger than those behind it
plan         whether plans keep their word: time, loss, memory
decode       how fast answers are written, by weights and batch
text         bits per byte of ordinary text, after the same time as others
questions    sets of questions with options, beside chance
lm_eval      tasks of lm-eval's own collection
ablation     what each part of a recipe is worth, by several seeds
families     every kind of language model, after the same time
distributed  whether several processes train as one does
peer_options, shown   options and tables they share
"""

from __future__ import annotations

import typer

from homespun.cli.commands.bench.ablation import ablation
from homespun.cli.commands.bench.decode import decode
from homespun.cli.commands.bench.distributed import distributed
from homespun.cli.commands.bench.families import families
from homespun.cli.commands.bench.law import law
from homespun.cli.commands.bench.lm_eval import lm_eval
from homespun.cli.commands.bench.machine import machine
from homespun.cli.commands.bench.plan import plan
from homespun.cli.commands.bench.questions import questions
from homespun.cli.commands.bench.shakespeare import shakespeare
from homespun.cli.commands.bench.startup import startup
from homespun.cli.commands.bench.text import text
from homespun.cli.commands.bench.train import train
from homespun.cli.groups import new_group

__all__ = ["build_group"]


def build_group() -> typer.Typer:
    group = new_group("Measure something, and say how.")
    group.command("machine")(machine)
    group.command("startup")(startup)
    group.command("train")(train)
    group.command("shakespeare")(shakespeare)
    group.command("text")(text)
    group.command("ablation")(ablation)
    group.command("families")(families)
    group.command("questions")(questions)
    group.command("lm-eval")(lm_eval)
    group.command("decode")(decode)
    group.command("distributed")(distributed)
    group.command("law")(law)
    group.command("plan")(plan)
    return group

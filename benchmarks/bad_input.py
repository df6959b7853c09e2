"""Everything a person or a machine can get wrong, asked of the real command.

Each case prepares a folder, runs `homespun` in it, and demands: an exit code that is not zero, one
sentence beginning with "error:" that names the thing and a remedy, no traceback, and a folder that
is afterwards as it was. `tests/integration/test_bad_input.py` runs the same cases as a test.

    python benchmarks/bad_input.py [WORD]     the cases whose name has WORD, as a table
"""

from __future__ import annotations

import argparse
import fnmatch
import hashlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bad_input_cases import CASES
from bad_input_stage import Case, Place, SkipCaseError, make_run, open_place

LONGEST_SENTENCE = 500


class Outcome(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def snapshot(folder: Path) -> dict[str, str]:
    """Every file below `folder`, and a digest of what is in it."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        found[str(path.relative_to(folder))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def complaints(
    case: Case, outcome: Outcome, before: dict[str, str], after: dict[str, str]
) -> list[str]:
    """What is not as it should be; empty where all is."""
    found = []
    lines = outcome.err.strip().splitlines()
    said = [line for line in lines if line.startswith("error:")]
    sentence = said[-1] if said else ""
    if outcome.code != case.code:
        found.append(f"exit code {outcome.code}, not {case.code}")
    if len(said) != 1 or lines[-1:] != said:
        found.append(f"not one last sentence but {lines[-3:]}")
    if "Traceback" in outcome.err + outcome.out or "something unexpected" in sentence:
        found.append("a traceback, or one saved")
    if not re.search(r"[;?] ?\S", sentence.removeprefix("error:")):
        found.append("no remedy")
    if len(sentence) > LONGEST_SENTENCE:
        found.append(f"a sentence of {len(sentence)} characters")
    found += [
        f"does not mention {word}" for word in case.mentions if word.lower() not in sentence.lower()
    ]
    always = ("runs/*/lock", "runs/*/clock.json")
    for name in sorted(before.keys() | after.keys()):
        changed = before.get(name) != after.get(name)
        allowed = any(fnmatch.fnmatch(name, pattern) for pattern in always + case.may_change)
        if changed and not allowed:
            fate = "lost" if name not in after else "made" if name not in before else "changed"
            found.append(f"{name} was {fate}")
    return found


def run_process(words: Sequence[str], place: Place) -> Outcome:
    """The command as a process of its own."""
    code = "import sys; from homespun.cli import main; sys.exit(main())"
    arguments: dict[str, Any] = {"env": dict(os.environ), **place.arguments}
    arguments["env"] = {**arguments["env"], "HOMESPUN_CACHE": str(place.folder / "cache")}
    done = subprocess.run(
        [*place.prefix, sys.executable, "-c", code, *words],
        cwd=place.folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
        **arguments,
    )
    return Outcome(
        done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    )


def judge(
    case: Case, place: Place, run: Callable[[list[str], Place], Outcome]
) -> tuple[str, list[str]]:
    """Play a case; returns the sentence and what is wrong with it. Raises SkipCaseError."""
    words = case.prepare(place)
    before = snapshot(place.folder)
    outcome = run(words, place)
    after = snapshot(place.folder)
    lines = outcome.err.strip().splitlines()
    return (lines[-1] if lines else ""), complaints(case, outcome, before, after)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("word", nargs="?", default="")
    wanted = [case for case in CASES if parser.parse_args().word in case.kind]
    num_wrong = num_skipped = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        finished = make_run(folder / "finished")
        for number, case in enumerate(wanted):
            with open_place(finished, folder / f"case-{number}") as place:
                try:
                    sentence, wrong = judge(case, place, run_process)
                except SkipCaseError as reason:
                    num_skipped += 1
                    print(f"skip  {case.kind}: {reason}")
                    continue
            num_wrong += bool(wrong)
            print(f"{'BAD ' if wrong else 'good'}  {case.kind}\n      {sentence}")
            for complaint in wrong:
                print(f"      ! {complaint}")
    print(f"{len(wanted)} cases, {num_wrong} wrong, {num_skipped} skipped")
    return 1 if num_wrong else 0


if __name__ == "__main__":
    sys.exit(main())

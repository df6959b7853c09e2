"""Under torchrun one process speaks."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from homespun.cli import together
from homespun.cli.main import main
from homespun.cli.together import is_told_elsewhere, joins_in
from homespun.core import DataError
from homespun.core.processes import FIRST_TO_FAIL
from homespun.training.distributed.world import OtherProcessFailed


def be(monkeypatch: pytest.MonkeyPatch, rank: int) -> None:
    told = {"RANK": rank, "WORLD_SIZE": 2, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": 2}
    for name, value in told.items():
        monkeypatch.setenv(name, str(value))


def test_a_follower_leaves_what_one_can_do_to_the_leader(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    be(monkeypatch, 1)
    assert main(["runs", "--runs", str(tmp_path)]) == 0
    assert capsys.readouterr() == ("", "")
    be(monkeypatch, 0)
    assert main(["runs", "--runs", str(tmp_path)]) == 0
    assert capsys.readouterr().out != ""


def test_a_follower_is_quiet_where_it_joins_in(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    be(monkeypatch, 1)
    with monkeypatch.context() as inside:
        inside.setattr(sys, "stdout", sys.stdout)  # is put back afterwards
        assert joins_in(["pretrain", "runs/x"])
        print("not seen")
        sys.stdout.close()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("words", "joins"),
    [
        (["spin", "texts"], True),
        (["plan", "runs/x"], True),
        (["finetune", "chat", "runs/x"], True),
        (["continue", "runs/x", "texts"], True),
        (["extend", "context", "runs/x"], True),
        (["finetune", "classify", "a.jsonl"], False),
        (["finetune", "tag", "a.conll"], False),
        (["finetune"], False),
        (["tune", "runs/x"], False),
    ],
)
def test_a_follower_joins_in_only_where_it_is_called(
    monkeypatch: pytest.MonkeyPatch, words: list[str], joins: bool
) -> None:
    be(monkeypatch, 1)
    with monkeypatch.context() as inside:
        inside.setattr(sys, "stdout", sys.stdout)
        assert joins_in(words) is joins
        if joins:
            sys.stdout.close()


def test_what_all_fail_at_is_said_by_the_leader(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(together.time, "sleep", slept.append)
    for rank, expected in ((0, "there is no run"), (1, "")):
        be(monkeypatch, rank)
        with monkeypatch.context() as inside:
            inside.setattr(sys, "stdout", sys.stdout)
            assert main(["pretrain", str(tmp_path / "nowhere")]) == 1
            if rank:
                sys.stdout.close()
        told = capsys.readouterr().err
        assert expected in told
        assert bool(told) == bool(expected)
        # Left it at once, torchrun would end the leader before that has spoken.
        assert slept == ([together.PATIENCE_SECONDS] if rank else [])


@pytest.mark.parametrize("rank", [0, 1])
def test_who_leaves_for_anothers_failure_lets_it_tell(
    monkeypatch: pytest.MonkeyPatch, rank: int
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(together.time, "sleep", slept.append)

    def leave(arguments: list[str]) -> bool:
        raise OtherProcessFailed(3)

    monkeypatch.setattr(sys.modules["homespun.cli.main"], "joins_in", leave)
    assert main(["pretrain", "runs/x"]) == 3  # alone there is nobody to wait for
    assert slept == []
    be(monkeypatch, rank)
    assert main(["pretrain", "runs/x"]) == 3
    assert slept == [together.PATIENCE_SECONDS]


def test_a_followers_own_failure_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    be(monkeypatch, 1)
    error = DataError("a shard is damaged")
    assert is_told_elsewhere(error)
    error.add_note(f"{FIRST_TO_FAIL} 1 of 2")
    assert not is_told_elsewhere(error)

"""The numbers of a stage: `metrics.jsonl`, and TensorBoard events of the same rows.

`metrics.jsonl` is the record: one row a step, in order, none twice and none missing, also after
kills. The event files are for looking at.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from homespun.core.files import os_error, read_jsonl, write_bytes

_OF_EVALUATION = ("eval", "sample")
_CURVES = {
    "train": ("loss", "lr", "grad_norm", "tokens_per_second", "epoch"),
    "eval": ("loss", "bits_per_byte"),
}


class RowLog(Protocol):
    """Where a stage writes its rows."""

    def write(self, row: dict[str, Any]) -> None: ...
    def go_back(self, step: int, *, is_evaluated: bool) -> None: ...
    def flush(self) -> None: ...
    def fsync(self) -> None: ...
    def sync(self) -> None: ...
    def close(self) -> None: ...


class SilentLog:
    """Writes nothing: of several processes one keeps the record."""

    def write(self, row: dict[str, Any]) -> None:
        pass

    def go_back(self, step: int, *, is_evaluated: bool) -> None:
        pass

    def flush(self) -> None:
        pass

    def fsync(self) -> None:
        pass

    def sync(self) -> None:
        pass

    def close(self) -> None:
        pass


class MetricsLog:
    """Appends rows; a killed process loses at most a second of them, and training repeats those.

    Args:
        stage_dir: the folder of `metrics.jsonl`.
        step: completed steps of the checkpoint training goes on from; rows behind it are removed,
            and a row cut off by a crash too.
        is_evaluated: whether that checkpoint knows of an evaluation of its step. Where it does not,
            the evaluation is made again, so rows of an earlier one are removed.
        tensorboard: whether to write event files.

    Raises:
        BudgetError, RunError: the files cannot be written. DataError: a row is not JSON.
    """

    def __init__(
        self, stage_dir: Path, *, step: int, is_evaluated: bool = True, tensorboard: bool = True
    ) -> None:
        self._path = stage_dir / "metrics.jsonl"
        self._events: _Events | None = None
        self._open(step, is_evaluated)
        if tensorboard:
            try:
                self._events = _Events(stage_dir, step)
            except OSError as error:
                self._file.close()
                raise os_error(error, f"writing the event files of {stage_dir}") from error

    def write(self, row: dict[str, Any]) -> None:
        """Append one row. NaN and infinities must have been replaced."""
        line = json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        try:
            self._file.write(line)
            if self._events:
                self._events.write(row)
            if time.monotonic() - self._flushed >= 1.0:
                self._flush()
        except OSError as error:
            raise os_error(error, f"writing {self._path}") from error

    def go_back(self, step: int, *, is_evaluated: bool) -> None:
        """Remove the rows behind `step`, as on a new start."""
        self.flush()
        self._file.close()
        self._open(step, is_evaluated)
        if self._events:
            self._events.go_back(step)

    def flush(self) -> None:
        """Hand all rows to the operating system."""
        try:
            self._flush()
        except OSError as error:
            raise os_error(error, f"writing {self._path}") from error

    def fsync(self) -> None:
        """Make the rows flushed so far durable; may be called from another thread."""
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise os_error(error, f"writing {self._path}") from error

    def sync(self) -> None:
        """Make all rows durable."""
        self.flush()
        self.fsync()

    def close(self) -> None:
        try:
            self._file.close()
            if self._events:
                self._events.close()
        except OSError as error:
            raise os_error(error, f"writing {self._path}") from error

    def _open(self, step: int, is_evaluated: bool) -> None:
        truncate_rows(self._path, step, is_evaluated=is_evaluated)
        try:
            self._file = open(self._path, "ab", buffering=1 << 16)  # noqa: SIM115
        except OSError as error:
            raise os_error(error, f"writing {self._path}") from error
        self._flushed = time.monotonic()

    def _flush(self) -> None:
        self._file.flush()
        if self._events:
            self._events.flush()
        self._flushed = time.monotonic()


def truncate_rows(path: Path, step: int, *, is_evaluated: bool = True) -> None:
    """Keep the rows of `path` up to `step`, whole lines only; of `step` itself those from an
    evaluation on only where `is_evaluated`: it comes last, and finds what is off once more when it
    is made again. Rewritten at once or not at all."""
    if not path.is_file():
        return
    kept = b"".join(
        json.dumps(row, ensure_ascii=False).encode() + b"\n"
        for row in _rows_up_to(path, step, is_evaluated=is_evaluated)
    )
    if path.stat().st_size != len(kept):
        write_bytes(path, kept)


def _rows_up_to(path: Path, step: int, *, is_evaluated: bool) -> Iterator[dict[str, Any]]:
    for row in read_jsonl(path):
        if row["step"] == step and row["kind"] in _OF_EVALUATION and not is_evaluated:
            return
        if row["step"] <= step:
            yield row


class _Events:
    """TensorBoard events through tensorboardX's file writer, without its queue and thread."""

    def __init__(self, stage_dir: Path, step: int) -> None:
        # Imported here: it brings protobuf, and is quick only where torch is loaded already.
        from tensorboardX import summary
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto import event_pb2

        proto: Any = event_pb2
        self._event: Any = proto.Event
        self._scalar: Any = summary.scalar
        # The suffix keeps two starts within one second from writing over each other.
        suffix = f".{os.getpid()}"
        self._writer: Any = EventsWriter(  # type: ignore[no-untyped-call]
            str(stage_dir / "events"), filename_suffix=suffix
        )
        self._purge: Any = proto.SessionLog(status=proto.SessionLog.START)
        self.go_back(step)

    def go_back(self, step: int) -> None:
        """TensorBoard drops what was logged for later steps, by this process or earlier ones."""
        self._add(step + 1, session_log=self._purge)

    def write(self, row: dict[str, Any]) -> None:
        kind = row["kind"]
        for key in _CURVES.get(kind, ()):
            if row.get(key) is not None:
                self._add(row["step"], summary=self._scalar(f"{kind}/{key}", row[key]))

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()

    def _add(self, step: int, **content: Any) -> None:
        self._writer.write_event(self._event(wall_time=time.time(), step=step, **content))

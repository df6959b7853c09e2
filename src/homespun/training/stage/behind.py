"""One piece of work behind the main thread's back."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Behind:
    """Runs one task at a time in a thread; what it raises is raised where it is waited for."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def start(self, task: Callable[[], None]) -> None:
        """Begin `task`, once the one before is over. Raises what that one raised."""
        self.wait()

        def run() -> None:
            try:
                task()
            except BaseException as error:
                self._error = error

        # No daemon: a process that ends by itself lets the save be whole.
        self._thread = threading.Thread(target=run, name="saving")
        self._thread.start()

    def wait(self) -> None:
        """Return when nothing is under way. Raises what the task raised, once."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._raise()

    def poll(self) -> None:
        """Raises what a task that is over raised, once; never waits."""
        if self._thread is not None and not self._thread.is_alive():
            self.wait()

    def _raise(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

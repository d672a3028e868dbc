"""uvicorn's server, as our commands start it."""

from types import FrameType

import uvicorn

# How many newcomers wait in the system's queue.
BACKLOG = 2048


class Server(uvicorn.Server):
    """Ends at a signal as if nobody had sent it: what is done at an exit is done."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End, as somebody has asked; and not by that signal, with which uvicorn would end the process."""
        super().handle_exit(sig, frame)
        self._captured_signals.clear()

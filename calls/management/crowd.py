"""How many connections each of several processes has, as they tell each other, in a file that they share."""

import mmap
from array import array
from tempfile import TemporaryFile
from typing import IO

# In the place of a count: nobody is there.
ABSENT = -1


def make_counts(processes: int, folder: str | None = None) -> IO[bytes]:
    """Return a file for so many processes, none of which is there yet."""
    counts = TemporaryFile(prefix="connections-", dir=folder)  # noqa: SIM115 - it is closed with the server
    counts.write(array("i", [ABSENT] * processes).tobytes())
    counts.flush()
    return counts


class Crowd:
    """The counts, seen from one place among them. A count is written by one process only, so nothing is locked."""

    def __init__(self, file: int, place: int) -> None:
        self._counts = memoryview(mmap.mmap(file, 0)).cast("i")
        self._place = place

    def begin(self) -> None:
        """Be there, with no connections yet."""
        self._counts[self._place] = 0

    def end(self) -> None:
        """Be there no more."""
        self._counts[self._place] = ABSENT

    def change(self, by: int) -> None:
        """Count a connection that has come (1) or gone (-1)."""
        self._counts[self._place] += by

    def is_large(self) -> bool:
        """Whether somebody else who is there has fewer connections."""
        ours = self._counts[self._place]
        return any(ABSENT < count < ours for count in self._counts)

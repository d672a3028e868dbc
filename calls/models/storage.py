"""Keeping recordings in an S3-compatible store instead of a folder (setting RECORDINGS_S3_BUCKET)."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.core.files.base import File
from storages.backends.s3 import S3Storage


class StorageUnavailable(OSError):
    """The store did not answer, or refused us; the operator's log says why."""


@contextmanager
def _explained() -> Iterator[None]:
    """Let the errors of the client library be what the errors of a folder are."""
    try:
        yield
    except ClientError as error:
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404:
            raise FileNotFoundError(str(error)) from error
        raise StorageUnavailable(str(error)) from error
    except BotoCoreError as error:
        raise StorageUnavailable(str(error)) from error


class RecordingsInS3(S3Storage):
    """An S3-compatible store whose files are read in parts, and whose errors are OSErrors."""

    def get_default_settings(self) -> dict[str, Any]:
        """Return the library's defaults, but for its patience: a request of ours waits meanwhile."""
        patience = Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 3})
        return {**super().get_default_settings(), "client_config": patience}

    def _open(self, name: str, mode: str = "rb") -> "File[bytes]":
        if mode != "rb":
            raise ValueError("Files are stored whole and only read here.")
        with _explained():
            found = self.bucket.Object(self._normalize_name(name))
            return File(io.BufferedReader(_Reader(found, size=found.content_length)), name=name)

    def _save(self, name: str, content: "File[bytes]") -> str:
        with _explained():
            return str(super()._save(name, content))

    def exists(self, name: str) -> bool:
        """Say whether there is such a file; raise StorageUnavailable."""
        with _explained():
            return bool(super().exists(name))

    def size(self, name: str) -> int:
        """Return how many bytes a file has; raise FileNotFoundError or StorageUnavailable."""
        with _explained():
            return int(super().size(name))

    def delete(self, name: str) -> None:
        """Remove a file, if it is there; raise StorageUnavailable."""
        with _explained():
            super().delete(name)


class _Reader(io.RawIOBase):
    """Reads an object from wherever it is told to, asking only for what lies behind (RFC 9110, section 14.2).

    The library itself fetches the whole object first, also for its last kilobyte.
    """

    def __init__(self, found: Any, *, size: int) -> None:
        super().__init__()
        self._object, self._size, self._place = found, size, 0
        self._body: Any = None

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def seekable(self) -> bool:
        """Say that it can be read from anywhere."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go somewhere; what follows is asked for only when it is read."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        self._leave()
        self._place = max(0, base + offset)
        return self._place

    def tell(self) -> int:
        """Return where it is."""
        return self._place

    def readinto(self, buffer: Any) -> int:
        """Read what comes next; return how many bytes it was."""
        if self._place >= self._size:
            return 0
        with _explained():
            if self._body is None:
                self._body = self._object.get(Range=f"bytes={self._place}-")["Body"]
            part: bytes = self._body.read(len(buffer))
        buffer[: len(part)] = part
        self._place += len(part)
        return len(part)

    def close(self) -> None:
        """Give the connection back."""
        self._leave()
        super().close()

    def _leave(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None

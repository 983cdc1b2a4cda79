"""Checks of text files before they are parsed.

A stray quotation mark makes a parser join or drop lines, and a line of gigabytes takes all memory.
Both are detected here in one pass that needs a few MiB of memory.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from recsys_lab.config import UserError
from recsys_lab.data.formats.archives import allowed_bytes
from recsys_lab.data.formats.paths import readable

CHUNK = 1 << 22
MAX_LINE = 1 << 24
"""Bytes; no line of a log is longer."""

COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst")

_NEWLINE, _RETURN, _QUOTE = 10, 13, 34


@contextmanager
def unpacked(file: Path, compression: str, where: str) -> Iterator[IO[bytes]]:
    """The bytes of a file, decompressed while they are read.

    Args:
        file: the path.
        compression: one of `COMPRESSIONS`, or an empty string for none.
        where: the option and the path, named in errors.

    Raises:
        UserError: if the file cannot be read or its compression is damaged; also in the body.
    """
    try:
        with readable(where), _opened(file, compression) as stream:
            yield stream
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise _damaged(where, compression, error) from error
    except UserError as error:
        # bz2 and zst report damage with an OSError without errno.
        cause = error.__cause__
        if compression and isinstance(cause, OSError) and cause.errno is None:
            raise _damaged(where, compression, cause) from cause
        raise


def _damaged(where: str, compression: str, error: BaseException) -> UserError:
    return UserError(
        f"{where}: is damaged or cut short: its {compression} compression cannot be undone "
        f"({error}). Download or copy the file again"
    )


def _opened(file: Path, compression: str) -> Any:
    if compression == ".gz":
        return gzip.open(file)
    if compression == ".bz2":
        return bz2.open(file)
    if compression == ".xz":
        return lzma.open(file)
    if compression == ".zst":
        import pyarrow as pa

        return pa.CompressedInputStream(pa.OSFile(str(file)), "zstd")
    return file.open("rb")


class TextCheck:
    """Refuses text that a parser would misread.

    Args:
        where: the option and the file, named in errors.
        separator: between values; None: JSON lines, whose quotation marks are not checked.
        quoted: whether quotation marks quote values.
    """

    def __init__(self, where: str, separator: str | None, *, quoted: bool) -> None:
        self._where = where
        self._decoder = codecs.getincrementaldecoder("utf-8")("strict")
        self._neighbours = [_NEWLINE, _RETURN, _QUOTE, *(separator or "").encode()]
        self._quoted = quoted and separator is not None
        self.size = 0
        self._lines = 0  # complete ones before the current bytes
        self._since = 0  # bytes since the last newline
        self._held = b""  # a final quotation mark, whose next byte is still to come
        self._before = _NEWLINE
        self._returns = False
        self._open = False
        self._opened_line = 0

    def feed(self, data: bytes) -> None:
        """Check the next bytes.

        Raises:
            UserError: naming the line.
        """
        if not self.size and data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise self._bad("is UTF-16 text", "Save it as UTF-8, e.g. iconv -f utf-16 -t utf-8")
        self._characters(data)
        self._line_length(data)
        if self._quoted:
            body = data[3:] if not self.size and data.startswith(codecs.BOM_UTF8) else data
            self._quotes(self._held + body, last=False)
        self.size += len(data)
        self._lines += data.count(b"\n")
        self._returns = self._returns or b"\r" in data

    def finish(self) -> None:
        """Check what only the end of the file shows.

        Raises:
            UserError: for an unclosed quotation mark, an incomplete last character, or no content.
        """
        if not self.size:
            raise self._bad("the file is empty", "It has 0 bytes after unpacking")
        try:
            self._decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            raise self._not_utf8(b"", error) from error
        if self._returns and not self._lines:
            raise self._bad(
                "its lines end in a carriage return only", "Write newlines, e.g. tr '\\r' '\\n'"
            )
        if self._quoted:
            self._quotes(self._held, last=True)
            if self._open:
                raise self._bad(
                    f"the quotation mark that opens in line {self._opened_line:,} is never closed",
                    self._how_to_quote(),
                )

    def _characters(self, data: bytes) -> None:
        index = data.find(b"\0")
        if index >= 0:
            line = self._line(data, index)
            raise self._bad(
                f"line {line:,} holds a NUL byte",
                "It is not text, or UTF-16: save it as UTF-8, or remove the byte: tr -d '\\0'",
            )
        try:
            self._decoder.decode(data)
        except UnicodeDecodeError as error:
            raise self._not_utf8(data, error) from error

    def _not_utf8(self, data: bytes, error: UnicodeDecodeError) -> UserError:
        carried = len(error.object) - len(data)  # of a character that began in the bytes before
        line = self._line(data, max(0, error.start - carried))
        byte = error.object[error.start]
        return self._bad(
            f"line {line:,} is not UTF-8 (byte 0x{byte:02x})",
            "If it is Latin-1 or Windows-1252: iconv -f windows-1252 -t utf-8",
        )

    def _line_length(self, data: bytes) -> None:
        first, last = data.find(b"\n"), data.rfind(b"\n")
        longest = self._since + (len(data) if first < 0 else first)
        if longest > MAX_LINE:
            raise self._bad(
                f"line {self._lines + 1:,} is longer than {MAX_LINE >> 20} MiB",
                "Expected one event per line: the line ends may be missing, or it is a single "
                "JSON document instead of JSON lines",
            )
        self._since = longest if first < 0 else len(data) - last - 1

    def _quotes(self, data: bytes, *, last: bool) -> None:
        """Check that each mark opens a value, closes one, or is doubled.

        Marks open and close in turn, so the first of a doubled mark counts as closing and the
        second as opening.
        """
        if not data:
            return
        bytes_n = np.frombuffer(data, dtype=np.uint8)
        marks = np.flatnonzero(bytes_n == _QUOTE)
        if not last and len(marks) and marks[-1] == len(data) - 1:
            marks, self._held = marks[:-1], data[-1:]
        else:
            self._held = b""
        if len(marks):
            self._check_marks(data, bytes_n, marks)
        if data[: len(data) - len(self._held)]:
            self._before = data[len(data) - len(self._held) - 1]

    def _check_marks(self, data: bytes, bytes_n: Any, marks: Any) -> None:
        before = np.where(marks > 0, bytes_n[marks - 1], self._before)
        following = np.where(
            marks < len(data) - 1, bytes_n[np.minimum(marks + 1, len(data) - 1)], _NEWLINE
        )
        opens = (np.arange(len(marks)) + self._open) % 2 == 0
        fits = np.where(
            opens, np.isin(before, self._neighbours), np.isin(following, self._neighbours)
        )
        if not fits.all():
            bad = int(np.argmin(fits))
            line = self._line(data, int(marks[bad]))
            self._refuse_separator(line, {int(before[bad]), int(following[bad])})
            problem = f"line {line:,} has a quotation mark inside a value"
            if not opens[bad]:
                opened = self._line(data, int(marks[bad - 1])) if bad else self._opened_line
                problem += f"; the one before it opens in line {opened:,}"
            raise self._bad(problem, self._how_to_quote())
        if opens.any():
            last_open = int(np.flatnonzero(opens)[-1])
            self._opened_line = self._line(data, int(marks[last_open]))
        self._open = bool(opens[-1])

    def _refuse_separator(self, line: int, beside: set[int]) -> None:
        """Refuse a mark beside another separator, which quotes a whole value there."""
        other = next((mark for mark in ";\t|," if ord(mark) in beside), None)
        if other is None or ord(other) in self._neighbours:
            return
        shown = "'\\t'" if other == "\t" else f"'{other}'"
        raise self._bad(
            f"line {line:,} has a quotation mark beside {shown}",
            f"Its values seem to be separated by {shown}. Set data.separator={shown}",
        )

    def _line(self, data: bytes, index: int) -> int:
        return self._lines + data.count(b"\n", 0, index) + 1

    def _how_to_quote(self) -> str:
        return (
            'Write a value with a mark inside as "5"" pipe"; if marks are plain characters, set '
            "data.quoted=false"
        )

    def _bad(self, what: str, hint: str) -> UserError:
        return UserError(f"{self._where}: {what}. {hint}")


def plain_text(file: Path, compression: str, check: TextCheck, target: Path, where: str) -> Path:
    """Check a file and unpack it if it is compressed.

    Args:
        file: the path.
        compression: see `unpacked`.
        check: gets the whole content.
        target: the unpacked file, written if ``file`` is compressed.
        where: the option and the path, named in errors.

    Returns:
        ``file`` itself, or ``target``.

    Raises:
        UserError: if the content is refused or the file is a zip bomb.
    """
    with unpacked(file, compression, where) as source:
        sink = target.open("wb") if compression else None
        allowed = allowed_bytes(file.stat().st_size)
        try:
            while data := source.read(CHUNK):
                check.feed(data)
                if sink is not None:
                    if check.size > allowed:
                        raise UserError(
                            f"{where}: unpacks to more than {allowed:,} bytes out of "
                            f"{file.stat().st_size:,}, as a zip bomb does. If it is a log, unpack "
                            "it yourself and pass the unpacked file"
                        )
                    sink.write(data)
        finally:
            if sink is not None:
                sink.close()
    check.finish()
    return target if compression else file

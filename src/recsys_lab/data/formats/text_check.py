"""Text that other people wrote, looked at byte by byte before a parser guesses what it means.

A parser that meets a stray quotation mark joins or drops lines, one that meets a line of gigabytes
takes all memory. Both are found here in one pass with a memory of a few MiB.
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
"""Bytes; a longer line is no line of a log."""

COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst")

_NEWLINE, _RETURN, _QUOTE = 10, 13, 34


@contextmanager
def unpacked(file: Path, compression: str, where: str) -> Iterator[IO[bytes]]:
    """The bytes of a file, decompressed in passing.

    Args:
        file: the path.
        compression: one of `COMPRESSIONS`, or an empty string for none.
        where: the option and the path, named in errors.

    Raises:
        UserError: when the file cannot be read or its compression is damaged; also in the body.
    """
    try:
        with readable(where), _opened(file, compression) as stream:
            yield stream
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise _damaged(where, compression, error) from error
    except UserError as error:
        # bz2 and zst tell of damage with an OSError that has no number.
        cause = error.__cause__
        if compression and isinstance(cause, OSError) and cause.errno is None:
            raise _damaged(where, compression, cause) from cause
        raise


def _damaged(where: str, compression: str, error: BaseException) -> UserError:
    return UserError(
        f"{where}: is damaged or cut short: its {compression} compression cannot be undone "
        f"({error}). Get the file again"
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
        separator: between values; None: JSON lines, where quotes are the parser's business.
        quoted: whether a quotation mark quotes.
    """

    def __init__(self, where: str, separator: str | None, *, quoted: bool) -> None:
        self._where = where
        self._decoder = codecs.getincrementaldecoder("utf-8")("strict")
        self._neighbours = [_NEWLINE, _RETURN, _QUOTE, *(separator or "").encode()]
        self._quoted = quoted and separator is not None
        self.size = 0
        self._lines = 0  # complete ones before the bytes looked at
        self._since = 0  # bytes since the last newline
        self._held = b""  # the last byte, whose neighbour is still to come
        self._before = _NEWLINE
        self._returns = False
        self._open = False
        self._opened_line = 0

    def feed(self, data: bytes) -> None:
        """Look at the next bytes.

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
        """Say what only the end shows.

        Raises:
            UserError: for an unclosed quotation mark, a broken last character, or no content.
        """
        if not self.size:
            raise self._bad("the file is empty", "Nothing is in it, also when unpacked")
        try:
            self._decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            raise self._not_utf8(b"", error) from error
        if self._returns and not self._lines:
            raise self._bad(
                "its lines end in a carriage return alone", "Write newlines, e.g. tr '\\r' '\\n'"
            )
        if self._quoted:
            self._quotes(self._held, last=True)
            if self._open:
                raise self._bad(
                    f"the quotation mark that opens in line {self._opened_line:,} is never closed",
                    self._how_to_quote(),
                )

    def _characters(self, data: bytes) -> None:
        place = data.find(b"\0")
        if place >= 0:
            line = self._line(data, place)
            raise self._bad(
                f"line {line:,} holds a NUL byte",
                "It is no text, or UTF-16: save it as UTF-8, or remove the byte, e.g. tr -d '\\0'",
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
                "A log has one event on each line: the line ends may be missing, or it is JSON "
                "in one piece (JSON lines are needed)",
            )
        self._since = longest if first < 0 else len(data) - last - 1

    def _quotes(self, data: bytes, *, last: bool) -> None:
        """Each mark must open a value, close one, or stand twice for itself.

        The marks open and close in turn, so the first of a doubled one counts as closing and the
        second as opening again.
        """
        if not data:
            return
        bytes_n = np.frombuffer(data, dtype=np.uint8)
        places = np.flatnonzero(bytes_n == _QUOTE)
        if not last and len(places) and places[-1] == len(data) - 1:
            places, self._held = places[:-1], data[-1:]
        else:
            self._held = b""
        if len(places):
            self._judge(data, bytes_n, places)
        if data[: len(data) - len(self._held)]:
            self._before = data[len(data) - len(self._held) - 1]

    def _judge(self, data: bytes, bytes_n: Any, places: Any) -> None:
        # The held byte belongs to the line count of the data that came with it.
        before = np.where(places > 0, bytes_n[places - 1], self._before)
        following = np.where(
            places < len(data) - 1, bytes_n[np.minimum(places + 1, len(data) - 1)], _NEWLINE
        )
        opens = (np.arange(len(places)) + self._open) % 2 == 0
        fits = np.where(opens, np.isin(before, self._neighbours),
                        np.isin(following, self._neighbours))  # fmt: skip
        if not fits.all():
            bad = int(np.argmin(fits))
            line = self._line(data, int(places[bad]))
            self._refuse_separator(line, {int(before[bad]), int(following[bad])})
            raise self._bad(
                f"line {line:,} has a quotation mark inside a value"
                + ("" if opens[bad] else f"; the one before it opens in line "
                   f"{self._line(data, int(places[bad - 1])) if bad else self._opened_line:,}"),
                self._how_to_quote(),
            )  # fmt: skip
        if opens.any():
            last_open = int(np.flatnonzero(opens)[-1])
            self._opened_line = self._line(data, int(places[last_open]))
        self._open = bool(opens[-1])

    def _refuse_separator(self, line: int, beside: set[int]) -> None:
        """A mark beside another separator than the one that is set quotes a whole value."""
        other = next((mark for mark in ";\t|," if ord(mark) in beside), None)
        if other is None or ord(other) in self._neighbours:
            return
        shown = "'\\t'" if other == "\t" else f"'{other}'"
        raise self._bad(
            f"line {line:,} has a quotation mark beside {shown}",
            f"Its values seem to be separated by {shown}. Set data.separator={shown}",
        )

    def _line(self, data: bytes, place: int) -> int:
        return self._lines + data.count(b"\n", 0, place) + 1

    def _how_to_quote(self) -> str:
        return (
            'A value with a mark inside is written as "5"" pipe"; where marks are plain '
            "characters, set data.quoted=false"
        )

    def _bad(self, what: str, hint: str) -> UserError:
        return UserError(f"{self._where}: {what}. {hint}")


def plain_text(file: Path, compression: str, check: TextCheck, target: Path, where: str) -> Path:
    """The checked file, uncompressed.

    Args:
        file: the path.
        compression: see `unpacked`.
        check: fed with the whole content.
        target: made when the file is compressed.
        where: the option and the path, named in errors.

    Returns:
        ``file`` itself, or ``target``.

    Raises:
        UserError: when the content is refused, or unpacks as a zip bomb does.
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

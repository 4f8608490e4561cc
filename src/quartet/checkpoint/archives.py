"""Zip files that were made elsewhere: opened and unpacked within limits that hold before anything is read or written.

A zip file of some kilobytes can say that it holds gigabytes, or millions of members.
"""

import struct
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from quartet.errors import CheckpointError

MAX_DIRECTORY_BYTES = 4 << 20  # of the list of members, some 100 bytes each; a thousand tensors are a thousand members
MAX_RATIO = 20  # bytes in all members for each byte of the file; weights are packed to a half at best
FREE_BYTES = 16 << 20  # that may come out of any file, such as vocabularies, which pack well
CHUNK_BYTES = 1 << 20

# What `zipfile` raises on damaged files.
DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, NotImplementedError, ValueError)

_END, _END_64 = b"PK\x05\x06", b"PK\x06\x06"  # records behind the list of members
_END_BYTES, _COMMENT_BYTES, _END_64_BYTES = 22, 1 << 16, 76


def open_zip(path: Path, file: BinaryIO) -> zipfile.ZipFile:
    """A zip file whose list of members is not too long; raises `CheckpointError`, and `DAMAGE`."""
    listed = _directory_bytes(file)
    if listed > MAX_DIRECTORY_BYTES:
        raise CheckpointError(f"{path} lists its members in {listed} bytes; at most {MAX_DIRECTORY_BYTES} are read")
    return zipfile.ZipFile(file)


def check_sizes(path: Path, members: Iterable[zipfile.ZipInfo]) -> None:
    """Raise `CheckpointError` where the members would be far larger than the zip file; they never become larger."""
    total, most = sum(member.file_size for member in members), FREE_BYTES + MAX_RATIO * path.stat().st_size
    if total > most:
        raise CheckpointError(f"{path} would unpack to {total / 1e6:.0f} MB, far more than a model of its size has")


def check_stored(path: Path, file: BinaryIO, member: zipfile.ZipInfo, place: int) -> None:
    """Raise `CheckpointError` where a member that is stored as it is, from byte `place` on, does not have its CRC.

    A CRC of zero says nothing: torch writes it where it is told not to compute any.
    """
    if not member.CRC:
        return
    file.seek(place)
    crc, left = 0, member.file_size
    while left and (chunk := file.read(min(CHUNK_BYTES, left))):
        crc, left = zlib.crc32(chunk, crc), left - len(chunk)
    if left or crc != member.CRC:
        raise CheckpointError(f"{path} is damaged: the bytes of {member.filename!r} do not have their checksum")


def _directory_bytes(file: BinaryIO) -> int:
    """Bytes of the list of members, by the record that `zipfile` goes by; 0 where there is none."""
    size = file.seek(0, 2)
    file.seek(max(size - _END_BYTES - _COMMENT_BYTES - _END_64_BYTES, 0))
    tail = file.read()
    end = len(tail) - _END_BYTES
    if tail[-_END_BYTES : -_END_BYTES + 4] != _END:
        end = tail.rfind(_END)
    if end < 0:
        return 0
    listed = int.from_bytes(tail[end + 12 : end + 16], "little")
    large = end - _END_64_BYTES  # the same for large files, and its place behind it
    if large >= 0 and tail[large : large + 4] == _END_64:
        listed = max(listed, int.from_bytes(tail[large + 40 : large + 48], "little"))
    return listed

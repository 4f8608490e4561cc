"""Limits of zip files hold before anything is read of them or written."""

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from checkpoint_files import write_torch_zip
from quartet.checkpoint import open_checkpoint, opened, read
from quartet.checkpoint.archives import MAX_DIRECTORY_BYTES, open_zip
from quartet.errors import CheckpointError

BYTES = 40 << 20


def package(path: Path, sizes: dict[str, int]) -> Path:
    """An Argos package whose members are zeros, which are packed a thousand times smaller."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("p/metadata.json", "{}")
        for name, size in sizes.items():
            archive.writestr(f"p/{name}", bytes(size))
    return path


@pytest.mark.parametrize("sizes", [{"model/model.bin": BYTES}, {f"model/{i}": BYTES // 20 for i in range(20)}])
def test_a_package_that_would_become_huge_is_not_unpacked(sizes, tmp_path, monkeypatch):
    source = package(tmp_path / "p.argosmodel", {"model/model.bin": 1} | sizes)
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: pytest.fail("something was unpacked"))
    with (
        pytest.raises(CheckpointError, match="would unpack to 42 MB, far more than a model of its size"),
        opened(source),
    ):
        pass


def test_what_a_conversion_does_not_read_of_a_package_counts_nothing(tmp_path):
    source = package(tmp_path / "p.argosmodel", {"model/model.bin": 1, "stanza/model.pt": BYTES})
    with pytest.raises(CheckpointError, match=r"model\.bin is truncated"), opened(source):
        pass


@pytest.mark.parametrize("large", [False, True])
def test_a_list_of_too_many_members_is_not_read(large, monkeypatch):
    """Of large files (zip64) the record before the last one says how long it is."""
    count = 0xFFFFFFFF if large else MAX_DIRECTORY_BYTES + 1
    record = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, MAX_DIRECTORY_BYTES + 1, 0)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, 0, 1)
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 1, 1, count, 0, 0)
    file = io.BytesIO(b"PK\x03\x04" + bytes(100) + (record + locator if large else b"") + end)
    monkeypatch.setattr(zipfile, "ZipFile", lambda *_: pytest.fail("the list was read"))
    with pytest.raises(CheckpointError, match=r"x\.zip lists its members in \d+ bytes; at most 4194304 are read"):
        open_zip(Path("x.zip"), file)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "marian"}')
    write_torch_zip(tmp_path / "pytorch_model.bin", {"w": np.full(300, 7, np.float32)})
    return tmp_path


def test_a_tensor_of_torch_without_its_checksum(folder):
    """One bit of a weight, which nothing else would tell."""
    path = folder / "pytorch_model.bin"
    data = bytearray(path.read_bytes())
    data[data.index(struct.pack("<f", 7)) + 3] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"is damaged: the bytes of 'archive/data/0' do not have their checksum"):
        open_checkpoint(folder)


def test_torch_may_leave_checksums_out(folder):
    """`torch.serialization.set_crc32_options(False)` writes zeros for them all."""
    path = folder / "pytorch_model.bin"
    data = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        checksums = [info.CRC for info in archive.infolist()]
    for checksum in checksums:
        data = data.replace(struct.pack("<I", checksum), bytes(4))
    path.write_bytes(data)
    assert read(open_checkpoint(folder).tensors["w"])[0] == 7

import os
import platform
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import tiny
from quartet import derived, store
from quartet.conversion.convert import convert_folder
from quartet.errors import ManifestError, OutputError
from quartet.quantize.recipes import QuantizationOptions
from quartet.runtime import engine
from quartet.runtime import logits as head
from quartet.runtime.decode import decode_one_token, encode
from quartet.runtime.engine import Engine, open_engine
from quartet.runtime.logits import read_scores
from quartet.runtime.machine import packing
from quartet.spec import Manifest

MANY = engine.MANY_ROWS


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packing")
    convert_folder(tiny.make(folder / "checkpoint", "m2m100-base"), folder / "quartet", precision="int4")
    return folder


@pytest.fixture
def quartet(converted, tmp_path, monkeypatch):
    """A copy of its own, beside its checkpoint."""
    monkeypatch.setattr(packing, "SMALLEST", 0)
    monkeypatch.setenv("QUARTET_HOME", str(tmp_path / "home"))
    shutil.copytree(converted, tmp_path, dirs_exist_ok=True)
    return tmp_path / "quartet"


def packed(tmp_path, use="few"):
    return sorted((tmp_path / "home" / "packed").glob(f"*/*/{use}"))


def logits(folder, rows=1, verify=False):
    """Of the first step, of equal rows."""
    model = open_engine(folder, 1, verify).model(rows)
    state = encode(model, [[5, 6, 7, 2]] * rows)
    return read_scores(model, decode_one_token(model, state, np.array([2] * rows))).logits


def test_packed_weights_give_the_same_logits_and_are_made_once(quartet, tmp_path, monkeypatch):
    first = logits(quartet)
    (folder,) = packed(tmp_path)
    times = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert {f"{file}.onnx" for file in ("encoder", "cache_initializer", "decoder", "lm_head")} <= times.keys()
    assert np.array_equal(logits(quartet), first)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == times


def test_without_a_cache_the_logits_are_nearly_the_same(quartet, monkeypatch):
    """The encoder's products are then those of the stored blocks."""
    first = logits(quartet)
    monkeypatch.setattr(packing, "SMALLEST", 1 << 40)
    assert np.abs(logits(quartet) - first).max() < 0.1 * np.abs(first).max()


def test_many_rows_have_weights_of_their_own_and_nearly_the_same_logits(quartet, tmp_path):
    few = logits(quartet)
    assert packed(tmp_path, "many-*") == []
    many = logits(quartet, MANY)
    assert [folder.name for folder in packed(tmp_path, "many-*")] == ["many-decoder", "many-lm_head"]
    assert np.abs(many - few).max() < 0.1 * np.abs(few).max()
    assert np.array_equal(many, np.broadcast_to(many[:1], many.shape))
    assert np.array_equal(logits(quartet, MANY), many)


def test_many_rows_do_without_a_cache(quartet, tmp_path):
    few = logits(quartet)
    (tmp_path / "home" / "packed").rename(tmp_path / "home" / "gone")
    (tmp_path / "home" / "packed").write_text("a file where the folder should be")
    assert np.abs(logits(quartet, MANY)[0] - few[0]).max() < 0.1 * np.abs(few).max()


def test_a_damaged_cache_for_many_rows_is_made_anew(quartet, tmp_path):
    first = logits(quartet, MANY)
    (folder,) = packed(tmp_path, "many-decoder")
    (folder / "decoder.onnx").write_bytes(b"damaged")
    assert np.array_equal(logits(quartet, MANY), first)
    assert (folder / "decoder.onnx").stat().st_size > 100


def test_eight_bits_are_multiplied_as_they_are_stored(tmp_path, monkeypatch):
    """7-bit weights would lose too much of them."""
    monkeypatch.setattr(packing, "SMALLEST", 0)
    monkeypatch.setenv("QUARTET_HOME", str(tmp_path / "home"))
    convert_folder(tiny.make(tmp_path / "checkpoint", "m2m100-base"), tmp_path / "quartet", precision="int8")
    first = logits(tmp_path / "quartet")
    assert np.array_equal(logits(tmp_path / "quartet", MANY)[:1], first)
    assert packed(tmp_path, "many-*") == []


def test_machines_that_share_a_home_keep_their_packs_side_by_side(quartet, tmp_path, monkeypatch):
    made = []
    for cpu in ("one", "two", "one", *map(str, range(packing.MOST_MACHINES - 1)), "one"):
        monkeypatch.setattr(packing, "_cpu", lambda cpu=cpu: cpu)
        logits(quartet)
        made.append({folder: (folder / "decoder.onnx").stat().st_mtime_ns for folder in packed(tmp_path)})
    assert [len(packs) for packs in made] == [1, 2, 2, 3, 4, 4, 4]
    assert made[2] == made[1]  # "one" was still there
    (one,) = made[0]
    assert made[-1][one] == made[0][one]  # it was used again: another one had to go


def test_a_new_conversion_takes_the_packs_of_the_old_one_away(quartet, tmp_path):
    logits(quartet)
    (old,) = packed(tmp_path)
    convert_folder(
        tmp_path / "checkpoint", quartet, precision="int4", force=True, options=QuantizationOptions(block_size=32)
    )
    logits(quartet)
    (new,) = packed(tmp_path)
    assert new != old


def test_what_goes_wrong_in_packing_is_a_warning_that_names_it(quartet, tmp_path, caplog):
    (tmp_path / "home").write_text("a file where the folder should be")
    logits(quartet)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "so quartet is slower: " in record.getMessage()
    assert str(tmp_path / "home") in record.getMessage()


def test_a_cache_that_cannot_be_written_is_done_without(quartet, tmp_path):
    (tmp_path / "home").write_text("a file where the folder should be")
    assert np.isfinite(logits(quartet)).all()


def test_a_damaged_cache_is_made_anew(quartet, tmp_path):
    first = logits(quartet)
    (folder,) = packed(tmp_path)
    (folder / "decoder.onnx").write_bytes(b"damaged")
    assert np.array_equal(logits(quartet), first)
    assert (folder / "decoder.onnx").stat().st_size > 100


def garbage(path, size=64 << 10):
    """In the middle of a file."""
    content = bytearray(path.read_bytes())
    part = content[len(content) // 2 :][:size]
    content[len(content) // 2 : len(content) // 2 + len(part)] = np.random.default_rng(0).bytes(len(part))
    path.write_bytes(content)


@pytest.mark.parametrize("rows", [1, MANY])
def test_garbage_in_packed_weights_is_found_and_they_are_made_again(quartet, tmp_path, caplog, monkeypatch, rows):
    """Blocks are so small that not all of them are looked at, unless all are to be."""
    monkeypatch.setattr(derived, "BLOCK", 512)
    first = logits(quartet, rows)
    garbage(packed(tmp_path)[0] / "encoder.onnx.data", 512)
    for folder in packed(tmp_path, "many-*"):
        garbage(folder / f"{folder.name.removeprefix('many-')}.onnx.data", 512)
    assert np.array_equal(logits(quartet, rows, verify=True), first)
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == (1 if rows == 1 else 3)
    assert all("are damaged and are made again" in message for message in messages)
    assert np.array_equal(logits(quartet, rows, verify=True), first)
    assert len(caplog.records) == len(messages)


def test_packs_of_another_model_are_not_used(quartet, tmp_path):
    """However they came there."""
    first = logits(quartet)
    convert_folder(
        tmp_path / "checkpoint", tmp_path / "other", precision="int4", options=QuantizationOptions(block_size=32)
    )
    others = logits(tmp_path / "other")
    one, other = packed(tmp_path)
    one.rename(tmp_path / "aside")
    other.rename(one)
    (tmp_path / "aside").rename(other)
    assert np.array_equal(logits(quartet), first)
    assert np.array_equal(logits(tmp_path / "other"), others)
    assert not np.array_equal(first, others)


def test_nothing_is_packed_of_damaged_files(quartet, tmp_path):
    """Its hashes would be those of the damage, and the model may be mended meanwhile."""
    garbage(quartet / "decoder.onnx.data")
    with pytest.raises(ManifestError, match=r"decoder\.onnx\.data is damaged"):
        logits(quartet)
    assert packed(tmp_path) == []


def test_an_engine_that_was_not_verified_is_not_given_to_who_wants_that(quartet, tmp_path, monkeypatch):
    monkeypatch.setattr(derived, "BLOCK", 512)
    logits(quartet)
    held = open_engine(quartet, 1)
    garbage(packed(tmp_path)[0] / "lm_head.onnx.data", 512)
    assert open_engine(quartet, 1) is held
    verified = open_engine(quartet, 1, verify=True)
    assert verified is not held
    assert open_engine(quartet, 1, verify=True) is verified


def test_damaged_packs_that_cannot_be_removed_are_not_used(quartet, tmp_path, monkeypatch, caplog):
    first = logits(quartet)
    (folder,) = packed(tmp_path)
    garbage(folder / "decoder.onnx")
    monkeypatch.setattr(packing, "remove", lambda packed: None)
    assert np.abs(logits(quartet) - first).max() < 0.1 * np.abs(first).max()
    damaged, slower = [record.getMessage() for record in caplog.records]
    assert "made again" in damaged
    assert "cannot be removed" in slower


def test_what_cannot_be_packed_is_told_once(quartet, tmp_path, caplog):
    """Not again for the kernels of many rows, and for a second set of sessions."""
    (tmp_path / "home").write_text("a file where the folder should be")
    engine = open_engine(quartet, 3)
    engine.model(MANY)
    assert engine.open_parallel(worth_it=True)
    engine.model(MANY, parallel=True)
    (record,) = caplog.records
    assert "so quartet is slower: " in record.getMessage()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="files that are open cannot be deleted everywhere")
def test_what_is_open_works_on_when_the_cache_is_cleared(quartet, tmp_path, caplog):
    first = logits(quartet)
    engine = open_engine(quartet, 1)
    assert store.clear_cache() > 0
    assert packed(tmp_path) == []
    assert np.array_equal(logits(quartet), first)
    quartet.rename(tmp_path / "gone")  # as `cache clear` does with converted models
    state = encode(engine.model(MANY), [[5, 6, 7, 2]] * MANY)
    many = read_scores(engine.model(MANY), decode_one_token(engine.model(MANY), state, np.array([2] * MANY))).logits
    assert np.abs(many - first).max() < 0.1 * np.abs(first).max()
    (record,) = caplog.records
    assert "so quartet is slower" in record.getMessage()


def test_files_of_several_names_are_packed_too(quartet, tmp_path, caplog):
    """As backups have them, and whoever deduplicates a disk."""
    first = logits(quartet, MANY)
    store.clear_cache()
    (tmp_path / "backup").mkdir()
    for path in quartet.iterdir():
        os.link(path, tmp_path / "backup" / path.name)
    assert np.array_equal(logits(quartet, MANY), first)
    assert [folder.name for folder in packed(tmp_path, "*")] == ["few", "many-decoder", "many-lm_head"]
    assert caplog.records == []


def test_without_a_home_nothing_is_packed(quartet, monkeypatch, caplog):
    def no_home():
        raise OutputError("this user has no home folder; set QUARTET_HOME to a folder for models")

    monkeypatch.setattr(store, "cache_folder", no_home)
    assert np.isfinite(logits(quartet)).all()
    (record,) = caplog.records
    assert "QUARTET_HOME" in record.getMessage()


def test_leftovers_of_a_killed_packing_go_with_the_next_one(quartet, tmp_path):
    logits(quartet)
    (folder,) = packed(tmp_path)
    leftover = folder.with_name(".many-decoder.abcdefgh.partial")
    (leftover / "many-decoder").mkdir(parents=True)
    logits(quartet, MANY)
    assert not leftover.exists()


def test_a_folder_of_somebody_elses_stays_when_old_packs_go(quartet, tmp_path):
    logits(quartet)
    (folder,) = packed(tmp_path)
    (folder.parent.parent / "notes").mkdir()
    convert_folder(
        tmp_path / "checkpoint", quartet, precision="int4", force=True, options=QuantizationOptions(block_size=32)
    )
    logits(quartet)
    assert not folder.exists()
    assert (folder.parent.parent / "notes").is_dir()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks the system for the names of open files")
def test_packed_files_appear_when_they_are_on_the_disk(quartet, tmp_path, monkeypatch):
    synced = set()
    fsync, rename = os.fsync, Path.rename

    def told(descriptor):
        synced.add(Path(f"/dev/fd/{descriptor}").resolve().name)
        fsync(descriptor)

    def renamed(path, target):
        if Path(target).name == "few":
            assert {file.name for file in path.iterdir()} | {"few"} <= synced
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", told)
    monkeypatch.setattr(Path, "rename", renamed)
    logits(quartet)
    (folder,) = packed(tmp_path)
    assert folder.parent.name in synced


def test_float32_is_not_packed(tmp_path):
    manifest = convert_folder(tiny.make(tmp_path / "checkpoint", "m2m100-base"), tmp_path / "quartet", precision="fp32")
    assert packing.packed_folder(tmp_path / "quartet", manifest, "few") is None


def test_small_models_are_not_worth_a_cache(quartet, tmp_path, monkeypatch):
    monkeypatch.undo()
    assert packing.packed_folder(quartet, Manifest.load(quartet), "few") is None


def test_threads_that_race_all_get_a_model(quartet, tmp_path):
    found = []
    threads = [threading.Thread(target=lambda: found.append(logits(quartet))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert all(np.array_equal(found[0], other) for other in found)
    assert len(packed(tmp_path)) == 1


def test_processes_that_race_all_get_a_model(quartet, tmp_path):
    code = (
        "import sys; from quartet.runtime.machine import packing; packing.SMALLEST = 0\n"
        "from pathlib import Path; from quartet.runtime.engine import Engine, open_engine\n"
        "open_engine(Path(sys.argv[1]), 1).model(); print('loaded')"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(quartet)], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert [process.communicate()[0] for process in running] == ["loaded\n"] * 3
    assert len(packed(tmp_path)) == 1


def test_clearing_gives_the_bytes_back(quartet, tmp_path):
    logits(quartet)
    assert store.clear_cache() > 10_000
    assert packed(tmp_path) == []
    assert store.clear_cache() == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="pages are given back on Linux only")
def test_pages_that_are_given_back_are_read_again(quartet, tmp_path):
    model = open_engine(quartet, 1).model()
    first = encode(model, [[5, 6, 7, 2]]).encoder_cache
    again = encode(model, [[5, 6, 7, 2]]).encoder_cache
    assert all(np.array_equal(first[name].numpy(), again[name].numpy()) for name in first)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="pages are given back on Linux only")
def test_a_model_lives_on_when_another_one_of_the_same_files_is_gone(quartet):
    first, second = Engine(quartet, Manifest.load(quartet), 1), Engine(quartet, Manifest.load(quartet), 1).model()
    encode(first.model(), [[5, 6, 7, 2]])
    del first
    hidden = [encode(second, [[5, 6, 7, 2]]).encoder_cache for _ in range(2)]
    assert all(np.array_equal(hidden[0][name].numpy(), hidden[1][name].numpy()) for name in hidden[0])


def test_packed_weights_that_give_other_results_are_not_used(quartet, tmp_path, monkeypatch):
    """As with ONNX Runtime 1.29."""
    monkeypatch.setattr(packing, "_same", lambda some, others: False)
    first = logits(quartet)
    (folder,) = packed(tmp_path)
    assert {path.name for path in folder.iterdir()} == {"unusable", derived.MARK}
    assert np.array_equal(logits(quartet), first)


def test_large_logits_are_read_in_parts(quartet, monkeypatch):
    model = open_engine(quartet, 1).model(MANY)
    sources = [[5, 6, 7, 2 + row % 3] for row in range(11)]
    pre_logits = decode_one_token(model, encode(model, sources), np.full(11, 2))
    whole = read_scores(model, pre_logits)
    monkeypatch.setattr(head, "LOGITS_BYTES", 3 * 4 * model.head_size)
    parts = read_scores(model, pre_logits)
    for name in ("logits", "top_ids", "floor", "log_sum_exp"):
        assert np.array_equal(getattr(parts, name), getattr(whole, name))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a matter of glibc")
def test_freed_memory_is_kept_until_it_is_trimmed():
    """In a process of its own: 24 MB are 6,000 pages, and an array that comes again needs none of them anew."""
    code = """
import resource
from quartet.runtime.machine import packing

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytearray(24 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

packing.keep_freed()
faults()
again = faults()
packing.trim()
print(again < 100, faults() > 1000)
"""
    assert subprocess.check_output([sys.executable, "-c", code], text=True).split() == ["True", "True"]

"""A head of the rows that one target language can need: the same scores, from fewer rows, built once."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

import tiny
from quartet import derived
from quartet.conversion.convert import convert_folder
from quartet.errors import ManifestError, OptionError, OutputError
from quartet.runtime.machine import head_selection as head
from quartet.runtime.machine.head_selection import load_rows, selected_head, target_rows
from quartet.spec import LM_HEAD, Language, Manifest
from quartet.store import clear_cache
from quartet.text.languages import resolve
from quartet.text.tokenizer import load_tokenizer
from tiny_tokenizers import make

KINDS = ["nllb", "m2m100-untied", "marian", "marian-separate"]
PRECISIONS = ["fp32", "int8", "int4"]


@pytest.fixture(scope="module", params=KINDS)
def quartets(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model at every precision."""
    folder = tmp_path_factory.mktemp("head")
    make(folder / "checkpoint", request.param)
    for precision in PRECISIONS:
        convert_folder(folder / "checkpoint", folder / precision, precision=precision)
    return {precision: folder / precision for precision in PRECISIONS}


def french(manifest: Manifest) -> Language:
    code = resolve("fr", [language.code for language in manifest.languages if language.target])
    return next(language for language in manifest.languages if language.code == code)


def scores(folder: Path, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits, best scores and best ids [n, ..] for some random states."""
    states = np.random.default_rng(0).normal(size=(4, 1, width)).astype(np.float32)
    session = ort.InferenceSession(folder / f"{LM_HEAD}.onnx")
    found = session.run(["logits", "top_scores", "top_ids"], {"pre_logits": states})
    return tuple(array[:, 0] for array in found)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("text", ["", "Où est la gare ?"])
def test_scores_are_those_of_the_whole_head(quartets, precision: str, text: str, tmp_path: Path) -> None:
    folder, manifest = quartets[precision], Manifest.load(quartets[precision])
    (tmp_path / "text").write_text(text, "utf-8")
    made = selected_head(folder, manifest, french(manifest), [tmp_path / "text"] if text else [])
    rows, width = load_rows(made), manifest.shapes.d_model
    whole, (selected, best, places) = scores(folder, width)[0], scores(made, width)
    np.testing.assert_allclose(selected, whole[:, rows], rtol=1e-5, atol=1e-5)
    assert np.array_equal(rows[places[:, 0]], rows[selected.argmax(axis=1)])
    assert np.array_equal(best[:, 0], selected.max(axis=1))
    assert 8 < len(rows) < manifest.shapes.vocab_size


def test_which_rows(quartets, tmp_path: Path) -> None:
    folder, manifest = quartets["int8"], Manifest.load(quartets["int8"])
    text = "Où est la gare ?"
    (tmp_path / "text").write_text(text, "utf-8")
    all_french = set(target_rows(folder, manifest, french(manifest)).tolist())
    few = target_rows(folder, manifest, french(manifest), [tmp_path / "text"])
    assert np.array_equal(few, np.unique(few))
    assert {manifest.tokens.eos, manifest.tokens.pad, manifest.tokens.decoder_start} <= set(few.tolist()) < all_french
    others = {language.token_id for language in manifest.languages} - {french(manifest).token_id}
    if manifest.tokenizer.target_vocab is None:
        assert set(load_tokenizer(folder, manifest.tokenizer).encode(text)) <= set(few.tolist())
        assert not others & all_french
        assert french(manifest).token_id in few


def test_made_once_and_anew_for_something_else(quartets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, manifest = quartets["int8"], Manifest.load(quartets["int8"])
    monkeypatch.setenv("QUARTET_HOME", str(tmp_path / "home"))
    (tmp_path / "text").write_text("la gare")
    made = selected_head(folder, manifest, french(manifest))
    assert {path.name for path in made.iterdir()} == {*head.NEEDED, derived.MARK}
    with monkeypatch.context() as patch:
        patch.setattr(head, "_make", lambda *_: pytest.fail("made again"))
        assert selected_head(folder, manifest, french(manifest)) == made
    other = selected_head(folder, manifest, french(manifest), [tmp_path / "text"])
    (tmp_path / "text").write_text("la ville")
    third = selected_head(folder, manifest, french(manifest), [tmp_path / "text"])
    assert len({made, other, third}) == 3
    assert len(list(made.parent.iterdir())) == 3


def test_cleared_with_the_cache(quartets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, manifest = quartets["fp32"], Manifest.load(quartets["fp32"])
    monkeypatch.setenv("QUARTET_HOME", str(tmp_path))
    made = selected_head(folder, manifest, french(manifest))
    size = sum(path.stat().st_size for path in made.iterdir())
    assert clear_cache() == size
    assert not made.exists()


def test_another_process_may_be_faster(quartets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, manifest = quartets["fp32"], Manifest.load(quartets["fp32"])
    monkeypatch.setenv("QUARTET_HOME", str(tmp_path))
    made = selected_head(folder, manifest, french(manifest))
    before = (made / "lm_head.onnx").stat().st_ino
    head._make(folder, manifest, load_rows(made), made)
    assert (made / "lm_head.onnx").stat().st_ino == before
    assert list(made.parent.iterdir()) == [made]


@pytest.mark.parametrize("file", head.NEEDED)
def test_a_damaged_head_is_made_again(quartets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog, file) -> None:
    folder, manifest = quartets["int8"], Manifest.load(quartets["int8"])
    monkeypatch.setenv("QUARTET_HOME", str(tmp_path))
    made = selected_head(folder, manifest, french(manifest))
    before = {path.name: path.read_bytes() for path in made.iterdir()}
    (made / file).write_bytes(before[file][:-1] + bytes([before[file][-1] ^ 1]))
    assert selected_head(folder, manifest, french(manifest), verify=True) == made
    assert {path.name: path.read_bytes() for path in made.iterdir()} == before
    (record,) = caplog.records
    assert file in record.getMessage()


def test_no_head_is_made_of_damaged_weights(quartets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its hashes would be those of the damage."""
    shutil.copytree(quartets["int8"], tmp_path / "quartet")
    manifest = Manifest.load(tmp_path / "quartet")
    monkeypatch.setenv("QUARTET_HOME", str(tmp_path / "home"))
    weights = tmp_path / "quartet" / manifest.lm_head.file
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ManifestError, match="is damaged"):
        selected_head(tmp_path / "quartet", manifest, french(manifest))
    assert not list((tmp_path / "home" / "heads").iterdir())


def test_a_cache_that_cannot_be_written(quartets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, manifest = quartets["fp32"], Manifest.load(quartets["fp32"])
    (tmp_path / "home").write_text("a file")
    monkeypatch.setenv("QUARTET_HOME", str(tmp_path / "home"))
    with pytest.raises(OutputError, match="home/heads cannot be written"):
        selected_head(folder, manifest, french(manifest))


def test_what_is_needed(quartets, tmp_path: Path) -> None:
    folder, manifest = quartets["fp32"], Manifest.load(quartets["fp32"])
    with pytest.raises(OptionError, match="missing cannot be read"):
        selected_head(folder, manifest, french(manifest), [tmp_path / "missing"])
    with pytest.raises(OptionError, match="has no tokeniser"):
        selected_head(folder, replace(manifest, tokenizer=None), None)
    plain = convert_folder(tiny.make(tmp_path / "plain", "marian-base"), tmp_path / "out")
    with pytest.raises(OptionError, match="has no tokeniser"):
        target_rows(tmp_path / "out", plain, None)

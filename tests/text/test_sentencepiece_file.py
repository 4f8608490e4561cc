"""Fewer pieces in a SentencePiece model: what does not need the missing ones is cut as before, the rest is spelled."""

import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

from quartet.errors import CheckpointError
from quartet.text.sentencepiece_file import BYTE, CONTROL, NORMAL, UNKNOWN, UNUSED, USER_DEFINED, read_pieces, without

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "src" / "quartet" / "demo" / "sentencepiece.bpe.model"
LINE = "the station is over there and other mothers went to this town with their brothers three times a year"
WORDS = LINE.split()
SENTENCES = [" ".join(WORDS[i:] + WORDS[:i]) for i in range(len(WORDS))] * 5


@pytest.fixture(scope="module", params=["bpe", "unigram", "bytes"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model; `bytes` falls back to them, and has a piece of its maker's."""
    out = io.BytesIO()
    more = {"byte_fallback": True, "user_defined_symbols": ["<sep>"]} if request.param == "bytes" else {}
    SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES),
        model_writer=out,
        model_type="unigram" if request.param == "unigram" else "bpe",
        vocab_size=70 + (257 if more else 0),
        hard_vocab_limit=False,
        self_test_sample_size=3,
        minloglevel=2,
        **more,
    )
    path = tmp_path_factory.mktemp("model") / f"{request.param}.model"
    path.write_bytes(out.getvalue())
    return path


def loaded(data: bytes) -> SentencePieceProcessor:
    return SentencePieceProcessor(model_proto=data)


def test_pieces_are_those_of_the_library(model: Path) -> None:
    processor = loaded(model.read_bytes())
    pieces = read_pieces(model)
    assert [piece.text for piece in pieces] == [processor.id_to_piece(i) for i in range(len(processor))]
    for i, piece in enumerate(pieces):
        assert (piece.type == UNKNOWN) == processor.is_unknown(i)
        assert (piece.type == CONTROL) == processor.is_control(i)
        assert (piece.type == UNUSED) == processor.is_unused(i)
        assert (piece.type == BYTE) == processor.is_byte(i)


def test_nothing_dropped_nothing_changed(model: Path) -> None:
    before, after = loaded(model.read_bytes()), loaded(without(model, set()))
    assert after.encode(SENTENCES) == before.encode(SENTENCES)
    assert len(after) == len(before)


@settings(max_examples=80)
@given(data=st.data())
def test_text_is_cut_as_before_or_spelled(model: Path, data: st.DataObject) -> None:
    normal = sorted(piece.text for piece in read_pieces(model) if piece.type == NORMAL)
    dropped = set(data.draw(st.lists(st.sampled_from([p for p in normal if len(p) > 1]), max_size=40)))
    text = " ".join(data.draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=8)))
    before, after = loaded(model.read_bytes()), loaded(without(model, dropped))
    pieces, found = before.encode(text, out_type=str), after.encode(text, out_type=str)
    assert not dropped & set(found)
    assert after.decode(after.encode(text)) == text
    if not dropped & set(pieces):
        assert found == pieces


@settings(max_examples=20)
@given(st.sets(st.integers(3, 5999), max_size=3000), st.sampled_from(["Where is the train station?", "Elle a ri."]))
def test_ids_are_compact_and_in_order(dropped: set[int], text: str) -> None:
    pieces = [piece.text for piece in read_pieces(DEMO)]
    gone = {pieces[i] for i in dropped if len(pieces[i]) > 1}
    kept = [piece for piece in pieces if piece not in gone]
    after = loaded(without(DEMO, gone))
    assert [after.id_to_piece(i) for i in range(len(kept))] == kept
    assert all(after.is_unused(i) for i in range(len(kept), len(after)))
    assert max(after.encode(text)) < len(kept)


def test_dropped_letters_are_unknown(model: Path) -> None:
    after = loaded(without(model, {p.text for p in read_pieces(model) if "y" in p.text}))
    found = after.encode("a year", out_type=str)
    assert found[:1] == ["▁a"]
    if model.stem == "bytes":
        assert "<0x79>" in found
        assert after.decode(after.encode("a year")) == "a year"
    else:
        assert after.unk_id() in after.encode("a year")


def test_bytes_and_pieces_of_the_maker_stay(tmp_path: Path, model: Path) -> None:
    special = {p.text: p.type for p in read_pieces(model) if p.type in (USER_DEFINED, BYTE)}
    (tmp_path / "less").write_bytes(without(model, {p.text for p in read_pieces(model) if p.type == NORMAL}))
    assert special.items() <= {p.text: p.type for p in read_pieces(tmp_path / "less")}.items()
    assert len(special) == (257 if model.stem == "bytes" else 0)


@pytest.mark.parametrize("content", [b"\x0a\xff", b"\x0a", b"\xff" * 20, b"\x0b\x01", b"\x0d\x01"])
def test_a_damaged_file_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "bad.model").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"bad\.model is no SentencePiece model"):
        read_pieces(tmp_path / "bad.model")

"""Translating with a part of the vocabulary: the same words, as long as the part has them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tiny
from demo_model import ENGLISH, FRENCH
from quartet import Translator
from quartet.conversion.convert import convert_folder
from quartet.errors import OptionError
from quartet.provision import ready
from quartet.runtime.engine import open_engine
from quartet.runtime.generate import SearchOptions, generate_batch
from quartet.runtime.machine.head_selection import selected_head, target_rows
from quartet.runtime.model import Model
from tiny_tokenizers import make

TEXTS = ["Where is the train station?", "Thank you.", "My brother is taller than me, but I am stronger."]


@pytest.fixture(scope="module", params=["fp32", "int8", "int4"])
def demo(request: pytest.FixtureRequest) -> Path:
    return ready("demo", request.param)


@pytest.mark.parametrize("beam_size", [1, 4])
@pytest.mark.parametrize("selection", ["auto", "text"])
def test_translations_are_the_same(demo: Path, beam_size: int, selection: str, tmp_path: Path) -> None:
    with Translator(demo, threads=1) as whole:
        expected = [found.text for found in whole.translate_batch(TEXTS, "fr", "en", beam_size=beam_size)]
    (tmp_path / "text").write_text("\n".join(expected), "utf-8")
    vocabulary = "auto" if selection == "auto" else tmp_path / "text"
    with Translator(demo, threads=1, vocabulary=vocabulary) as less:
        assert [found.text for found in less.translate_batch(TEXTS, "fr", "en", beam_size=beam_size)] == expected
        if beam_size == 1:
            assert list(less.stream(TEXTS[0], "fr", "en"))[-1] == expected[0]
            ids = [[ENGLISH, *whole_ids, 2] for whole_ids in map(less.tokenizer.encode, TEXTS)]
            assert [less.tokenizer.decode(row) for row in less.generate(ids, [2, FRENCH])] == expected


def test_only_what_was_selected_is_said(demo: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("Où est la gare ? Je ne sais pas.\n", "utf-8")
    with Translator(demo, threads=1) as whole, Translator(demo, threads=1, vocabulary=tmp_path / "text") as less:
        french = next(language for language in less.manifest.languages if language.code == "fra_Latn")
        rows = set(target_rows(demo, less.manifest, french, [tmp_path / "text"]).tolist())
        for text in TEXTS:
            ids = [ENGLISH, *less.tokenizer.encode(text), 2]
            model = less._open.model(head=less._head_for(less._open, french))
            said = generate_batch(model, [ids], [[2, FRENCH]], SearchOptions(max_new_tokens=20))
            assert set(said[0][0].tokens) <= rows
            assert whole.generate([ids], [2, FRENCH]) == less.generate([ids], [2, FRENCH])  # not limited


@pytest.mark.parametrize("kind", ["m2m100-untied", "marian", "marian-separate"])
@pytest.mark.parametrize("beam_size", [1, 3])
def test_the_search_over_fewer_rows(kind: str, beam_size: int, tmp_path: Path) -> None:
    """A model that may not say the other rows says the same as one that does not have them."""
    convert_folder(make(tmp_path / "checkpoint", kind), tmp_path / "whole", precision="fp32")
    text = tmp_path / "text"
    text.write_text("Où est la gare ?\n" * 2, "utf-8")
    engine = open_engine(tmp_path / "whole", 1)
    whole, manifest = _renormalizing(engine.model()), engine.manifest
    target = next(x for x in manifest.languages if x.code in ("fr", "fra"))
    less = _renormalizing(engine.model(head=selected_head(tmp_path / "whole", manifest, target, [text])))
    sources = [[5, 9, 33, 12, manifest.tokens.eos], [8, manifest.tokens.eos]]
    prefix = [manifest.tokens.decoder_start, *([target.token_id] if kind.startswith("m2m100") else [])]
    options = SearchOptions(beam_size=beam_size, num_hypotheses=beam_size, min_new_tokens=4, max_new_tokens=12)
    prefixes = [prefix, [*prefix, int(less.head_rows[9])]]
    found = generate_batch(less, sources, prefixes, options)
    said = {token for hypotheses in found for one in hypotheses for token in one.tokens}
    assert said
    assert said <= set(less.head_rows.tolist())
    gone = tuple(np.setdiff1d(np.arange(manifest.shapes.vocab_size), less.head_rows).tolist())
    expected = generate_batch(_renormalizing(whole, gone), sources, prefixes, options)
    assert [[x.tokens for x in row] for row in found] == [[x.tokens for x in row] for row in expected]


def _renormalizing(model: Model, forbidden: tuple[int, ...] = ()) -> Model:
    """A model whose scores count only what may be said."""
    generation = replace(model.manifest.generation, suppress_tokens=forbidden, renormalize_logits=True)
    return replace(model, manifest=replace(model.manifest, generation=generation))


def test_a_prefix_that_was_not_selected(tmp_path: Path) -> None:
    manifest = convert_folder(make(tmp_path / "checkpoint", "marian"), tmp_path / "whole", precision="fp32")
    (tmp_path / "text").write_text("la")
    head = selected_head(tmp_path / "whole", manifest, manifest.languages[1], [tmp_path / "text"])
    less = open_engine(tmp_path / "whole", 1).model(head=head)
    gone = int(np.setdiff1d(np.arange(manifest.shapes.vocab_size), less.head_rows)[3])
    with pytest.raises(OptionError, match=f"id {gone} of the prefix is not in the vocabulary selected"):
        generate_batch(less, [[5, 0]], [[manifest.tokens.decoder_start, gone]], SearchOptions())


def test_what_is_no_vocabulary(demo: Path) -> None:
    with pytest.raises(OptionError, match=r"vocabulary is .words\.txt.; expected auto or a file of text"):
        Translator(demo, vocabulary="words.txt")


def test_a_model_without_tokeniser_has_no_selection(tmp_path: Path) -> None:
    convert_folder(tiny.make(tmp_path / "checkpoint", "marian-base"), tmp_path / "out")
    with Translator(tmp_path / "out", vocabulary="auto") as model, pytest.raises(OptionError, match="no tokeniser"):
        model.translate("Hello.")

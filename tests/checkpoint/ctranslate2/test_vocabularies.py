"""What families make of the files beside a model: the same as of a checkpoint of transformers."""

import json
import shutil

import numpy as np
import pytest
from sentencepiece import SentencePieceProcessor

import tiny_tokenizers
from ctranslate2_models import variables, write_model_bin
from quartet import families
from quartet.checkpoint import open_checkpoint, opened
from quartet.checkpoint.ctranslate2.translation import _table
from quartet.families.tokenizers import M2M100_CODES

POSITIONS = {f"{side}/position_encodings/encodings": "fairseq" for side in ("encoder", "decoder")}


def vocabulary(folder, kind):
    """The tokens as CTranslate2's converter lists them: by id, with languages, and made-up ones at the end."""
    if kind == "nllb":
        pieces = SentencePieceProcessor(model_file=str(folder / "sentencepiece.bpe.model"))
        text = [pieces.id_to_piece(i) for i in range(3, len(pieces))]
        listed = json.loads((folder / "special_tokens_map.json").read_text())["additional_special_tokens"]
        return ["<s>", "<pad>", "</s>", "<unk>", *text, *listed, "<mask>"]
    entries = json.loads((folder / "vocab.json").read_text("utf-8"))
    text = sorted(entries, key=entries.__getitem__)
    if kind == "marian":
        return text[:-1]  # without <pad>
    languages = [f"__{code}__" for code in M2M100_CODES["m2m100"].split()]
    return [*text, *languages, *(f"madeupword{i}" for i in range(tiny_tokenizers.SPARE_ROWS))]


def ctranslate2_of(folder, out, kind):
    """A model of zeros with the tokeniser of a checkpoint."""
    out.mkdir()
    tokens = vocabulary(folder, kind)
    made = variables(len(tokens))
    if kind == "marian":
        made |= {"decoder/start_from_zero_embedding": np.int8(1)}
        made |= {f"{side}/{name}": np.int8(0) for side in ("encoder", "decoder") for name in ("pre_norm",)}
        made = {name: value for name, value in made.items() if "coder/layer_norm" not in name}
    del made["encoder/embeddings_0/weight"], made["decoder/projection/weight"]
    aliases = dict.fromkeys(("encoder/embeddings_0/weight", "decoder/projection/weight"), "decoder/embeddings/weight")
    table = _table("marian" if kind == "marian" else "fairseq", 64, 4).astype(np.float32)
    write_model_bin(out / "model.bin", made | dict.fromkeys(POSITIONS, table), aliases)
    (out / "shared_vocabulary.json").write_text(json.dumps(tokens))
    (out / "config.json").write_text(json.dumps({"decoder_start_token": "</s>"}))
    for copied in (*folder.glob("*.model"), *folder.glob("*.spm"), *folder.glob("README.md")):
        shutil.copyfile(copied, out / copied.name)
    if kind == "marian":
        shutil.copyfile(folder / "tokenizer_config.json", out / "tokenizer_config.json")
    return out


@pytest.mark.parametrize("kind", ["nllb", "m2m100", "marian"])
def test_languages_tokens_and_files(tmp_path, kind):
    folder = tiny_tokenizers.make(tmp_path / "checkpoint", kind)
    own = open_checkpoint(folder)
    expected = families.find(own.config).describe(own)
    with opened(ctranslate2_of(folder, tmp_path / "ct2", kind)) as checkpoint:
        family = families.find(checkpoint.config)
        found = family.describe(checkpoint)
        assert found.languages == expected.languages
        assert found.source_prompt == expected.source_prompt
        assert found.target_prompt == expected.target_prompt
        assert found.tokens == expected.tokens
        assert found.tokenizer_files == expected.tokenizer_files
        assert (found.tokenizer.kind, found.tokenizer.offset) == (expected.tokenizer.kind, expected.tokenizer.offset)
        assert found.tokenizer.special_tokens == expected.tokenizer.special_tokens
        for name in found.tokenizer_files:
            if name == "vocab.json":
                tables = [json.loads((place / name).read_text("utf-8")) for place in (checkpoint.folder, folder)]
                assert tables[0] == tables[1]
            else:
                assert (checkpoint.folder / name).read_bytes() == (folder / name).read_bytes()

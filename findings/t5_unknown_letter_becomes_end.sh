#!/usr/bin/env bash
# In transformers 5, T5Tokenizer takes the pieces of a model but not which of them is the unknown one: it always uses id
# 2, as T5 itself has it, and never falls back to bytes. A model in SentencePiece's own order (0 `<unk>`, 1 `<s>`, 2
# `</s>`), which MADLAD-400 has, gets the end of the sentence in the middle of it for every letter that it does not
# know, while `unk_token_id` of the same tokenizer says 0. Nothing is printed. A tokenizer.json with the right unk_id
# and byte_fallback in the folder does not help, for only its pieces are taken: the library tokenizers reads bytes out
# of the very file, as SentencePiece does out of the model. PreTrainedTokenizerFast, which takes the file as it is, does
# as well.
#
# transformers 5.24.0, tokenizers 0.23.3, sentencepiece 0.2.1, Python 3.11. Seen for `the ж train`, where the model
# has no ж, only its bytes 211 185 (unk_token_id 0, eos_token_id 2):
#   SentencePiece, tokenizers, PreTrainedTokenizerFast: [263, 260, 259, 211, 185, 263, 265, 268, 264, 261]
#   T5Tokenizer, AutoTokenizer, without and with tokenizer.json: [263, 260, 259, 2, 263, 265, 268, 264, 261]
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HUB_OFFLINE=1 HF_HOME="$work/home" TRANSFORMERS_VERBOSITY=error
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q transformers==5.24.0 tokenizers==0.23.3 sentencepiece==0.2.1 protobuf==6.33.0

cat > "$work/ids.py" <<'PY'
import io
import json
import sys
from pathlib import Path

import sentencepiece
from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast, T5Tokenizer

folder = Path(sys.argv[1])
folder.mkdir()
text = "the ж train"
lines = ["Where is the train station, and where is the tablet?", "The patient takes the train at noon."]
model = io.BytesIO()
sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter(lines * 5),
    model_writer=model,
    vocab_size=340,
    hard_vocab_limit=False,
    model_type="unigram",
    byte_fallback=True,
    minloglevel=2,
)
processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
config = {"unk_token": "<unk>", "pad_token": "<s>", "eos_token": "</s>", "extra_ids": 0}
(folder / "spiece.model").write_bytes(model.getvalue())
(folder / "config.json").write_text(json.dumps({"model_type": "t5"}))
(folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "T5Tokenizer", **config}))


def ids():
    tokenizers = [kind.from_pretrained(folder) for kind in (T5Tokenizer, AutoTokenizer)]
    assert all((tokenizer.unk_token_id, tokenizer.eos_token_id) == (0, 2) for tokenizer in tokenizers)
    return [tokenizer(text, add_special_tokens=False)["input_ids"] for tokenizer in tokenizers]


seen = ids()
T5Tokenizer.from_pretrained(folder).save_pretrained(folder)
path = folder / "tokenizer.json"
content = json.loads(path.read_text("utf-8"))
content["model"] |= {"unk_id": processor.unk_id(), "byte_fallback": True}
path.write_text(json.dumps(content), "utf-8")
seen += ids()
right = [processor.encode(text), Tokenizer.from_file(str(path)).encode(text, add_special_tokens=False).ids]
right.append(PreTrainedTokenizerFast.from_pretrained(folder)(text, add_special_tokens=False)["input_ids"])
for several in (right, seen):
    print(*sorted({str(one) for one in several}), sep=" or ")
PY

seen=$("$work/venv/bin/python" "$work/ids.py" "$work/model" 2> /dev/null)
echo "SentencePiece, tokenizers and PreTrainedTokenizerFast; T5Tokenizer and AutoTokenizer:"
echo "$seen"
[ "$seen" = "[263, 260, 259, 211, 185, 263, 265, 268, 264, 261]
[263, 260, 259, 2, 263, 265, 268, 264, 261]" ]

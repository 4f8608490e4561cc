#!/usr/bin/env bash
# In transformers 5 the NLLB tokenizer makes a token of a space at the end of a text, and of one before a special token:
# `the train ` ends with a lone `▁`, which SentencePiece never puts there: it drops such spaces. So does the tokenizer
# of 4.57.6, and the tokenizer.json that 4.57.6 saves says so too: its normalizer strips them. transformers 5 does not
# use that normalizer: it takes the pieces out of the file and puts a normalizer of its own before them. So a
# tokenizer.json in a folder does not tell what AutoTokenizer does; PreTrainedTokenizerFast takes it as it is. For the
# space at the end it helps to strip the text first.
#
# transformers 4.57.6 and 5.24.0, tokenizers 0.23.3, sentencepiece 0.2.1, Python 3.11. Seen for `the train ` and
# `the <ent> train`, where <ent> is a special token that was added:
#   SentencePiece: ▁the ▁train
#   AutoTokenizer of 4.57.6: ▁the ▁train; ▁the <ent> ▁train
#   its tokenizer.json, read by tokenizers and by PreTrainedTokenizerFast of 5.24.0: the same, the same
#   AutoTokenizer of 5.24.0: ▁the ▁train ▁; ▁the ▁ <ent> ▁train
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HUB_OFFLINE=1 HF_HOME="$work/home" TRANSFORMERS_VERBOSITY=error
pieces=(sentencepiece==0.2.1 protobuf==6.33.0)
python3 -m venv "$work/old"
"$work/old/bin/pip" install -q transformers==4.57.6 "${pieces[@]}"
python3 -m venv "$work/new"
"$work/new/bin/pip" install -q transformers==5.24.0 tokenizers==0.23.3 "${pieces[@]}"

cat > "$work/save.py" <<'PY'
import io
import json
import sys
from pathlib import Path

import sentencepiece
from transformers import AutoTokenizer

folder = Path(sys.argv[1])
folder.mkdir()
lines = ["Where is the train station, and where is the tablet?", "The patient takes the train at noon."]
model = io.BytesIO()
sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter(lines * 5), model_writer=model, vocab_size=60, model_type="bpe", minloglevel=2
)
config = {"tokenizer_class": "NllbTokenizer", "additional_special_tokens": ["eng_Latn"], "src_lang": "eng_Latn"}
(folder / "sentencepiece.bpe.model").write_bytes(model.getvalue())
(folder / "config.json").write_text(json.dumps({"model_type": "m2m_100"}))
(folder / "tokenizer_config.json").write_text(json.dumps(config))
tokenizer = AutoTokenizer.from_pretrained(folder)
tokenizer.add_tokens(["<ent>"], special_tokens=True)
tokenizer.save_pretrained(folder)
processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
print(*processor.encode("the train ", out_type=str))
PY

cat > "$work/tokens.py" <<'PY'
import sys

from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast

folder, reader = sys.argv[1:]
if reader == "tokenizers":
    file = Tokenizer.from_file(f"{folder}/tokenizer.json")
    tokens = [file.encode(text, add_special_tokens=False).tokens for text in ("the train ", "the <ent> train")]
else:
    tokenizer = {"auto": AutoTokenizer, "fast": PreTrainedTokenizerFast}[reader].from_pretrained(folder)
    tokens = [tokenizer.tokenize(text) for text in ("the train ", "the <ent> train")]
print("; ".join(" ".join(one) for one in tokens))
PY

tokens() { "$work/$1/bin/python" "$work/tokens.py" "$work/saved" "$2" 2> /dev/null; } # tokens VERSION READER

sentencepiece=$("$work/old/bin/python" "$work/save.py" "$work/saved" 2> /dev/null)
old=$(tokens old auto)
file=$(tokens new tokenizers)
fast=$(tokens new fast)
new=$(tokens new auto)
printf '%s\n' "SentencePiece: $sentencepiece" "4.57.6: $old" "its tokenizer.json, by tokenizers: $file" \
  "and by PreTrainedTokenizerFast of 5.24.0: $fast" "5.24.0: $new"
[ "$sentencepiece" = "▁the ▁train" ]
right="▁the ▁train; ▁the <ent> ▁train"
[ "$old, $file, $fast" = "$right, $right, $right" ]
[ "$new" = "▁the ▁train ▁; ▁the ▁ <ent> ▁train" ]

#!/usr/bin/env bash
# transformers 5 loses the space before a word that was added to an M2M100 tokenizer: the text `the Zyxwv train` becomes
# three tokens, the same in both versions, and these tokens become `theZyxwv train` again. 4.57.6 put spaces around
# every added word, so a model that was trained with added words (names, terms) writes worse text after the upgrade,
# though its ids are right. Two added words in a row are glued as well. Neither spaces_between_special_tokens=True nor
# clean_up_tokenization_spaces=False brings the spaces back.
#
# transformers 4.57.6 and 5.24.0, sentencepiece 0.2.1, Python 3.11. Seen (ids; decoded, and with the two options):
#   4.57.6: [7, 61, 18] the Zyxwv train|the Zyxwv train|the Zyxwv train; Zyxwv Zyxwv
#   5.24.0: [7, 61, 18] theZyxwv train|theZyxwv train|theZyxwv train; ZyxwvZyxwv
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HUB_OFFLINE=1 HF_HOME="$work/home" TRANSFORMERS_VERBOSITY=error

cat > "$work/decode.py" <<'PY'
import io
import json
import sys
from pathlib import Path

import sentencepiece
from transformers import M2M100Tokenizer

folder = Path(sys.argv[1])
folder.mkdir()
lines = ["Where is the train station, and where is the tablet?", "The patient takes the train at noon."]
model = io.BytesIO()
sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter(lines * 5), model_writer=model, vocab_size=60, model_type="bpe", minloglevel=2
)
(folder / "sentencepiece.bpe.model").write_bytes(model.getvalue())
processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
pieces = [processor.id_to_piece(i) for i in range(3, len(processor))]
words = ["<s>", "<pad>", "</s>", "<unk>", *pieces]
(folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))

tokenizer = M2M100Tokenizer.from_pretrained(folder, src_lang="en", tgt_lang="fr")
tokenizer.add_tokens(["Zyxwv"])
ids, twice = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("the Zyxwv train", "Zyxwv Zyxwv"))
options = ({}, {"spaces_between_special_tokens": True}, {"clean_up_tokenization_spaces": False})
print(ids, "|".join(tokenizer.decode(ids, **more) for more in options) + ";", tokenizer.decode(twice))
PY

decoded() { # decoded VERSION: what this version of transformers makes of the ids
  python3 -m venv "$work/$1"
  "$work/$1/bin/pip" install -q "transformers==$1" sentencepiece==0.2.1 protobuf==6.33.0
  "$work/$1/bin/python" "$work/decode.py" "$work/model-$1" 2> /dev/null
}

old=$(decoded 4.57.6)
new=$(decoded 5.24.0)
echo "4.57.6: $old"
echo "5.24.0: $new"
[ "$old" = "[7, 61, 18] the Zyxwv train|the Zyxwv train|the Zyxwv train; Zyxwv Zyxwv" ]
[ "$new" = "[7, 61, 18] theZyxwv train|theZyxwv train|theZyxwv train; ZyxwvZyxwv" ]

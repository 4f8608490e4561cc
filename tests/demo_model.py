"""What tests need to know of the checkpoint in the package, read from its files."""

import json
from pathlib import Path

DEMO = Path(__file__).parents[1] / "src" / "quartet" / "demo"
CONFIG = json.loads((DEMO / "config.json").read_text("utf-8"))
_TOKENS = json.loads((DEMO / "tokenizer.json").read_text("utf-8"))["added_tokens"]
ID_OF = {token["content"]: int(token["id"]) for token in _TOKENS}  # of languages and special tokens
ENGLISH, FRENCH, GERMAN = (ID_OF[code] for code in ("eng_Latn", "fra_Latn", "deu_Latn"))

"""Convert a checkpoint to CTranslate2, int8. Needs ctranslate2, torch and transformers (sacremoses is not needed).

    python benchmarks/ctranslate2_model.py CHECKPOINT FOLDER

A checkpoint without a tokeniser gets a vocabulary of made-up tokens, whose places are the ids.
"""

import sys
from pathlib import Path

from ctranslate2.converters import TransformersConverter
from ctranslate2.converters.converter import Converter
from ctranslate2.converters.transformers import M2M100Loader
from ctranslate2.specs.model_spec import ModelSpec
from transformers import M2M100ForConditionalGeneration

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]


class WithoutTokenizer(Converter):
    def __init__(self, checkpoint: Path) -> None:
        self.checkpoint = checkpoint

    def _load(self) -> ModelSpec:
        model = M2M100ForConditionalGeneration.from_pretrained(self.checkpoint)
        spec = M2M100Loader().get_model_spec(model)
        tokens = SPECIAL + [f"t{i}" for i in range(len(SPECIAL), model.config.vocab_size)]
        spec.register_source_vocabulary(tokens)
        spec.register_target_vocabulary(tokens)
        spec.config.bos_token, _, spec.config.eos_token, spec.config.unk_token = SPECIAL
        spec.config.decoder_start_token = spec.config.eos_token
        return spec


def main() -> None:
    checkpoint, folder = map(Path, sys.argv[1:])
    spm = [path.name for path in checkpoint.glob("*.spm")]
    has_tokenizer = (checkpoint / "tokenizer_config.json").exists()
    real = TransformersConverter(str(checkpoint), copy_files=spm) if has_tokenizer else WithoutTokenizer(checkpoint)
    real.convert(str(folder), quantization="int8", force=True)


if __name__ == "__main__":
    main()

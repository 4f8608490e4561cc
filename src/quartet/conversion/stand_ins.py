"""Which stand-ins a model copies (`text.stand_ins`): the quartet that was just written is asked."""

from pathlib import Path

from quartet.conversion.calibration.examples import generated
from quartet.spec import Language, Manifest
from quartet.text.languages import iso639_1
from quartet.text.prompts import prompt_ids
from quartet.text.stand_ins import PROBES, Style, best_styles, survival
from quartet.text.tokenizer import Tokenizer, load_tokenizer

MOST_DIRECTIONS = 2
LONGEST = 40  # tokens of a translation: the probes are short


def copied_stand_ins(folder: Path, manifest: Manifest) -> tuple[Style, ...] | None:
    """The styles that the quartet in `folder` copies, the best first; None where there is no text to try them with."""
    if manifest.tokenizer is None:
        return None
    tokenizer = load_tokenizer(folder, manifest.tokenizer)
    found = [_survival(folder, manifest, tokenizer, *direction) for direction in _directions(manifest)]
    return best_styles(found) if found else None


def _directions(manifest: Manifest) -> list[tuple[Language, Language]]:
    """From languages that there are probes in, each to another one."""
    by_code = {code: language for language in manifest.languages if (code := iso639_1(language.code)) is not None}
    sources = [by_code[code] for code in PROBES if code in by_code and by_code[code].source]
    targets = [by_code[code] for code in PROBES if code in by_code and by_code[code].target]
    targets += [language for language in manifest.languages if language.target and language not in targets]
    pairs = ((source, next((target for target in targets if target != source), None)) for source in sources)
    return [(source, target) for source, target in pairs if target is not None][:MOST_DIRECTIONS]


def _survival(
    folder: Path, manifest: Manifest, tokenizer: Tokenizer, source: Language, target: Language
) -> dict[Style, float]:
    tokens = manifest.tokens
    prefix = prompt_ids(manifest.target_prompt, tokens, source, target)

    def translate(texts: list[str]) -> list[str]:
        sources = [prompt_ids(manifest.source_prompt, tokens, source, target, tokenizer.encode(text)) for text in texts]
        return [tokenizer.decode(ids) for ids in generated(folder, sources, [prefix] * len(sources), LONGEST)]

    return survival(translate, source.code)

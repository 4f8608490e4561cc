"""An LM head for one target language alone: rows of the whole one, built once and kept in the cache.

The head computes only the rows that text in the language can need; its ids are places in the list of these rows. The
embedding stays whole, so that any source text is read as before.
"""

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from quartet import derived
from quartet.arrays import Ids
from quartet.errors import ManifestError, OptionError, OutputError
from quartet.runtime.machine.packing import remove
from quartet.spec import FORMAT_VERSION, LM_HEAD, MANIFEST_NAME, Language, Manifest, file_entry
from quartet.staging import staged_folder
from quartet.store import HEADS, cache_folder
from quartet.text.vocabulary import rows_of, sides

log = logging.getLogger("quartet")

ROWS = "rows.npy"  # ids [n] of the rows, ascending, int64
NEEDED = (f"{LM_HEAD}.onnx", f"{LM_HEAD}.onnx.data", ROWS)
VERSION = 2  # of what is in the cache


def selected_head(
    folder: Path, manifest: Manifest, target: Language | None, texts: Sequence[Path] = (), *, verify: bool = False
) -> Path:
    """The folder with the head (`lm_head.onnx`) and its `rows.npy` for a target language, made where there is none.

    texts: text in the language, of which the pieces are kept; none: all pieces in its script. verify: look at every
    byte of a head that is there, else at some of them; one that has changed is made again. Raises `OptionError` where
    the model has no SentencePiece tokeniser or a text cannot be read, `ManifestError` where the quartet's own head is
    damaged, and `OutputError` where the cache cannot be written.
    """
    heads = cache_folder() / HEADS
    made = heads / _key(manifest, target, texts)
    if made.is_dir() and (damage := derived.damage(made, made.name, NEEDED, wholly=verify)):
        log.warning("a vocabulary of one language is damaged and is made again: in %s, %s", made, damage)
        remove(made)
    if not made.is_dir():
        try:
            heads.mkdir(parents=True, exist_ok=True)
            _make(folder, manifest, target_rows(folder, manifest, target, texts), made)
        except OSError as error:
            if isinstance(error, OutputError):
                raise
            raise OutputError(f"the cache folder {heads} cannot be written ({error.strerror})") from None
    return made


def check_head(made: Path) -> None:
    """Raise `ManifestError` where anything of a selected head has changed since it was made."""
    if damage := derived.damage(made, made.name, NEEDED, wholly=True):
        raise ManifestError(f"{made} is damaged ({damage}); delete it, or run `quartet cache clear`")


def load_rows(made: Path) -> Ids:
    """Ids [n] of the rows of a selected head."""
    rows: Ids = np.load(made / ROWS)
    return rows


def target_rows(folder: Path, manifest: Manifest, target: Language | None, texts: Sequence[Path] = ()) -> Ids:
    """Ids [n], ascending, that a translation into the language can need: control tokens and pieces."""
    if manifest.tokenizer is None:
        raise OptionError(f"{folder} has no tokeniser: which rows a language needs is not known")
    side = sides(folder, manifest.tokenizer)[-1]
    pieces = rows_of(side, [target.code] if target else [], texts)
    others = {language.token_id for language in manifest.languages if language != target}
    tokens, generation = manifest.tokens, manifest.generation
    control = {*side.specials.values(), tokens.eos, tokens.pad, tokens.decoder_start, tokens.unk}
    control |= {target.token_id if target else None, generation.forced_bos, generation.forced_eos}
    kept = pieces | {i for i in control - others if i is not None}
    return np.array(sorted(i for i in kept if i < manifest.shapes.vocab_size), np.int64)


def _key(manifest: Manifest, target: Language | None, texts: Sequence[Path]) -> str:
    """A name that changes with everything that the head is made of."""
    matrix, tokenizer = manifest.lm_head, manifest.tokenizer
    if matrix is None or tokenizer is None:
        raise OptionError(f"{manifest.name} has no tokeniser: which rows a language needs is not known")
    names = (tokenizer.source_model, tokenizer.target_model, tokenizer.vocab, tokenizer.target_vocab)
    hashes = [manifest.files[name].sha256 for name in (matrix.file, *filter(None, names))]
    key = [VERSION, FORMAT_VERSION, hashes, target and target.code, [_sha256(path) for path in texts]]
    if tokenizer.added_words:
        key.append([word.id for word in tokenizer.added_words])
    return hashlib.sha256(json.dumps(key).encode()).hexdigest()[:24]


def _sha256(path: Path) -> str:
    try:
        return file_entry(path).sha256
    except OSError as error:
        raise OptionError(f"{path} cannot be read: {error.strerror}") from None


def _make(folder: Path, manifest: Manifest, rows: Ids, made: Path) -> None:
    """Write the head beside its place and move it there; where another process was faster, its head is as good."""
    from quartet.runtime.machine.selected_head import write_selected_head  # noqa: PLC0415 - onnx_ir is slow to import

    if manifest.lm_head is None:
        raise ManifestError(f"{folder} was made by an older quartet; convert the model again")
    matrix = folder / manifest.lm_head.file
    if file_entry(matrix) != manifest.files[matrix.name]:  # nobody would see it afterwards
        raise ManifestError(f"{matrix} is damaged: its SHA-256 differs from {MANIFEST_NAME}; convert the model again")
    with staged_folder(made) as staging:
        write_selected_head(folder, manifest.lm_head, rows, staging)
        np.save(staging / ROWS, rows)
        derived.seal(staging, made.name)
    if damage := derived.damage(made, made.name, NEEDED):
        raise OutputError(f"{made} cannot be written: {damage}")

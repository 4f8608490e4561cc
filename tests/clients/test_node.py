"""clients/js in Node: the same folder, the same tokens and the same text as in Python."""

import json

import pytest

import tiny
import tiny_tokenizers
from quartet import Translator
from quartet.conversion.convert import convert_folder
from quartet.text.tokenizer import load_tokenizer

pytestmark = pytest.mark.slow

ENGLISH = [
    "Where is the train station?",
    "I don't know where she lives.",
    "She said “多谢” and left.",
    "</s> is not the end; neither is fra_Latn.",
    "  Two  spaces,\ttabs and ﬁne ligatures １２３ !  ",
]
FRENCH = ["Je ne sais pas où elle habite.", "C'est très beau, n'est-ce pas ?"]


@pytest.mark.parametrize(("source", "target", "texts"), [("eng", "fra", ENGLISH), ("fra", "eng", FRENCH)])
def test_the_same_tokens_as_in_python(model, source, target, texts, node):
    codes = (f"{source}_Latn", f"{target}_Latn")
    printed = node("js/translate.js", "--ids", model, *codes, *texts)
    assert printed.stderr == ""
    found = [json.loads(line) for line in printed.stdout.splitlines()]
    with Translator(model, threads=1) as translator:
        tokenizer = load_tokenizer(model, translator.manifest.tokenizer)
        language = {entry.code: entry.token_id for entry in translator.manifest.languages}
        sources = [[language[codes[0]], *tokenizer.encode(text), 2] for text in texts]
        assert [entry["source"] for entry in found] == sources
        expected = translator.generate(sources, [2, language[codes[1]]])
    assert [entry["tokens"] for entry in found] == expected


@pytest.mark.parametrize("kind", ["m2m100", "marian", "madlad"])
def test_a_tokenizer_json_that_conversion_made(kind, tmp_path, node):
    folder = tmp_path / "model"
    manifest = convert_folder(tiny_tokenizers.make(tmp_path / "checkpoint", kind), folder, precision="fp32")
    tokenizer = load_tokenizer(folder, manifest.tokenizer)
    texts = ["Where is the train station?", "  It is cold,  isn't it? ", "Où est la gare, s'il vous plaît ?"]
    texts += ["多谢 🙂 left"] if kind == "madlad" else []  # letters that the vocabulary lacks are bytes
    code = (
        'import { open } from "./node.js"; import { decode, encode } from "./quartet.js";'
        "const [folder, texts] = process.argv.slice(1); const model = await open(folder);"
        "for (const text of JSON.parse(texts)) { const ids = encode(model, text);"
        "console.log(JSON.stringify([ids, decode(model, ids)])); }"
    )
    printed = node("--input-type=module", "-e", code, folder, json.dumps(texts))
    assert printed.stderr == ""
    expected = [[tokenizer.encode(text), tokenizer.decode(tokenizer.encode(text))] for text in texts]
    assert [json.loads(line) for line in printed.stdout.splitlines()] == expected


def test_a_language_typed_as_text_is_text(tmp_path, node):
    """MADLAD-400: the space and the language's token come before the text, and none of it is made of text."""
    folder = tmp_path / "model"
    manifest = convert_folder(tiny_tokenizers.make(tmp_path / "checkpoint", "madlad"), folder, precision="fp32")
    french = next(language.token_id for language in manifest.languages if language.code == "fr")
    texts = ["<2en> Where is it?", "</s> <unk> <0x41>", "I don't know!"]
    printed = node("js/translate.js", "--ids", folder, "en", "fr", *texts)
    assert printed.stderr == ""
    found = [json.loads(line) for line in printed.stdout.splitlines()]
    control = {*manifest.tokenizer.special_tokens.values()}
    for entry in found:
        space, target, *text, end = entry["source"]
        assert (space, target, end) == (manifest.tokens.space, french, manifest.tokens.eos)
        assert not control & {*text}
    with Translator(folder, threads=1) as translator:
        assert [entry["tokens"] for entry in found] == translator.generate([entry["source"] for entry in found], [0])
        assert found[2]["source"][2:-1] == translator.tokenizer.encode(texts[2])


def test_the_same_text_as_in_python(model, node):
    texts = [*ENGLISH[:2], "It is cold today. We are going home.  He has two sisters. Can you help me?\n"]
    printed = node("js/translate.js", model, "eng_Latn", "fra_Latn", *texts)
    with Translator(model, threads=1) as translator:
        expected = [translator.translate(text, "fra_Latn", "eng_Latn", split="sentences").text for text in texts]
    assert printed.stdout == "".join(f"{text}\n" for text in expected)


def test_lines_and_white_space_stay(model, node):
    """Every sentence is translated by itself; what is around it, and lines without a letter, are copied."""
    sentences = ("Good morning.", "Thank you.", "It is cold today.", "Where is the train station?")
    layouts = ("{0}\n{1}", "{0}  {2}\r\n\r\n {1} \r{3}", "\n* * *\n\t{0}\n1984\n\n{2} {3}\u2028{1}\n", " \n ", "12:30")
    code = (
        'import { open } from "./node.js"; import { translate } from "./quartet.js";'
        "const [folder, texts] = process.argv.slice(1); const model = await open(folder);"
        "const found = []; for (const text of JSON.parse(texts))"
        'found.push(await translate(model, text, "eng_Latn", "fra_Latn")); console.log(JSON.stringify(found));'
    )
    texts = json.dumps([text.format(*sentences) for text in layouts])
    printed = node("--input-type=module", "-e", code, model, texts)
    assert printed.stderr == ""
    with Translator(model, threads=1) as translator:
        alone = [translator.translate(sentence, "fra_Latn", "eng_Latn").text for sentence in sentences]
    assert json.loads(printed.stdout) == [text.format(*alone) for text in layouts]


@pytest.mark.parametrize(
    "parts",
    [
        ["Mr. Smith is here. ", "He said “Go.” ", "Then he left.\r\n", "\r\n", "Version 1.2.3 is out.\r", "Yes"],
        ["我来了。", "你好！\n", "क्या हाल है। ", "ठीक है।"],
        ["  \n", "\u2028", "Wait… ", "What?! ", "M. Dupont est là."],
        ["Hello there. "] * 2000,
        ["." * 100_000],
    ],
    ids=lambda parts: parts[0][:20],
)
def test_sentences(parts, node):
    code = (
        'import { split } from "./quartet.js"; import { readFileSync } from "node:fs";'
        "console.log(JSON.stringify(split(JSON.parse(readFileSync(0)))));"
    )
    printed = node("--input-type=module", "-e", code, given=json.dumps("".join(parts)))
    assert printed.stderr == ""
    assert json.loads(printed.stdout) == parts


@pytest.mark.parametrize("variant", ["m2m100-untied", "marian-base", "marian-separate-sizes"])
def test_generation_without_a_tokeniser(variant, tmp_path, node):
    manifest = convert_folder(tiny.make(tmp_path / "checkpoint", variant), tmp_path / "model")
    language = tiny.forced_bos(variant)
    prompt = [manifest.tokens.decoder_start, *([] if language is None else [language])]
    sources = tiny.inputs(variant, 3)
    code = (
        'import { open } from "./node.js"; import { generate } from "./quartet.js";'
        "const [folder, sources, prompt] = process.argv.slice(1); const model = await open(folder);"
        "for (const source of JSON.parse(sources)) { const tokens = [];"
        "for await (const token of generate(model, source, JSON.parse(prompt))) tokens.push(token);"
        "console.log(JSON.stringify(tokens)); }"
    )
    printed = node("--input-type=module", "-e", code, tmp_path / "model", json.dumps(sources), json.dumps(prompt))
    assert printed.stderr == ""
    with Translator(tmp_path / "model", threads=1) as translator:
        assert [json.loads(line) for line in printed.stdout.splitlines()] == translator.generate(sources, prompt)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("MODEL", "eng_Latn", "ita_Latn", "Hi."), "no target language ita_Latn; there are deu_Latn, eng_Latn"),
        (("MODEL", "eng_Latn"), "usage: node translate.js"),
        (("NOWHERE", "eng_Latn", "fra_Latn", "Hi."), "NOWHERE/quartet.json"),
    ],
)
def test_a_mistake_is_one_line(arguments, message, model, node):
    given = [str(model) if argument == "MODEL" else argument for argument in arguments]
    printed = node("js/translate.js", *given)
    assert (printed.returncode, printed.stdout) == (1, "")
    assert printed.stderr.count("\n") == 1
    assert message in printed.stderr


def test_layouts_and_versions_that_it_does_not_know(model, tmp_path, node):
    for change, message in ({"layout": "rtranslator"}, "layout rtranslator"), ({"format_version": "3.0"}, "format 3.0"):
        manifest = json.loads((model / "quartet.json").read_text("utf-8")) | change
        (tmp_path / "quartet.json").write_text(json.dumps(manifest), "utf-8")
        assert message in node("js/translate.js", tmp_path, "eng_Latn", "fra_Latn", "Hi.").stderr


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"../x": {"bytes": 1}}, 'files has the name "../x"; expected that of a file beside it'),
        ({"encoder.onnx/../x": {"bytes": 1}}, 'files has the name "encoder.onnx/../x"'),
        ({"https://example.org": {"bytes": 1}}, 'files has the name "https://example.org"'),
        ({"x": {"bytes": -1}}, "files.x.bytes is -1; expected an integer of 0 or more"),
        ({"x": None}, "files.x.bytes is undefined"),
    ],
)
def test_files_are_beside_the_manifest(model, tmp_path, node, entries, message):
    manifest = json.loads((model / "quartet.json").read_text("utf-8")) | {"files": entries}
    (tmp_path / "quartet.json").write_text(json.dumps(manifest), "utf-8")
    printed = node("js/translate.js", tmp_path, "eng_Latn", "fra_Latn", "Hi.")
    assert (printed.returncode, printed.stdout) == (1, "")
    assert message in printed.stderr

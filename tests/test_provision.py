import contextlib
import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
from platformdirs import user_cache_dir

import tiny_speech_text
import tiny_text
from quartet import catalog, derived, provision, store
from quartet.catalog import Source, aliases, resolve
from quartet.checkpoint import hub
from quartet.errors import ManifestError, ModelNotFoundError, OptionError, OutputError
from quartet.progress import silent, terminal_bar
from quartet.provision import ready
from quartet.spec import NOT_HASHED, FileEntry, Generation, Manifest, Origin, Shapes, Tokens
from quartet.store import clear_cache, list_cached

MANIFEST = Manifest(
    family="marian",
    name="",
    revision=None,
    license="MIT",
    precision="fp32",
    layout="quartet",
    shapes=Shapes(8, 16, 1, 1, 2, 4, 32, 32),
    tokens=Tokens(0, 1, 1),
    generation=Generation(32),
    source_prompt=("text", "eos"),
    target_prompt=("decoder_start",),
    safe_length=32,
    languages=(),
    tokenizer=None,
    files={"encoder.onnx": FileEntry(5, NOT_HASHED)},
)


def silent_bar(description: str, unit: str) -> contextlib.nullcontext:
    return contextlib.nullcontext(silent)


def fake_convert(folder: Path, out_dir: Path, *, precision: str, origin: Origin, progress: object = None) -> None:
    assert (folder / "config.json").is_file()
    out_dir.mkdir(parents=True)
    (out_dir / "encoder.onnx").write_bytes(b"graph")
    facts = vars(origin) | {"safe_length": MANIFEST.safe_length}
    dataclasses.replace(MANIFEST, **facts, precision=precision).save(out_dir)


def refuse_convert(folder: Path, out_dir: Path, *, precision: str, origin: Origin, progress: object = None) -> None:
    pytest.fail(f"{origin.name} is converted again")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QUARTET_HOME", str(tmp_path / "cache"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "cache"


def start(script: str, *arguments: str) -> subprocess.Popen[str]:
    """Run a script in a process that sees the modules that this one sees."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.Popen([sys.executable, "-c", script, *arguments], env=env, stdout=subprocess.PIPE, text=True)


def output(process: subprocess.Popen[str]) -> str:
    text = process.communicate(timeout=60)[0]
    assert process.returncode == 0
    return text


def make_checkpoint(name: str) -> Path:
    folder = Path(name)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def make_quartet(name: str) -> None:
    fake_convert(make_checkpoint(f"{name}-checkpoint"), Path(name), precision="fp32", origin=Origin(name, None, "MIT"))


@pytest.fixture
def downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None, bool, bool]]:
    """Replace the hub by a checkpoint on disk; records what is asked for."""
    folder = make_checkpoint(str(tmp_path / "downloaded"))
    (folder / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n")
    asked = []

    def download(repo: str, revision: str | None, *, bars: object, known: list[str]) -> tuple[Path, str]:
        asked.append((repo, revision, bars is terminal_bar, "Helsinki-NLP/opus-mt-en-fr" in known))
        return folder, "c0ffee"

    monkeypatch.setattr(hub, "download", download)
    return asked


# ---- names ----


def test_a_folder_comes_before_every_other_meaning():
    for name in ("demo", "opus-mt-en-fr", "org/name"):
        folder = make_checkpoint(name)
        assert resolve(name) == Source("checkpoint", folder.name, folder)
    make_quartet("mine")
    assert resolve("mine") == Source("quartet", "mine", Path("mine"))


def test_a_folder_that_is_no_model_hides_no_alias():
    for name in ("demo", "opus-mt-en-fr", "org/name", "other"):
        Path(name).mkdir(parents=True)
    assert resolve("demo").folder == catalog.DEMO_FOLDER
    assert resolve("opus-mt-en-fr").kind == "hub"
    for name in ("org/name", "other", "./demo", "."):
        with pytest.raises(ModelNotFoundError, match=r"neither quartet\.json nor config\.json"):
            resolve(name)


def test_demo_is_a_checkpoint_in_the_package():
    source = resolve("demo")
    assert source.kind == "checkpoint"
    assert source.folder
    assert (source.folder / "model.safetensors").is_file()


def test_aliases_and_repositories_mean_the_same_source():
    source = Source("hub", "facebook/nllb-200-distilled-600M", license="CC-BY-NC-4.0")
    assert resolve("nllb-200-distilled-600M") == resolve("facebook/nllb-200-distilled-600M") == source
    assert resolve("nllb-200-distilled-600M", "v1") == dataclasses.replace(source, revision="v1")
    assert resolve("opus-mt-en-de").license == "CC-BY-4.0"


def test_unlisted_opus_mt_pairs_follow_the_rule():
    assert "opus-mt-sv-fi" not in aliases()
    assert resolve("opus-mt-sv-fi") == Source("hub", "Helsinki-NLP/opus-mt-sv-fi")
    for name in ("opus-mt-fr", "opus-mt-1-2", "opus-mt-en-fr-big"):
        with pytest.raises(ModelNotFoundError):
            resolve(name)


def test_the_table_of_aliases_is_sound():
    for name, alias in aliases().items():
        assert alias.repo.endswith(f"/{name}")
        assert catalog.REPO_ID.fullmatch(alias.repo)
        assert alias.license in ("Apache-2.0", "CC-BY-4.0", "CC-BY-NC-4.0", "MIT")
        assert alias.parameters or name.startswith(("opus-mt-", "madlad400-"))
        assert alias.about


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nllb-200-distiled-600M", "did you mean nllb-200-distilled-600M"),
        ("Opus-MT-en-FR", "did you mean opus-mt-en-fr"),
        ("dmeo", "did you mean demo"),
        ("zzzzzz", "no model 'zzzzzz'; a model is"),
        ("", "no model ''"),
        ("  ", "no model '  '"),
        ("./missing", "no such folder"),
        ("/missing/folder", "no such folder"),
        ("missing/", "no such folder"),
        ("a/b/c", "no such folder"),
        ("~/missing-quartet-model", "no such folder"),
        ("~nobody-of-this-name/model", "no such folder"),
        ("..", "neither"),
        ("C:\\models", "no such folder"),
        ("a\0b", "no model 'a\\x00b'"),
        ("x" * 5000, "no model"),
        ("\udc80", "no model"),
        ("weights.safetensors", "it is a file; name the folder"),
    ],
)
def test_a_name_that_means_nothing(name, message):
    Path("weights.safetensors").write_bytes(b"")
    with pytest.raises(ModelNotFoundError) as caught:
        resolve(name)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_only_the_hub_has_revisions():
    make_checkpoint("mine")
    for name in ("demo", "mine"):
        with pytest.raises(OptionError, match=f"{name} has no revision 'v1'"):
            resolve(name, "v1")
        with pytest.raises(OptionError) as caught:
            resolve(name, "v" * 500)
        assert len(str(caught.value)) < 200


# ---- the cache ----


def test_cache_folder(cache, monkeypatch):
    assert store.cache_folder() == cache
    monkeypatch.setenv("QUARTET_HOME", "~/somewhere")
    assert store.cache_folder() == Path.home() / "somewhere"
    for unset in ("", " "):
        monkeypatch.setenv("QUARTET_HOME", unset)
        assert store.cache_folder() == Path(user_cache_dir("quartet", appauthor=False))


def test_converted_once_and_again_when_the_checkpoint_changes():
    weights = make_checkpoint("mine") / "model.safetensors"
    first = ready("mine", convert=fake_convert)
    assert (
        ready("mine", convert=refuse_convert) == ready(str(weights.parent.resolve()), convert=refuse_convert) == first
    )
    (weights.parent / "notes.txt").write_text("no part of the model")
    assert ready("mine", convert=refuse_convert) == first
    os.utime(weights, ns=(0, 0))
    second = ready("mine", convert=fake_convert)
    weights.write_bytes(b"longer weights")
    assert len({first, second, ready("mine", convert=fake_convert)}) == 3


@pytest.mark.parametrize(
    "file",
    [
        "README.md",
        "onnx/encoder_model.onnx",
        "onnx/weights.onnx_data",
        "merges.txt",
        "tokenizer.json",
        "model/model.bin",
    ],
)
def test_everything_that_conversion_reads_counts(file):
    make_checkpoint("mine")
    first = ready("mine", convert=fake_convert)
    Path("mine", file).parent.mkdir(exist_ok=True)
    Path("mine", file).write_text("new")
    second = ready("mine", convert=fake_convert)
    Path("mine", file).write_text("newer")
    assert len({first, second, ready("mine", convert=fake_convert)}) == 3


def test_folders_of_the_same_name_are_different_models():
    make_checkpoint("a/mine")
    make_checkpoint("b/mine")
    assert ready("a/mine", convert=fake_convert) != ready("b/mine", convert=fake_convert)


def test_a_new_demo_is_converted_again(monkeypatch):
    monkeypatch.setattr("quartet.catalog.DEMO_FOLDER", make_checkpoint("packaged"))
    first = ready("demo", convert=fake_convert)
    os.utime("packaged/model.safetensors", ns=(0, 0))
    assert ready("demo", convert=refuse_convert) == first
    Path("packaged/model.safetensors").write_bytes(b"WEIGHTS")
    assert ready("demo", convert=fake_convert) != first


def test_a_damaged_conversion_is_made_again():
    make_checkpoint("mine")
    for damage in ("encoder.onnx", "quartet.json"):
        folder = ready("mine", convert=fake_convert)
        (folder / damage).write_bytes(b"")
        assert ready("mine", convert=fake_convert) == folder
        assert Manifest.load(folder).name == "mine"
        assert (folder / "encoder.onnx").read_bytes() == b"graph"


def test_leftovers_of_an_interrupted_conversion_vanish(cache):
    def interrupted(folder: Path, out_dir: Path, *, precision: str, origin: Origin, progress: object = None) -> None:
        fake_convert(folder, out_dir.with_name(f".{out_dir.name}.abcdefgh.partial"), precision=precision, origin=origin)
        raise KeyboardInterrupt

    make_checkpoint("mine")
    with pytest.raises(KeyboardInterrupt):
        ready("mine", convert=interrupted)
    assert len(list((cache / "models").iterdir())) == 1
    folder = ready("mine", convert=fake_convert)
    assert list((cache / "models").iterdir()) == [folder]


def test_a_quartet_is_used_as_it_is(cache):
    make_quartet("mine")
    assert ready("mine", convert=refuse_convert) == ready("mine", "fp32", convert=refuse_convert) == Path("mine")
    with pytest.raises(OptionError, match="mine is converted at precision fp32; for int8"):
        ready("mine", "int8")
    Path("mine/quartet.json").write_text("{}")
    with pytest.raises(ManifestError):
        ready("mine", "fp32")
    assert not cache.exists()


def test_an_unknown_precision_is_refused_before_anything_is_fetched():
    with pytest.raises(OptionError, match="precision is 'int3'; expected fp32, int8 or int4"):
        ready("org/name", "int3", convert=refuse_convert)


def test_the_cache_cannot_be_written(tmp_path, monkeypatch):
    make_checkpoint("mine")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("QUARTET_HOME", str(tmp_path / "file"))
    with pytest.raises(OutputError, match="QUARTET_HOME"):
        ready("mine", convert=fake_convert)


def test_from_the_hub(downloads, tmp_path):
    folder = tmp_path / "downloaded"
    origin = Origin("facebook/m2m100_418M", "c0ffee", "CC-BY-4.0")
    assert provision.fetch(resolve("m2m100_418M")) == (folder, origin)
    (folder / "README.md").unlink()
    assert provision.fetch(resolve("m2m100_418M", "v1"), silent_bar) == (
        folder,
        dataclasses.replace(origin, license="MIT"),
    )
    assert downloads == [("facebook/m2m100_418M", None, True, True), ("facebook/m2m100_418M", "v1", False, True)]


def test_a_cached_hub_model_needs_no_network_and_no_slow_imports(downloads):
    folder = ready("org/name", convert=fake_convert)
    assert ready("org/name", revision="main", convert=refuse_convert) == folder
    assert ready("org/name", revision="v1", convert=fake_convert) != folder
    assert len(downloads) == 2
    script = """
import sys
from quartet.provision import ready
print(ready("org/name"))
print(sorted({"huggingface_hub", "onnx_ir", "onnx", "torch", "filelock", "rich", "onnxruntime"} & sys.modules.keys()))
"""
    assert output(start(script)).splitlines() == [str(folder), "[]"]


def test_two_processes_convert_once():
    make_checkpoint("mine")
    script = """
import sys, time
from pathlib import Path
from test_provision import fake_convert
from quartet.provision import ready

def slow_convert(folder, out_dir, *, precision, origin, progress):
    with Path("log").open("a") as log:
        log.write("converted\\n")
    time.sleep(1)
    fake_convert(folder, out_dir, precision=precision, origin=origin)

Path(sys.argv[1]).touch()
while not (Path("0").exists() and Path("1").exists()):
    time.sleep(0.01)
print(ready("mine", convert=slow_convert))
"""
    first, second = map(output, [start(script, i) for i in ("0", "1")])
    assert first == second != ""
    assert Path("log").read_text() == "converted\n"


def test_list_and_clear(cache, downloads):
    assert list_cached() == []
    assert clear_cache() == 0
    assert not cache.exists()
    make_checkpoint("mine")
    (cache / "models" / "not-made-by-quartet").mkdir(parents=True)
    (cache / "models" / "quartet-named--by-hand").mkdir()
    folders = [ready(name, convert=fake_convert) for name in ("mine", "demo", "opus-mt-en-fr")]
    cached = list_cached()
    assert [model.name for model in cached] == ["Helsinki-NLP/opus-mt-en-fr", "demo", "mine"]
    assert {model.folder for model in cached} == set(folders)
    assert [model.license for model in cached] == ["CC-BY-4.0", "CC-BY-4.0", None]
    assert [model.revision for model in cached] == ["c0ffee", None, None]
    assert cached[2].precision == "int4"
    size = cached[2].bytes
    assert size == 5 + sum((folders[0] / name).stat().st_size for name in ("quartet.json", derived.MARK))

    with pytest.raises(ModelNotFoundError, match=r"no model 'dmeo' \(did you mean demo\?\)"):
        clear_cache("dmeo")
    assert clear_cache("mine") == size
    assert clear_cache("opus-mt-en-fr") > 0
    assert [model.name for model in list_cached()] == ["demo"]
    leftover = folders[0].with_name(f".{folders[0].name}.abcdefgh.partial")
    leftover.mkdir()
    (leftover / "data").write_bytes(b"1234567")
    assert clear_cache() == cached[1].bytes + 7
    assert {path.name for path in (cache / "models").iterdir()} == {"not-made-by-quartet", "quartet-named--by-hand"}


def foreign(cache: Path) -> list[Path]:
    """What somebody else has put into the cache folder, under names that look like quartet's."""
    places = [
        "models/thesis--0123456789ab/notes.txt",  # named as an entry
        "models/.thesis.partial/notes.txt",
        "models/notes.txt",
        "packed/notes.txt",
        "packed/0123456789abcdef/notes.txt",
        "packed/0123456789abcdef/0123456789ab-0123456789ab/few/notes.txt",
        "packed/mine/few/decoder.onnx",
        "heads/0123456789abcdef01234567/notes.txt",
        "heads/mine/lm_head.onnx.txt",
        "notes.txt",
    ]
    for place in places:
        (cache / place).parent.mkdir(parents=True, exist_ok=True)
        (cache / place).write_text("worth keeping")
    return [cache / place for place in places]


def test_clearing_leaves_what_quartet_did_not_make(cache, caplog):
    make_checkpoint("mine")
    files = foreign(cache)
    folder = ready("mine", convert=fake_convert)
    pack = cache / "packed" / "0123456789abcdef" / "0123456789ab-aaaaaaaaaaaa" / "few"
    head = cache / "heads" / ("a" * 24)
    for made in (pack, head):
        made.mkdir(parents=True)
        (made / "lm_head.onnx").write_bytes(b"1234567")
        derived.seal(made, "something")
    assert clear_cache() > 0
    assert not any(path.exists() for path in (folder, pack.parent, head))
    assert all(path.read_text() == "worth keeping" for path in files)
    (record,) = caplog.records
    assert record.getMessage().startswith("left alone, since quartet did not make it or does not know it: ")
    assert str(files[3]) in record.getMessage()
    assert record.getMessage().endswith("and 4 more")


def test_clearing_finds_what_older_quartets_made(cache):
    """They marked nothing: a model is told by its manifest, packed weights and heads by their files."""
    make_checkpoint("mine")
    folder = ready("mine", convert=fake_convert)
    (folder / derived.MARK).unlink()
    pack = cache / "packed" / "0123456789abcdef" / "0123456789ab-aaaaaaaaaaaa" / "few"
    head = cache / "heads" / ("a" * 24)
    for made, file in ((pack, "decoder.onnx.data"), (pack.with_name("many-decoder"), "unusable"), (head, "rows.npy")):
        made.mkdir(parents=True)
        (made / file).write_bytes(b"1234567")
    assert clear_cache() > 21
    assert [path for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock"] == []


def test_clearing_finds_damaged_models_and_leftovers(cache):
    make_checkpoint("mine")
    folder = ready("mine", convert=fake_convert)
    (folder / "quartet.json").write_text("damaged")
    leftovers = [
        folder.with_name(f".{folder.name}.abcdefgh.partial"),
        folder.with_name(f".{folder.name}.abcdefgh.old"),
        cache / "packed" / "0123456789abcdef" / "0123456789ab-aaaaaaaaaaaa" / ".few.abcdefgh.partial",
        cache / "heads" / f".{'a' * 24}.abcdefgh.partial",
    ]
    for leftover in leftovers:
        leftover.mkdir(parents=True)
        (leftover / "data").write_bytes(b"1234567")
    assert clear_cache() >= 28
    assert not any(path.exists() for path in (folder, *leftovers))


def test_links_in_the_cache_are_left_alone(cache, tmp_path, caplog):
    make_checkpoint("mine")
    folder = ready("mine", convert=fake_convert)
    moved = tmp_path / "larger disk" / folder.name
    moved.parent.mkdir()
    folder.rename(moved)
    folder.symlink_to(moved)
    (cache / "packed").symlink_to(moved)
    assert [model.name for model in list_cached()] == ["mine"]
    assert ready("mine", convert=refuse_convert) == folder
    assert clear_cache() == clear_cache("mine") == 0
    assert folder.is_symlink()
    assert (moved / "encoder.onnx").read_bytes() == b"graph"
    assert len(caplog.records) == 2
    assert str(folder) in caplog.records[0].getMessage()


def test_a_cache_that_is_a_file(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("worth keeping")
    monkeypatch.setenv("QUARTET_HOME", str(tmp_path / "file"))
    assert list_cached() == []
    assert clear_cache() == 0
    assert (tmp_path / "file").read_text() == "worth keeping"


def test_a_cache_that_cannot_be_read(cache, monkeypatch):
    (cache / "models").mkdir(parents=True)
    monkeypatch.setattr(Path, "iterdir", lambda _: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    for look in (list_cached, clear_cache):
        with pytest.raises(OutputError, match="cannot be read: Permission denied"):
            look()


@pytest.mark.parametrize("home", ["", "~/models", "~nobody-of-this-name/models"])
def test_a_user_without_a_home(monkeypatch, home):
    """As in a container that runs under a number."""

    def nobody(*_):
        raise KeyError

    pwd = pytest.importorskip("pwd")
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.setattr(pwd, "getpwnam", nobody)
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("QUARTET_HOME", home)
    with pytest.raises(OutputError, match=r"has no home folder; set QUARTET_HOME"):
        store.cache_folder()


def test_clearing_leaves_a_running_conversion_alone():
    def clear_meanwhile(
        folder: Path, out_dir: Path, *, precision: str, origin: Origin, progress: object = None
    ) -> None:
        staging = out_dir.with_name(f".{out_dir.name}.abcdefgh.partial")
        staging.mkdir()
        script = "from quartet.store import clear_cache; print(clear_cache())"
        assert output(start(script)) == "0\n"
        assert staging.exists()
        staging.rmdir()
        fake_convert(folder, out_dir, precision=precision, origin=origin)

    make_checkpoint("mine")
    assert ready("mine", convert=clear_meanwhile).is_dir()


# ---- the usual precision ----


def test_speech_models_have_8_bits_where_nobody_says_otherwise():
    tiny_speech_text.make(Path("hears"))
    tiny_text.make(Path("reads"))
    folders = [ready(name) for name in ("hears", "reads")]
    assert [Manifest.load(folder).precision for folder in folders] == ["int8", "int4"]
    for name, folder, precision in zip(("hears", "reads"), folders, ("int8", "int4"), strict=True):
        assert ready(name, convert=refuse_convert) == ready(name, precision, convert=refuse_convert) == folder


def test_a_speech_model_at_4_bits_is_not_the_usual_one():
    tiny_speech_text.make(Path("hears"))
    asked = ready("hears", "int4")
    usual = ready("hears")
    assert [Manifest.load(folder).precision for folder in (asked, usual)] == ["int4", "int8"]
    assert ready("hears", convert=refuse_convert) == usual
    assert ready("hears", "int4", convert=refuse_convert) == asked

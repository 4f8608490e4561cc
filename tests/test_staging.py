"""What is written beside its place appears there whole or not at all."""

import pytest

from quartet.staging import staged_file, staged_folder


def names(folder):
    return {path.name for path in folder.iterdir()}


def fail(staged):
    with staged as staging:
        (staging / "file" if staging.is_dir() else staging).write_text("new")
        raise KeyError


def test_a_folder_appears_at_the_end(tmp_path):
    target = tmp_path / "below" / "target"
    with staged_folder(target) as staging:
        (staging / "file").write_text("new")
        assert not target.exists()
        assert staging.parent.parent == target.parent
    assert (target / "file").read_text() == "new"
    assert names(target.parent) == {"target"}


@pytest.mark.parametrize("replace", [False, True])
def test_a_block_that_fails_leaves_what_was_there(tmp_path, replace):
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "file").write_text("old")
    with pytest.raises(KeyError):
        fail(staged_folder(tmp_path / "target", replace))
    assert (tmp_path / "target" / "file").read_text() == "old"
    assert names(tmp_path) == {"target"}


@pytest.mark.parametrize(("replace", "expected"), [(False, "old"), (True, "new")])
def test_a_folder_that_is_there(tmp_path, replace, expected):
    with staged_folder(tmp_path / "target", replace) as staging:
        (staging / "file").write_text("new")
        (tmp_path / "target").mkdir()
        (tmp_path / "target" / "file").write_text("old")
    assert (tmp_path / "target" / "file").read_text() == expected
    assert names(tmp_path) == {"target"}


def test_a_file_in_the_place_of_a_folder(tmp_path):
    (tmp_path / "target").write_text("a file")
    with pytest.raises(OSError), staged_folder(tmp_path / "target"):  # noqa: PT011 - which one is the system's to say
        pass
    assert names(tmp_path) == {"target"}


def test_a_file(tmp_path):
    target = tmp_path / "below" / "target.json"
    for content in ("one", "two"):
        with staged_file(target) as staging:
            staging.write_text(content)
        assert target.read_text() == content
    with pytest.raises(KeyError):
        fail(staged_file(target))
    assert target.read_text() == "two"
    assert names(target.parent) == {"target.json"}

"""A few seconds of `folder_trials`; QUARTET_FUZZ_SECONDS=60 asks for more."""

import os

import folder_trials
import pytest


@pytest.mark.parametrize("speech", [False, True], ids=["text", "speech"])
def test_damaged_folders_are_refused_in_one_line_or_do_as_before(tmp_path, capsys, speech):
    seconds = float(os.environ.get("QUARTET_FUZZ_SECONDS", "8")) / 2
    bad: list[dict[str, object]] = []
    counts = folder_trials.tally(folder_trials.make_quartet(tmp_path, speech), int(seconds), seconds, bad.append)
    with capsys.disabled():
        print(f"\n{dict(counts)}")
    assert not bad
    assert counts["refused"] > 0

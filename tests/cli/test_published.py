"""Published figures: every one has a link, a date and conditions, and none is a measured row."""

import json
import re

from quartet.bench.published import published, rows_of


def test_every_source_can_be_looked_up():
    sources = published()
    assert sources
    for source in sources:
        assert source.url.startswith("https://")
        assert re.search(r"[0-9a-f]{40}", source.url), "a link to a version that does not change"
        assert re.match(r"\d{4}-\d\d-\d\d", source.date)
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", source.read)
        assert len(source.conditions) > 40
        for figure in source.figures:
            assert figure.values
            assert re.fullmatch(r"[a-z]{2}-[a-z]{2}", figure.pair)
            assert all(0 < figure.values.get(score, 1) <= 100 for score in ("BLEU", "chrF", "COMET"))


def test_pairs_choose():
    found = published([("eng_Latn", "fr")])
    assert {figure.pair for source in found for figure in source.figures} == {"en-fr"}
    assert published([("sw", "yo")]) == []
    head, *rows = rows_of(found[0])
    assert head[:3] == ["model", "pair", "data"]
    assert all(len(row) == len(head) for row in rows)


def test_no_row_of_nllb_from_where_it_got_wrong_codes():
    mozilla = next(source for source in published() if "mozilla" in source.url)
    assert not any("nllb" in figure.model.casefold() for figure in mozilla.figures)
    assert "ISO code" in mozilla.conditions


def test_the_command_lists_them(run):
    result = run("rank", "--published")
    assert (result.code, result.err) == (0, "")
    for source in published():
        assert source.url in result.out
        assert source.conditions in result.out
    assert "chrF++" not in result.out
    of_pair = run("rank", "--published", "--pair", "fr-en").out
    assert "opus-mt-fr-en" in of_pair
    assert "opus-mt-en-fr" not in of_pair
    assert json.loads(run("rank", "--published", "--json").out)[0]["figures"]
    nothing = run("rank", "--published", "--pair", "sw-yo")
    assert (nothing.code, nothing.out) == (0, "No published figures of sw-yo were read.\n")

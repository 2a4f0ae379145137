"""The word table holds what its users rely on, and prompts can be read back."""

from __future__ import annotations

import collections

import pytest

from games.core import SPLITS, pool
from games.lexicon import ABSTRACT, BANDS, categories, lexicon, questions, stop_words
from games.stemmer import stem
from games.templates import fill, invert


def test_words_are_plain_and_no_two_share_a_stem():
    assert 450 <= len(lexicon()) <= 620
    assert all(word.isascii() and word.isalpha() and word.islower() and len(word) > 2 for word in lexicon())
    assert [s for s, n in collections.Counter(map(stem, lexicon())).items() if n > 1] == []
    assert not stop_words() & lexicon().keys()


def test_every_row_is_complete():
    for entry in lexicon().values():
        assert entry.band in BANDS
        assert 3 <= len(entry.features) <= 6, entry
        assert entry.features <= questions().keys(), entry
        assert 6 <= len(entry.associations) <= 10, entry
        assert all(word.isascii() and word.isalpha() and word.islower() for word in entry.associations), entry


def test_associations_share_no_stem_with_their_word_nor_with_one_another():
    for entry in lexicon().values():
        stems = [stem(word) for word in (entry.word, *entry.associations)]
        assert len(set(stems)) == len(stems), entry
        assert stem(entry.category) != stem(entry.word)


def test_every_band_and_split_has_words():
    for band in BANDS:
        words = [entry.word for entry in lexicon().values() if entry.band == band]
        assert all(len(pool(words, split)) >= 10 for split in SPLITS)


def test_categories_are_big_and_their_words_can_be_told_apart():
    assert set(ABSTRACT) <= categories().keys()
    for category, words in categories().items():
        assert len(words) >= 15, category
        assert len({lexicon()[word].features for word in words}) >= len(words) - 1, category


def test_every_feature_is_used_and_has_its_own_question():
    assert set().union(*(entry.features for entry in lexicon().values())) == questions().keys()
    assert len(set(questions().values())) == len(questions())
    assert all(question.endswith("?") and question.count("?") == 1 for question in questions().values())


def test_stop_words_are_the_153_that_a_clue_can_hit():
    assert len(stop_words()) == 153
    assert {"i", "a", "the", "wouldn", "should"} <= stop_words()


@pytest.mark.parametrize("rest", ["", "CLUE: x\n\ny $N$"])
def test_a_filled_prompt_can_be_read_back(rest):
    template = "Say $A WORD$ (not $B$) within $N$.\n\nAgain: $A WORD$"
    text = fill(template, {"A WORD": "c.t", "B": "- x\n- y", "N": "3"})
    assert text == "Say c.t (not - x\n- y) within 3.\n\nAgain: c.t"
    shown = invert(template, f"{text}\n\n{rest}" if rest else text)
    assert shown == {"A WORD": "c.t", "B": "- x\n- y", "N": "3", "rest": rest}
    assert invert(template, "Say cat (not x) within 3.\n\nAgain: dog") is None

"""IFEval: every check by hand, sentences and words, scripted players, recorded episodes."""

from __future__ import annotations

import random
from collections import Counter

import pytest

import games
from games import ifeval_make, ifeval_players
from games.core import InstanceError, play_out
from games.ifeval_checks import CHECKS
from games.ifeval_language import is_language
from games.ifeval_text import capital_words, sentences
from tests import recorded

IFEVAL = games.make("ifeval")
ENGLISH = "the old house at the end of the street was quiet this morning"

# name, arguments, replies that follow, replies that do not
CASES = [
    ("keywords:existence", {"keywords": ["Sea", "so.th"]}, ["the SEA is south", "seaside sooth"], ["the sea", "south"]),
    ("keywords:frequency", {"keyword": " at ", "relation": "at least", "frequency": 3}, ["Cat hat at", "atATat"], ["at at"]),
    ("keywords:frequency", {"keyword": "at", "relation": "less than", "frequency": 2}, ["", "at"], ["hat at"]),
    ("keywords:forbidden_words", {"forbidden_words": ["bed", "a.b"]}, ["bedroom", "acbd"], ["My Bed!", "axb"]),
    ("keywords:letter_frequency", {"letter": "Q", "let_relation": "at least", "let_frequency": 2}, ["qQ"], ["q"]),
    ("keywords:letter_frequency", {"letter": "#", "let_relation": "less than", "let_frequency": 1}, ["q"], ["#"]),
    ("language:response_language", {"language": "de"}, ["Das ist ein kurzer Satz in der Küche.", "123 !"], [ENGLISH]),
    (
        "length_constraints:number_sentences",
        {"num_sentences": 3, "relation": "at least"},
        ["A bed. C day! E fog?"],
        ["A bed. C day"],
    ),
    ("length_constraints:number_sentences", {"num_sentences": 2, "relation": "less than"}, ["", "A bed"], ["A bed. C day"]),
    ("length_constraints:number_words", {"num_words": 3, "relation": "at least"}, ["a-b c", "it's so"], ["a b --- !"]),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, ["a\n***\nb", "***a *** b***", "a****b"], ["a\n\nb"]),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, [], ["a *** *** b", "a", "a *** b *** c"]),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "Sea"},
        ["a\n\nsea, b", "a\n\n '\"SEA' b", "a\n\nsea\nb\n\n"],
        ["sea\n\na", "a\n\nseas b", "a\n\nb\n\nsea", "sea", "a\n\n\n\nsea", "\n\na\n\nsea"],
    ),
    (
        "detectable_content:number_placeholders",
        {"num_placeholders": 2},
        ["[a][]", "[[a] b] [c]"],
        ["[a [b]", "[a\n] [b]", "]["],
    ),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, ["a\nP. P. S b", "p.p.s"], ["PPS", "P.S. a"]),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, ["a P.S. b", "p. s."], ["PS", "p.s", "p.p.s"]),
    ("detectable_content:postscript", {"postscript_marker": "Note:"}, ["a NOTE: b"], ["note b"]),
    (
        "detectable_format:number_bullet_lists",
        {"num_bullets": 2},
        ["* a\n  - b", "-\n*\n\n a", "\n \n* a\n\n\n- b"],
        ["* a", "** a\n- b"],
    ),
    ("detectable_format:number_bullet_lists", {"num_bullets": 1}, ["a * b\n* c", "*\n* c"], ["* a\n* b", "a - b"]),
    ("detectable_format:constrained_response", {}, ["So: My answer is maybe. Yes."], ["my answer is yes.", "My answer is yes"]),
    (
        "detectable_format:number_highlighted_sections",
        {"num_highlights": 2},
        ["*a* *b*", "**a** **b**", "*a***b**"],
        ["*a*", "** **a"],
    ),
    (
        "detectable_format:multiple_sections",
        {"section_spliter": " Part ", "num_sections": 2},
        ["Part 1 a\nPart 22\nb", "Part1Part2"],
        ["part 1 part 2", "Part 1", "Part one Part two"],
    ),
    (
        "detectable_format:json_format",
        {},
        ['{"a": [1]}', "```json\n3\n```", " ```\nnull```", "NaN"],
        ["", "{'a': 1}", "a", "[" * 9999],
    ),
    ("detectable_format:title", {}, ["a\n<<b>>", "x <<< b >>> y", "<<a>> >>"], ["<<>>", "<< >>", "<<a\n>>", "<a>", ">>a<<"]),
    ("combination:two_responses", {}, ["a******b", "******a******b"], ["a", "a******a ", "a****** ******b", "a******b******c"]),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say it \n"}, [" say IT now"], ["I say it", "say  it"]),
    ("startend:end_checker", {"end_phrase": "The End. "}, ['a the end." \n', "THE END."], ["the end", "the end. a"]),
    ("startend:quotation", {}, [' "a" ', '""'], ['"', '"a', "'a'", "a"]),
    (
        "change_case:capital_word_frequency",
        {"capital_relation": "at least", "capital_frequency": 2},
        ["I AM", "DON'T"],
        ["Am I"],
    ),
    ("change_case:capital_word_frequency", {"capital_relation": "less than", "capital_frequency": 1}, ["a b1"], ["a B1"]),
    ("change_case:english_capital", {}, [ENGLISH.upper() + "!"], [ENGLISH.upper() + " a", ENGLISH, "123"]),
    ("change_case:english_lowercase", {}, [ENGLISH], [ENGLISH + " A", "das ist ein kurzer satz in der küche", "123"]),
    ("punctuation:no_comma", {}, ["a; b\uff0c c"], ["a, b"]),
]


@pytest.mark.parametrize("name, arguments, good, bad", CASES)
def test_checks(name, arguments, good, bad):
    assert [CHECKS[name](reply, **arguments) for reply in good] == [True] * len(good)
    assert [CHECKS[name](reply, **arguments) for reply in bad] == [False] * len(bad)


def test_every_check_has_its_cases():
    assert {name for name, *_ in CASES} == CHECKS.keys() == ifeval_make.INSTRUCTIONS.keys()


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("", []),
        ("One. Two? Three!", ["One.", "Two?", "Three!"]),
        (
            "Mr. A. Smith of the U.S. Navy came at 5 p.m. sharp. He left.",
            ["Mr. A. Smith of the U.S. Navy came at 5 p.m. sharp.", "He left."],
        ),
        ('He said "no." She (who knew.) left.', ['He said "no."', "She (who knew.)", "left."]),
        ("Well... and so on... The end.", ["Well... and so on...", "The end."]),
        ("What?! No way!!! 3.5 is it", ["What?!", "No way!!!", "3.5 is it"]),
        ("1. First\n2. second", ["1.", "First\n2. second"]),
        ("no end here.Or here", ["no end here.Or here"]),
    ],
)
def test_sentences(text, wanted):
    assert sentences(text) == wanted


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("", 0),
        ("A b C.", 2),
        ("I DON'T. IT'S", 5),
        ("CANNOT go", 2),
        ("U.S.A, A-B A/B A--B", 5),
        ("O\u2019NEIL (OK) 3RD 42", 4),
    ],
)
def test_capital_words(text, wanted):
    assert capital_words(text) == wanted


def test_languages_are_told_apart_the_same_way_each_time():
    state = random.getstate()
    for code, text in ifeval_make.LANGUAGES.items():
        assert [is_language(text, other) for other in ("en", *ifeval_make.LANGUAGES)] == [
            code == other for other in ("en", *ifeval_make.LANGUAGES)
        ]
    assert is_language(" \n42", "en") and is_language(" \n42", "hi") and random.getstate() == state


def play(reply: str, target: dict):
    ended = IFEVAL.start({"input": "Do!", "target": target}, {})
    assert ended.ask.text == "Do!"
    ended.reply(reply)
    return ended.outcome


def test_all_instructions_count_and_a_blank_reply_follows_none():
    both = {"punctuation:no_comma": {}, "startend:quotation": {}}
    assert play('"a"', both).official()["Main Score"] == 100 and play('"a"', both).status == "success"
    assert play('"a, b"', both).reason == "not 'followed: punctuation:no_comma'"
    assert [play(reply, {"punctuation:no_comma": {}}).official()["Lose"] for reply in ("", " \n", "a,", "a")] == [1, 1, 1, 0]


@pytest.mark.parametrize(
    "target, field",
    [
        ({}, "target"),
        ({"keywords:rhyme": {}}, "target.keywords:rhyme"),
        ({"punctuation:no_comma": {"n": 1}}, "target.punctuation:no_comma"),
        ({"detectable_format:number_bullet_lists": {}}, "target.detectable_format:number_bullet_lists"),
        (
            {"detectable_format:number_bullet_lists": {"num_bullets": "2"}},
            "target.detectable_format:number_bullet_lists.num_bullets",
        ),
        ({"keywords:existence": {"keywords": ["a", "(b"]}}, "target.keywords:existence.keywords"),
        ({"keywords:existence": {"keywords": [3]}}, "target.keywords:existence.keywords"),
        (
            {"length_constraints:number_words": {"num_words": 3, "relation": "at most"}},
            "target.length_constraints:number_words.relation",
        ),
    ],
)
def test_malformed_instances(target, field):
    with pytest.raises(InstanceError) as error:
        play("", target)
    assert error.value.field == field


def test_requests_are_read_back_as_they_were_made():
    seen = set()
    for level in IFEVAL.levels:
        for instance in IFEVAL.instances("train", 150, level=level):
            assert ifeval_players.read(IFEVAL.start(instance).ask.text) == instance["target"]
            assert len(instance["target"]) == ifeval_make.LEVELS[level]
            seen |= instance["target"].keys()
    assert seen == CHECKS.keys()


@pytest.mark.parametrize("form", ["full", "short"])
def test_the_scripted_player_follows_every_instruction(form):
    players = {"answerer": (IFEVAL.players["answerer"]["scripted"], 1.0)}
    for split in ("train", "test"):
        for instance in IFEVAL.instances(split, 120):
            ended = play_out(IFEVAL.start(instance, form=form), players)
            assert ended.outcome.status == "success", (instance, ended.history[0][1], ended.outcome.reason)


@recorded.needed
def test_recorded_episodes_replay_equal():
    counts = Counter()
    for record, ended in recorded.replayed("ifeval", 400):
        assert recorded.told(ended) == [record["instance"]["input"]]
        counts.update(record["instance"]["target"].keys())
    assert len(counts) == len(CHECKS)

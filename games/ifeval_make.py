"""Made-up requests for IFEval: a topic and some instructions that can be followed together, each with how to follow it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from games.core import split_of
from games.lexicon import lexicon

LEVELS = {"one": 1, "two": 2, "three": 3}
LANGUAGES = {
    "de": "Das ist ein kurzer Text, und ich habe ihn heute Morgen in der Küche geschrieben.",
    "fr": "Voici un petit texte que nous avons écrit ce matin dans la cuisine de notre maison.",
    "es": "Este es un texto muy corto que hemos escrito esta mañana en la cocina de nuestra casa.",
    "fi": "Tämä on lyhyt teksti, jonka kirjoitin tänään aamulla keittiön pöydän ääressä.",
}


class Instruction(NamedTuple):
    """`text` names its arguments in braces; a request has one instruction of each tag, and beside an "alone" no other."""

    text: str
    draw: Callable[[random.Random], dict[str, Any]]
    follow: Callable[..., str]
    tags: frozenset[str] = frozenset()


def _some(rng: random.Random, n: int) -> list[str]:
    return rng.sample(list(lexicon()), n)


def _number(name: str, low: int, high: int, **fixed: Any) -> Callable[[random.Random], dict[str, Any]]:
    return lambda rng: {name: rng.randint(low, high), **fixed}


def _nothing(rng: random.Random) -> dict[str, Any]:
    return {}


def _one(text: str, draw: Callable, follow: Callable, tags: str = "") -> Instruction:
    return Instruction(text, draw, follow, frozenset(tags.split()))


def _words(rng: random.Random) -> dict[str, Any]:
    relation = rng.choice(("at least", "less than"))
    return {"relation": relation, "num_words": rng.randint(20, 40) if relation == "at least" else rng.randint(90, 120)}


def _add_words(text: str, relation: str, num_words: int) -> str:
    return text + " It goes on and on" * (num_words // 5 + 1) + "." if relation == "at least" else text


def _nth(rng: random.Random) -> dict[str, Any]:
    count = rng.randint(2, 4)
    return {"num_paragraphs": count, "nth_paragraph": rng.randint(1, count), "first_word": _some(rng, 1)[0]}


def _paragraphs(text: str, num_paragraphs: int, nth_paragraph: int, first_word: str) -> str:
    pieces = [text] + ["Here is more of it."] * (num_paragraphs - 1)
    pieces[nth_paragraph - 1] = f"{first_word.capitalize()} is the word. {pieces[nth_paragraph - 1]}"
    return "\n\n".join(pieces)


# in the order in which a reply is made to follow them
INSTRUCTIONS: Mapping[str, Instruction] = {
    "language:response_language": _one(
        "Write in the language with the code {language}, in no other one.",
        lambda rng: {"language": rng.choice(list(LANGUAGES))},
        lambda text, language: LANGUAGES[language],
        "alone",
    ),
    "keywords:existence": _one(
        "Use each of these words: {keywords}",
        lambda rng: {"keywords": _some(rng, 2)},
        lambda text, keywords: f"{text} It speaks of {' and '.join(keywords)}.",
    ),
    "keywords:frequency": _one(
        "Use the word {keyword} {relation} {frequency} times.",
        lambda rng: {"keyword": _some(rng, 1)[0], "relation": "at least", "frequency": rng.randint(2, 5)},
        lambda text, keyword, relation, frequency: f"{text} We like the {' and the '.join([keyword] * frequency)}.",
    ),
    "keywords:forbidden_words": _one(
        "Use none of these words: {forbidden_words}",
        lambda rng: {"forbidden_words": ["hello", "sure", *_some(rng, 1)]},
        lambda text, forbidden_words: text,
        "words",
    ),
    "keywords:letter_frequency": _one(
        "The letter {letter} shall come {let_relation} {let_frequency} times.",
        lambda rng: {"letter": rng.choice("bcfgkpqvwxz"), "let_relation": "at least", "let_frequency": rng.randint(6, 12)},
        lambda text, letter, let_relation, let_frequency: f"{text} {letter * let_frequency}.",
        "case",
    ),
    "length_constraints:number_sentences": _one(
        "Write {relation} {num_sentences} sentences.",
        _number("num_sentences", 3, 8, relation="at least"),
        lambda text, relation, num_sentences: text + " There is more." * num_sentences,
    ),
    "length_constraints:number_words": _one("Write {relation} {num_words} words.", _words, _add_words, "layout"),
    "detectable_content:number_placeholders": _one(
        "Leave at least {num_placeholders} places to fill in, in square brackets like [name].",
        _number("num_placeholders", 2, 5),
        lambda text, num_placeholders: text + " Ask [name]." * num_placeholders,
    ),
    "change_case:capital_word_frequency": _one(
        "Put {capital_relation} {capital_frequency} words in capital letters.",
        _number("capital_frequency", 2, 5, capital_relation="at least"),
        lambda text, capital_relation, capital_frequency: text + " LOOK" * capital_frequency + " now.",
        "case",
    ),
    "detectable_format:constrained_response": _one(
        "Say one of these: 'My answer is yes.', 'My answer is no.', 'My answer is maybe.'",
        _nothing,
        lambda text: text + " My answer is yes.",
        "case",
    ),
    "detectable_format:number_highlighted_sections": _one(
        "Highlight at least {num_highlights} parts with stars, *like this*.",
        _number("num_highlights", 2, 4),
        lambda text, num_highlights: text + "".join(f" *Look {i}*" for i in range(num_highlights)),
        "stars",
    ),
    "detectable_format:number_bullet_lists": _one(
        "Make exactly {num_bullets} points, each on a line that begins with a star: * a point",
        _number("num_bullets", 2, 5),
        lambda text, num_bullets: text + "\n* one more point" * num_bullets,
        "stars layout",
    ),
    "detectable_format:multiple_sections": _one(
        "Make {num_sections} sections, each below a line of {section_spliter} and its number.",
        _number("num_sections", 2, 4, section_spliter="SECTION"),
        lambda text, section_spliter, num_sections: "\n".join(
            f"{section_spliter} {i + 1}\n{text}" for i in range(num_sections)
        ),
        "layout case",
    ),
    "length_constraints:number_paragraphs": _one(
        "Write {num_paragraphs} paragraphs with *** between them.",
        _number("num_paragraphs", 2, 4),
        lambda text, num_paragraphs: "\n***\n".join([text] + ["Here is more."] * (num_paragraphs - 1)),
        "layout stars",
    ),
    "length_constraints:nth_paragraph_first_word": _one(
        "Write {num_paragraphs} paragraphs with a blank line between them; number {nth_paragraph} begins with {first_word}",
        _nth,
        _paragraphs,
        "layout",
    ),
    "combination:two_responses": _one(
        "Give two different answers with ****** between them.",
        _nothing,
        lambda text: f"{text}\n******\nHere is another one. {text}",
        "layout stars",
    ),
    "detectable_format:title": _one(
        "Begin with a title in double angle brackets, <<like this>>.",
        _nothing,
        lambda text: f"<<My text>>\n{text}",
    ),
    "detectable_content:postscript": _one(
        "At the end add a postscript that begins with {postscript_marker}",
        lambda rng: {"postscript_marker": rng.choice(("P.S.", "P.P.S"))},
        lambda text, postscript_marker: f"{text}\n{postscript_marker} I have said all there is.",
        "end",
    ),
    "startend:end_checker": _one(
        "End with these words, and nothing after them: {end_phrase}",
        lambda rng: {"end_phrase": rng.choice(("That is all there is.", "Is there more to say?", "So it was."))},
        lambda text, end_phrase: f"{text}\n{end_phrase}",
        "end",
    ),
    "combination:repeat_prompt": _one(
        "Before all else say once more, word for word: {prompt_to_repeat}",
        lambda rng: {"prompt_to_repeat": f"Tell me of the {_some(rng, 1)[0]}!"},
        lambda text, prompt_to_repeat: f"{prompt_to_repeat}\n{text}",
        "alone",
    ),
    "change_case:english_capital": _one(
        "Write in English, in CAPITAL letters only.", _nothing, lambda text: text.upper(), "case words"
    ),
    "change_case:english_lowercase": _one(
        "Write in English, in small letters only.", _nothing, lambda text: text.lower(), "case words"
    ),
    "punctuation:no_comma": _one("Use no comma at all.", _nothing, lambda text: text.replace(",", ""), "words"),
    "detectable_format:json_format": _one(
        "The whole reply shall be JSON.", _nothing, lambda text: json.dumps({"text": text}), "alone"
    ),
    "startend:quotation": _one('Put the whole reply in double quotes: "..."', _nothing, lambda text: f'"{text}"'),
}


def _chosen(rng: random.Random, n: int) -> list[str]:
    """Names of instructions that can be followed together, in the order of the table."""
    while True:
        names = rng.sample(list(INSTRUCTIONS), n)
        tags = [tag for name in names for tag in INSTRUCTIONS[name].tags]
        if len(set(tags)) == len(tags) and (n == 1 or "alone" not in tags):
            return [name for name in INSTRUCTIONS if name in names]


def shown(name: str, arguments: Mapping[str, Any]) -> str:
    """An instruction in words."""
    said = {key: ", ".join(value) if isinstance(value, list) else value for key, value in arguments.items()}
    return INSTRUCTIONS[name].text.format(**said)


def generate(rng: random.Random, level: str, split: str) -> dict:
    while True:
        target = {name: INSTRUCTIONS[name].draw(rng) for name in _chosen(rng, LEVELS[level])}
        lines = [f"- {shown(name, arguments)}" for name, arguments in target.items()]
        text = "\n".join([f"Write a short text about this: {_some(rng, 1)[0]}", *lines])
        if split_of(text) == split:
            return {"input": text, "target": target}

"""The instructions of IFEval and how a reply is checked for each (strict mode; Zhou et al. 2023, arXiv:2311.07911).

All patterns of ours take linear time. Keywords, markers and section names are regular expressions, as in the original.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from games.ifeval_language import is_language
from games.ifeval_text import capital_words, sentences

ANSWERS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
_POSTSCRIPTS = {"P.P.S": r"p\.\s?p\.\s?s", "P.S.": r"p\.\s?s\."}


def related(n: int, relation: str, threshold: int) -> bool:
    return n < threshold if relation == "less than" else n >= threshold


def existence(reply: str, keywords: list) -> bool:
    return all(re.search(keyword, reply, re.IGNORECASE) for keyword in keywords)


def frequency(reply: str, keyword: str, relation: str, frequency: int) -> bool:
    return related(len(re.findall(keyword.strip(), reply, re.IGNORECASE)), relation, frequency)


def forbidden(reply: str, forbidden_words: list) -> bool:
    return not any(re.search(rf"\b{word}\b", reply, re.IGNORECASE) for word in forbidden_words)


def letters(reply: str, letter: str, let_relation: str, let_frequency: int) -> bool:
    return related(reply.lower().count(letter.strip().lower()), let_relation, let_frequency)


def sentence_count(reply: str, num_sentences: int, relation: str) -> bool:
    return related(len(sentences(reply)), relation, num_sentences)


def word_count(reply: str, num_words: int, relation: str) -> bool:
    return related(len(re.findall(r"\w+", reply)), relation, num_words)


def blocks(pieces: list[str]) -> int | None:
    """How many pieces there are, blank ones at both ends left out; None if one between them is blank."""
    inner = [piece for i, piece in enumerate(pieces) if piece.strip() or 0 < i < len(pieces) - 1]
    return len(inner) if all(piece.strip() for piece in inner) else None


def paragraphs(reply: str, num_paragraphs: int) -> bool:
    return blocks(re.split(r"\s?\*\*\*\s?", reply)) == num_paragraphs


def first_word(reply: str, num_paragraphs: int, nth_paragraph: int, first_word: str) -> bool:
    pieces = reply.split("\n\n")
    count = sum(bool(piece.strip()) for piece in pieces)
    if not 1 <= nth_paragraph <= count == num_paragraphs or not pieces[nth_paragraph - 1].strip():
        return False
    word = pieces[nth_paragraph - 1].split()[0].lstrip("'").lstrip('"')
    return re.split(r"[.,?!'\"]", word, maxsplit=1)[0].lower() == first_word.lower()


def placeholders(reply: str, num_placeholders: int) -> bool:
    return sum(map(_brackets, reply.split("\n"))) >= num_placeholders


def _brackets(line: str) -> int:
    """How many times a bracket is opened and later closed; what is within, also an open bracket, does not count."""
    count, start = 0, line.find("[")
    while start >= 0 and (end := line.find("]", start)) >= 0:
        count, start = count + 1, line.find("[", end)
    return count


def postscript(reply: str, postscript_marker: str) -> bool:
    marker = postscript_marker.strip()
    return re.search(_POSTSCRIPTS.get(marker, marker.lower()), reply.lower(), re.MULTILINE) is not None


def bullets(reply: str, num_bullets: int) -> bool:
    stars = re.findall(r"^[^\S\n]*\*[^*].*$", reply, re.MULTILINE)
    return len(stars) + len(re.findall(r"^[^\S\n]*-.*$", reply, re.MULTILINE)) == num_bullets


def constrained(reply: str) -> bool:
    return any(answer in reply for answer in ANSWERS)


def highlights(reply: str, num_highlights: int) -> bool:
    single = re.findall(r"\*[^\n*]*\*", reply)
    double = re.findall(r"\*\*[^\n*]*\*\*", reply)
    return sum(bool(text.strip("*").strip()) for text in single + double) >= num_highlights


def sections(reply: str, section_spliter: str, num_sections: int) -> bool:
    return len(re.split(rf"\s?{section_spliter.strip()}\s?\d+\s?", reply)) - 1 >= num_sections


def json_format(reply: str) -> bool:
    text = reply.strip()
    for prefix in ("```json", "```Json", "```JSON", "```"):
        text = text.removeprefix(prefix)
    try:
        json.loads(text.removesuffix("```").strip())
    except (ValueError, RecursionError):  # what is asked for; nobody means brackets so deep
        return False
    return True


def title(reply: str) -> bool:
    """A line has << and later >>, with something between them."""
    for line in reply.split("\n"):
        start, end = line.find("<<"), line.rfind(">>")
        if 0 <= start <= end - 3 and line[start : end + 2].lstrip("<").rstrip(">").strip():
            return True
    return False


def two_responses(reply: str) -> bool:
    pieces = reply.split("******")
    given = [piece.strip() for piece in pieces if piece.strip()]
    return blocks(pieces) == 2 and given[0] != given[1]


def repeat_prompt(reply: str, prompt_to_repeat: str) -> bool:
    return reply.strip().lower().startswith(prompt_to_repeat.strip().lower())


def end_checker(reply: str, end_phrase: str) -> bool:
    return reply.strip().strip('"').lower().endswith(end_phrase.strip().lower())


def quotation(reply: str) -> bool:
    text = reply.strip()
    return len(text) > 1 and text[0] == text[-1] == '"'


def capitals(reply: str, capital_frequency: int, capital_relation: str) -> bool:
    return related(capital_words(reply), capital_relation, capital_frequency)


def all_capital(reply: str) -> bool:
    return reply.isupper() and is_language(reply, "en")


def all_lowercase(reply: str) -> bool:
    return reply.islower() and is_language(reply, "en")


def no_comma(reply: str) -> bool:
    return "," not in reply


# id -> its check; what a check takes beside the reply are the arguments of the instruction
CHECKS: dict[str, Callable[..., bool]] = {
    "keywords:existence": existence,
    "keywords:frequency": frequency,
    "keywords:forbidden_words": forbidden,
    "keywords:letter_frequency": letters,
    "language:response_language": lambda reply, language: is_language(reply, language),
    "length_constraints:number_sentences": sentence_count,
    "length_constraints:number_paragraphs": paragraphs,
    "length_constraints:number_words": word_count,
    "length_constraints:nth_paragraph_first_word": first_word,
    "detectable_content:number_placeholders": placeholders,
    "detectable_content:postscript": postscript,
    "detectable_format:number_bullet_lists": bullets,
    "detectable_format:constrained_response": constrained,
    "detectable_format:number_highlighted_sections": highlights,
    "detectable_format:multiple_sections": sections,
    "detectable_format:json_format": json_format,
    "detectable_format:title": title,
    "combination:two_responses": two_responses,
    "combination:repeat_prompt": repeat_prompt,
    "startend:end_checker": end_checker,
    "startend:quotation": quotation,
    "change_case:capital_word_frequency": capitals,
    "change_case:english_capital": all_capital,
    "change_case:english_lowercase": all_lowercase,
    "punctuation:no_comma": no_comma,
}

"""Chronicle: a narrator tells of an event of history without its names, a detective says after each paragraph which it is."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from games import chronicle_players as players
from games.chronicle_events import LEVELS, generate, named, nearness, violation
from games.core import Ask, Game, InstanceError, Outcome, Referee, Status
from games.templates import fill

NARRATOR, DETECTIVE = "narrator", "detective"
_PARAGRAPH = re.compile(r"PARAGRAPH:\s*", re.IGNORECASE)
_GUESS = re.compile(r"GUESS:\s*(.+)", re.IGNORECASE)


def referee(instance: Mapping, settings: Mapping) -> Referee:
    """Rounds of a paragraph and a guess. Forbidden words only lower the score; the guess is judged with much indulgence.

    Progress is how near the last guess comes by the words that single the event out, less the share of rounds with a forbidden
    word; a reward should count it, since a guess like "war" may win.
    """
    keywords, answers, limit = instance["forbidden_keywords"], instance["acceptable_answers"], settings["max_turns"]
    for field, words in (("forbidden_keywords", keywords), ("acceptable_answers", answers)):
        if not all(isinstance(word, str) for word in words):
            raise InstanceError(field, "a list of texts is wanted")
    if limit < 1:
        raise InstanceError("max_turns", "at least 1 is wanted")
    secret = {"FORBIDDEN_KEYWORDS": ", ".join(keywords) or "none", "TARGET_EVENT": instance["target_event"]}
    to_narrator = fill(settings["narrator_initial_prompt"], secret)
    words = {"MAX_DETECTIVE_WORDS": str(settings["max_detective_words"])}
    to_detective = fill(settings["detective_initial_prompt"], words) + "\n\n"
    violated: list[bool] = []
    progress: list[float] = []

    def end(status: Status, reason: str, seat: str | None = None) -> Outcome:
        turns, rate = len(violated), sum(violated) / len(violated)
        score = {"success": max(10, 110 - 10 * turns) * (1 - rate), "lose": 0, "aborted": math.nan}[status]
        found = float(turns) if status == "success" else math.nan
        metrics = {"narrator_mean_violation_rate": rate, "detective_turns_to_success": found}
        requests, wrong = len(progress), int(status == "aborted")
        return Outcome(status, score, requests, requests - wrong, wrong, metrics, reason, seat, tuple(progress))

    for turn in range(1, limit + 1):
        reply = yield Ask(NARRATOR, to_narrator)
        progress.append(progress[-1] if progress else 0.0)
        violated.append(False)
        paragraph = _after(_PARAGRAPH, reply)
        if not paragraph:
            return end("aborted", "no paragraph after PARAGRAPH:", NARRATOR)
        violated[-1] = violation(paragraph, keywords) is not None
        reply = yield Ask(DETECTIVE, f"{to_detective if turn == 1 else ''}[Sentence {turn}]\n{paragraph}")
        progress.append(progress[-1])
        found = _GUESS.search(reply)
        guess = found[1].strip() if found else ""
        if not guess:
            return end("aborted", "no guess after GUESS:", DETECTIVE)
        progress[-1] = nearness(guess, answers) * (1 - sum(violated) / turn)
        if named(guess, answers):
            return end("success", "the event was named")
        to_narrator = f'After paragraph {turn} the Detective guesses: "{guess}". Write another paragraph with something new.'
    return end("lose", "the event was not named in time")


def _after(tag: re.Pattern, reply: str) -> str:
    """All that follows the first tag, stripped."""
    found = tag.search(reply)
    return reply[found.end() :].strip() if found else ""


def settings(level: str, form: str) -> dict:
    """Our own settings in the official schema."""
    narrator, detective = PROMPTS[form]
    return {
        "name": level,
        "max_turns": 10,
        "max_detective_words": 100,
        "narrator_initial_prompt": narrator,
        "detective_initial_prompt": detective,
    }


PROMPTS = {
    "full": (
        "Two players look into history. You are the Narrator and know an event. The Detective must find out which one it is "
        "from your paragraphs and makes a guess after each; the sooner the event is named, the better for both of you, and "
        "after ten guesses the game is lost.\n\n"
        "- A paragraph is one sentence. Say something new each time: what led to the event, how it went, who was in it, what "
        "came of it.\n"
        "- Do not use the forbidden words below or the name of the event. Every paragraph with a forbidden word costs a part "
        "of the score.\n"
        "- Write PARAGRAPH: and then your sentence. For the eruption that buried Pompeii, for example:\n\n"
        "PARAGRAPH: Ash falls on a seaside town for a day and keeps even its loaves of bread.\n\n"
        "- The Detective's guesses are shown to you.\n\n"
        "Forbidden words: $FORBIDDEN_KEYWORDS$\nThe event: $TARGET_EVENT$",
        "Two players look into history. You are the Detective. The Narrator tells of one event, a sentence at a time, without "
        "its name. After each sentence you guess which event it is; you have ten guesses, and the sooner the better.\n\n"
        "- Think in a few words after ANALYSIS:, then write your guess on a line of its own after GUESS:. Both in not more "
        "than $MAX_DETECTIVE_WORDS$ words. For example:\n\n"
        "ANALYSIS: A town under volcanic ash points to antiquity in Italy.\n"
        "GUESS: Eruption of Vesuvius in 79 AD\n\n"
        "- Name one particular event, not just its kind. You may change your guess each time.\n\nThe Narrator begins.",
    ),
    "short": (
        "Describe the event, not its name.\nReply `PARAGRAPH: text`\nEvent: $TARGET_EVENT$\nForbidden: $FORBIDDEN_KEYWORDS$",
        "Which event of history is it?\nReply `GUESS: event`",
    ),
}

CHRONICLE = Game(
    name="chronicle",
    suite="outofdomain",
    seats=(NARRATOR, DETECTIVE),
    roles=("ChronicleNarrator", "ChronicleDetective"),
    levels=LEVELS,
    fields={"target_event": str, "forbidden_keywords": list, "acceptable_answers": list},
    settings_fields={
        "max_turns": int,
        "max_detective_words": int,
        "narrator_initial_prompt": str,
        "detective_initial_prompt": str,
    },
    referee=referee,
    generate=generate,
    target=lambda instance: instance["target_event"],
    settings=settings,
    players={
        NARRATOR: {"scripted": players.narrate, "random": players.narrate_anything, "broken": players.break_paragraph},
        DETECTIVE: {"scripted": players.detect, "random": players.guess_anything, "broken": players.break_guess},
    },
)

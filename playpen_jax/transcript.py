"""Episodes as chat bubbles in HTML; any text, however strange, stays inside its bubble."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Mapping
from typing import Any

LIMIT, LINES, TURNS, FOLD = 1200, 40, 24, 360  # characters and lines of a bubble, turns of an episode; longer is folded

# what could bend the page around it: controls, direction overrides, lone surrogates, noncharacters
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff\ud800-\udfff]")


def printable(value: Any, limit: int = LIMIT) -> str:
    """At most `limit` characters of a text; what would bend the page is shown as its code."""
    return _UNSAFE.sub(lambda found: f"⟨{ord(found[0]):02X}⟩", str(value)[:limit].replace("\r\n", "\n"))


def clean(value: Any, limit: int = LIMIT) -> str:
    """The same, escaped for HTML."""
    return html.escape(printable(value, limit))


def said(value: Any) -> str:
    """A block of text; what was cut is counted in a note."""
    text = str(value)
    kept = "\n".join(text[:LIMIT].split("\n")[:LINES])
    rest = len(text) - len(kept)
    note = f" … {rest:,} more characters" if rest else ""
    if not kept.strip():
        kept, note = "", f"({len(text):,} blank characters)" if text else "(nothing)"
    return f'<span class="said" dir="auto">{clean(kept)}<bdi class="note" dir="ltr">{note}</bdi></span>'


def badge(outcome: Mapping[str, Any]) -> str:
    """How the episode ended, and its score."""
    status, score = outcome["status"], outcome["score"]
    shown = "" if score is None or math.isnan(score) else f" {score:.0f}"
    return f'<span class="badge {clean(status, 20)}">{clean(status, 20)}{shown}</span>'


def episode_html(episode: Mapping[str, Any]) -> str:
    """One episode (a `to_json` object): what each seat was shown on the left, what it said on the right, then the outcome."""
    turns = episode["turns"]
    seats = list(dict.fromkeys(turn["seat"] for turn in turns))
    parts = [_turn(turn, seats.index(turn["seat"]) % 4) for turn in turns[:TURNS]]
    if len(turns) > TURNS:
        parts.append(f'<p class="note">… {len(turns) - TURNS:,} more turns</p>')
    outcome = episode["outcome"]
    reason = clean(outcome.get("reason") or "", 300)
    if episode["stop"] != "end":
        reason = f"{reason or 'cut'} (stopped by our limit: {clean(episode['stop'], 20)})"
    blamed = f" — {clean(outcome['seat'], 60)}" if outcome.get("seat") else ""
    end = f'<p class="end">{badge(outcome)}<span dir="auto">{reason}{blamed}</span></p>'
    return f'<article class="episode">{"".join(parts)}{end}</article>'


def _turn(turn: Mapping[str, Any], seat: int) -> str:
    message, who = "\n\n".join([*(shown for shown, _ in turn.get("before", ())), turn["message"]]), clean(turn["seat"], 60)
    shown = said(message)
    if len(message) > FOLD:
        start = clean(" ".join(message[:140].split()), 140)
        size = f'<span class="note">{len(message):,} characters</span>'
        shown = f'<details><summary dir="auto">{start} … {size}</summary>{shown}</details>'
    notes = " · aside" if turn.get("aside") else ""
    notes += " · cut at the token limit" if turn.get("stop") == "length" else ""
    return (
        f'<div class="turn"><div class="bubble asked"><span class="who">to {who}</span>{shown}</div>'
        f'<div class="bubble reply seat{seat}"><span class="who">{who} · {clean(turn["player"], 60)}{notes}</span>'
        f"{said(turn['reply'])}</div></div>"
    )

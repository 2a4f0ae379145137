"""The report page: whole and self-contained for any run, and safe from any text; its charts by hand."""

from __future__ import annotations

import html.parser
import json
import math
import random
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from games.core import Outcome
from playpen_jax import charts, metrics, report, report_episodes, scores
from playpen_jax.curves import curves
from playpen_jax.transcript import LIMIT, clean, episode_html, said
from playpen_jax.types import Episode, Turn

STRANGE = [
    "CLUE: " + "a" * 100_000,
    "\u202eCLUE </span></div><script>alert(1)</script><!--",
    "\x00\x07\x1b[31m \ud800 \udfff \ufffe \x85 \u2028 \r",
    "تلميح: شيء يضيء",
    "\n" * 5000,
    "",
    '"><img src=x onerror=y>',
    "\ud83d\ude00"[:1] + "😀" * 3000,
]
VOID = {"meta", "br", "img", "link", "input", "hr"}


class Balance(html.parser.HTMLParser):
    """Fails at a tag that closes what is not open; collects the tags and the text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def episode(
    game="toy", instance=0, status="success", score=100.0, reason="guessed", replies=("GUESS: a",), stop="end", seat=None
):
    turns = tuple(Turn("guesser", "learner", "Guess.", reply, "stop") for reply in replies)
    at = {"game_id": instance, "level": ("easy", "hard")[instance % 2]}
    return Episode(game, at, 0, turns, Outcome(status, score, 1, 1, 0, reason=reason, seat=seat), stop)


def make_run(workdir, steps=30):
    """A small run's folder; its second evaluation wins what the first one lost."""
    rng = random.Random(0)
    workdir.mkdir(exist_ok=True)
    (workdir / "config.json").write_text(json.dumps({"algorithm": "grpo", "games": ["toy"], "optim": {"clip": 1.0}}))
    (workdir / "command.txt").write_text("python -m playpen_jax.train --config=grpo.py")
    lost = dict(status="lose", score=0.0, reason="out of tries: 'abc' was number 3")
    scores.write_evaluation(workdir, 0, [episode("toy", i, **lost) for i in range(4)])
    with metrics.Writer(workdir) as writer:
        for step in range(1, steps + 1):
            values = {"reward": step + rng.random(), "learning_rate": 1e-4, "odd<metric>": rng.random(), "gone": math.nan}
            values |= {
                "time/rollout": 2.0,
                "time/train": 1.0,
                "step_time": 120.0,
                "completions/mean_length": 9.0 + step,
                "completions/max_length": 20.0,
            }
            writer.write(step, values | metrics.episode_metrics([episode("toy", i) for i in range(2)]))
    scores.write_evaluation(workdir, steps, [episode("toy", i, *(() if i else lost.values())) for i in range(4)])
    (workdir / "episodes").mkdir(exist_ok=True)
    lines = [json.dumps(episode("toy", 7, replies=STRANGE).to_json()), json.dumps(episode("toy").to_json())[:50]]
    (workdir / "episodes" / f"step_{steps:06d}.jsonl").write_text("\n".join(lines))


def test_the_whole_page(tmp_path):
    make_run(tmp_path / "run")
    path = report.write(tmp_path / "run")
    assert path == tmp_path / "run" / "report.html"
    page = path.read_text(encoding="utf-8")
    parsed = Balance(page)
    text = " ".join(" ".join(parsed.text).split())
    sections = ("Held-out scores", "Learning curves", "What went wrong", "before and after", "Newest training episodes")
    assert all(section in text for section in sections)
    assert "grpo · toy · 30 steps · 1 h 00 min" in text.replace("\u00a0", " ")
    assert "optim.clip" in text and "--config=grpo.py" in text and "learning_rate = 1e-4" in text and "Odd<metric>" in text
    # the table: 0 before, 75 +- 25 after, on the same four instances
    row = text[text.index("all games") :]
    assert row.startswith("all games 0.0 75.0 ± 25.0 +75.0 ± 25.0 100 → 100 0 → 75 0 → 75 1.0 4")
    assert "out of tries: 'abc' was number 3 lose 100 % · step 0 25 % · step 30" in text
    assert "lose 0 → success 100" in text and "lose 0 → lose 0" in text
    for svg in re.findall(r"<svg.*?</svg>", page, re.S):
        ET.fromstring(svg)


def test_nothing_is_loaded_and_no_script_is_needed(tmp_path):
    make_run(tmp_path)
    page = report.write(tmp_path).read_text(encoding="utf-8")
    for tag, attributes in Balance(page).tags:
        assert tag not in ("script", "link", "img", "iframe", "object", "form")
        assert not [name for name in attributes if name.startswith("on") or name == "src"]
        assert attributes.get("href", "#").startswith("#")
    assert "@import" not in page and "url(" not in page and "http" not in page
    assert "prefers-color-scheme:dark" in page and "width=device-width" in page


@pytest.mark.parametrize("missing", ["config.json", "command.txt", "metrics.jsonl", "evaluations", "episodes"])
def test_what_is_missing_is_left_out(tmp_path, missing):
    make_run(tmp_path)
    (tmp_path / missing).rename(tmp_path / "elsewhere")
    text = " ".join(Balance(report.write(tmp_path).read_text(encoding="utf-8")).text)
    gone = {"config.json": "optim", "command.txt": "python", "metrics.jsonl": "Training", "episodes": "Newest"}
    assert gone.get(missing, "Held-out") not in text


def test_an_empty_folder_and_a_run_at_step_0(tmp_path):
    Balance(report.write(tmp_path).read_text(encoding="utf-8"))
    scores.write_evaluation(
        tmp_path, 0, [episode("toy", 0), episode("other", 0, "aborted", math.nan, "no tag", seat="guesser")]
    )
    text = " ".join(" ".join(Balance(report.write(tmp_path).read_text(encoding="utf-8")).text).split())
    assert "clemscore 50.0 at step 0" in text and "no tag (guesser) aborted 100 % · step 0" in text
    assert "Learning curves" not in text and "before and after" not in text
    with metrics.Writer(tmp_path) as writer:
        writer.write(1, {"reward": 0.5, "loss": math.nan, "games/toy/score": 3.0})
    assert "Reward" in report.write(tmp_path).read_text(encoding="utf-8")


def test_strange_text_stays_in_its_bubble():
    names = {"seat": "s<b>\ud800", "player": "p&\u202e"}
    turns = [{**names, "message": "m\x00" * 500, "reply": reply, "stop": "length"} for reply in STRANGE]
    outcome = {"status": "aborted", "score": None, "reason": "</p>\u202e\ud800", "seat": "s<b>"}
    page = episode_html({"turns": turns, "outcome": outcome, "stop": "context"})
    page.encode("utf-8")
    parsed = Balance(page)
    assert {tag for tag, _ in parsed.tags} == {"article", "div", "span", "details", "summary", "bdi", "p"}
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]", page)
    text = "".join(parsed.text)
    assert "98,806 more characters" in text and "⟨202E⟩CLUE </span></div><script>" in text and "⟨D800⟩" in text
    assert "(5,000 blank characters)" in text and "(nothing)" in text and "cut at the token limit" in text
    assert "stopped by our limit: context" in text and len(page) < 40_000


def test_cutting_counts_every_character():
    for n in (LIMIT - 1, LIMIT, LIMIT + 1):
        assert ("more characters" in said("x" * n)) == (n > LIMIT)
    shown = "".join(Balance(said("line\n" * 100)).text)
    assert shown == "line\n" * 39 + "line" + " … 301 more characters"
    assert clean("<&\"'>") == "&lt;&amp;&quot;&#x27;&gt;" and clean("abc", 2) == "ab"


def test_reasons_that_differ_in_a_word_are_one():
    assert report_episodes.skeleton("reply 'crane' isn't 5 letters") == report_episodes.skeleton("reply 'x' isn't 12 letters")
    assert report_episodes.skeleton("no tag") == "no tag" != report_episodes.skeleton("no clue")


def test_every_metric_is_drawn_or_listed():
    rows = [{"step": s, "steady": 3.0, "stops/end": 1.0, "stops/turns": s, "perf/mfu": s, "hole": None} for s in range(3)]
    rows[1]["late"] = 5.0
    rows[2] |= {"completions/mean_length": 1.0, "completions/max_length": 2.0, "completions/x": 3.0}
    page = curves(rows, [])
    assert page.count("<svg") == 5 and "Did not change: steady = 3." in page
    assert all(name in page for name in ("How episodes stop", "Perf · mfu", "Late")) and "Hole" not in page


@pytest.mark.parametrize(
    "low, high, expected",
    [(0, 1, [0, 0.25, 0.5, 0.75, 1]), (-0.3, 9, [-2.5, 0, 2.5, 5, 7.5, 10]), (3.1, 3.2, [3.1, 3.125, 3.15, 3.175, 3.2])],
)
def test_ticks_are_round_and_enclose(low, high, expected):
    assert charts.ticks(low, high) == expected


@pytest.mark.parametrize("values", [np.full(3, 5.0), np.zeros(3), 9000 + np.arange(3.0), -1e-7 + 1e-12 * np.arange(3.0)])
def test_marks_of_a_narrow_range_can_be_told_apart(values):
    root = ET.fromstring(charts.chart([charts.Series("a", np.arange(3.0), values)]))
    marks = [text.text for text in root.findall("text") if float(text.get("x")) < charts.LEFT and "step" not in text.text]
    assert len(marks) == len(set(marks)) > 2


def test_numbers_are_short():
    values = (0, 0.5, 0.12345, 1.5e-7, 1e-4, -3, 99.95, 1234.4, 9999, -12_345, 999_900, 2.5e9)
    shown = ["0", "0.5", "0.123", "1.5e-7", "1e-4", "-3", "100", "1234", "9999", "-12.3k", "1M", "2.5G"]
    assert [charts.number(value) for value in values] == shown
    assert charts.number(51_250, 4) == "51.25k" and charts.number(7.25e-7) == "7.25e-7"


def test_smoothing_keeps_constants_and_short_runs():
    np.testing.assert_allclose(charts.smooth(np.full(300, 4.0)), 4.0)
    np.testing.assert_array_equal(charts.smooth(np.arange(8.0)), np.arange(8.0))
    noise = np.random.default_rng(0).normal(size=3000)
    assert charts.smooth(noise).std() < 0.1
    np.testing.assert_allclose(charts.smooth(np.arange(100.0))[20:80], np.arange(20.0, 80.0))


def test_a_chart_says_what_it_leaves_out():
    values = np.linspace(0, 1, 500)
    values[250] = 100
    drawn = charts.chart([charts.Series("a", np.arange(500.0), values)])
    assert "1 point outside" in drawn
    assert drawn.count("h0") == 400


def test_points_with_error_bars():
    series = charts.Series("held out", np.array([0.0, 10.0]), np.array([0.0, 50.0]), 3, np.array([10.0, math.nan]))
    root = ET.fromstring(charts.chart([series], low=0.0))
    assert len(root.findall("circle")) == 2
    assert [c.find("title").text for c in root.findall("circle")] == ["held out, step 0: 0.0 ± 10.0", "held out, step 10: 50.0"]
    bars = [line for line in root.findall("line") if line.get("class").startswith("error")]
    assert [bar.get("y2") for bar in bars] == ["176.0"]  # cut at the axis
    bottom = charts.HEIGHT - charts.BOTTOM
    heights = [float(c.get("cy")) for c in root.findall("circle")]
    assert heights == pytest.approx([bottom, charts.TOP + (bottom - charts.TOP) / 6], abs=0.05)


def test_stacked_lines_add_up():
    steps = np.arange(3.0)
    lines = [charts.Series("a", steps, np.full(3, 2.0)), charts.Series("b", steps[1:], np.full(2, 3.0))]
    stacked = charts.stack(lines)
    assert [s.values.tolist() for s in stacked] == [[2, 2], [5, 5]] and stacked[0].steps.tolist() == [1, 2]
    ET.fromstring(charts.chart(lines, stacked=True))


def test_learning_curve_of_three_seeds_stands_alone():
    runs = [[{"step": s, "score": 10.0 * seed + s} for s in range(5 + seed)] for seed in range(3)]
    drawn = charts.learning_curve_svg(runs, "score", "Toy & score", low=0.0)
    root = ET.fromstring(drawn)
    assert root.tag == "{http://www.w3.org/2000/svg}svg" and "Toy &amp; score" in drawn and "prefers-color-scheme" in drawn
    kinds = [path.get("class") for path in root.findall("{*}path")]
    assert kinds == ["thin s0", "thin s0", "thin s0", "line s0"]
    mean = [float(y) for y in re.findall(r" ([\d.]+)", root.findall("{*}path")[-1].get("d"))]
    seed1 = [float(y) for y in re.findall(r" ([\d.]+)", root.findall("{*}path")[1].get("d"))]
    assert len(mean) == 5 and mean == pytest.approx(seed1[:5], abs=0.11)
    assert charts.learning_curve_svg(runs[:1], "score").count("<path") == 1
    with pytest.raises(ValueError, match="no values of 'loss'"):
        charts.learning_curve_svg(runs, "loss")
    with pytest.raises(ValueError, match="share no step"):
        charts.learning_curve_svg([runs[0], [{"step": 99, "score": 1.0}]], "score")


def test_small_charts_of_groups_share_their_axes_and_the_mean_of_all():
    groups = {f"group {g}": [[{"step": s, "score": 10.0 * g + seed} for s in range(4)] for seed in (0, 2)] for g in range(4)}
    root = ET.fromstring(charts.multiples_svg(groups, "score", "Toys"))
    assert root.get("viewBox") == f"0 -26 {3 * charts.WIDTH} {2 * charts.HEIGHT + 70}"
    cells = root.findall("{*}g")
    assert [cell.find("{*}text").text for cell in cells] == list(groups)
    assert {tuple(path.get("class") for path in cell.findall("{*}path")) for cell in cells} == {
        ("dash s6", "thin s0", "thin s0", "line s0")
    }
    at = [[float(path.get("d").rpartition(" ")[2]) for path in cell.findall("{*}path")] for cell in cells]
    everywhere, low, high, mean = zip(*at)
    assert list(everywhere) == pytest.approx([np.mean(mean)] * 4, abs=0.1), "the same line in all, on the same axis"
    assert mean == pytest.approx(np.add(low, high) / 2, abs=0.1) and sorted(mean, reverse=True) == list(mean)

"""Taboo in clemcore's own game loop, for `python -m playpen_jax.bench games`: our rules, their master, players and events.

What a rule costs is the same on both sides, because the rules themselves are called from `games.taboo`; what differs is the
loop around them. Players are mocks that say recorded replies. Needs the package `clemcore`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from clemcore.backends.model_registry import CustomResponseModel
from clemcore.clemgame import DialogueGameMaster, GameBenchmark, GameSpec, ParseError, Player
from clemcore.clemgame.callbacks.base import GameBenchmarkCallback, GameBenchmarkCallbackList
from clemcore.clemgame.envs.pettingzoo.master import GameMasterEnv
from clemcore.clemgame.recorder import EventCallRecorder, GameInteractionsRecorder

from games.taboo import CLUE, GUESS, forbidden, normalise
from games.templates import fill


class Speaker(Player):
    """Says what it is given."""

    reply = ""

    def _custom_response(self, context: dict) -> str:
        return self.reply


class TabooMaster(DialogueGameMaster):
    """The rules of `games.taboo`, in the hooks of clemcore."""

    def _on_setup(self, **instance) -> None:
        self.target, self.words = instance["target_word"], [instance["target_word"], *instance["related_word"]]
        related = "\n".join(f"- {word}" for word in instance["related_word"])
        limit = str(self.experiment["max_turns"])
        values = {"TARGET_WORD": self.target, "REL_WORD": related, "N": limit}
        self.describer, self.guesser = (Speaker(model, game_role=role) for model, role in zip(self.player_models, ROLES))
        self.add_player(self.describer, initial_context=fill(self.experiment["describer_initial_prompt"], values))
        self.add_player(self.guesser, initial_prompt=fill(self.experiment["guesser_initial_prompt"], {"N": limit}))

    def _parse_response(self, player: Player, response: str) -> str:
        if not response.startswith(CLUE if player is self.describer else GUESS):
            raise ParseError("the tag is missing", response)
        return response

    def _on_parse_error(self, error: ParseError) -> None:
        self.state.abort()

    def _advance_game(self, player: Player, parsed_response: str) -> None:
        if player is self.describer:
            if forbidden(parsed_response, self.words):
                self.state.failed()
            self.set_context_for(self.guesser, parsed_response)
        elif normalise(parsed_response, GUESS) == self.target:
            self.state.succeed()
        else:
            self.set_context_for(self.describer, parsed_response)

    def _on_after_round(self) -> None:
        if self._does_game_proceed() and self.current_round + 1 >= self.experiment["max_turns"]:
            self.state.failed()


ROLES = ("WordDescriber", "WordGuesser")
STATUS = {"success": "success", "failure": "lose", "aborted": "aborted"}


class TabooBenchmark(GameBenchmark):
    """Makes masters."""

    def create_game_master(self, experiment: dict, player_models: list) -> DialogueGameMaster:
        return TabooMaster(self.game_spec, experiment, player_models)


class Record(GameBenchmarkCallback):
    """Registers the recorders of a normal run, of events and of each player's requests; their files are not written."""

    def on_game_start(self, game_master: DialogueGameMaster, game_instance: dict) -> None:
        names = {"experiment_name": game_master.experiment["name"], "game_id": game_instance["game_id"]}
        game_master.register(GameInteractionsRecorder("taboo", **names, results_folder="", player_model_infos={}))
        for player in game_master.get_players():
            who = {"player_name": player.name, "game_role": player.game_role, "model_name": player.model.name}
            recorder = EventCallRecorder("taboo", **names, **who)
            game_master.register(recorder)
            player.register(recorder)


class Episode:
    """One episode as clemcore's sequential runner plays it, a turn at a time."""

    def __init__(self, env: GameMasterEnv, instance: Mapping, settings: Mapping, model: CustomResponseModel):
        self.env = env
        env.reset(options={"player_models": [model, model], "experiment": settings, "game_instance": instance})
        self.agents: Iterator[str] = iter(env.agent_iter())

    def turn(self, reply: str) -> None:
        """One agent observes, answers and acts; when the game is over the agents are taken out, as the runner does."""
        player = self.env.player_by_agent_id[next(self.agents)]
        player.reply = reply
        context, *_ = self.env.last(observe=True)
        self.env.step(player(context))
        if self.env.game_master.state.outcome.is_terminal:
            for _ in self.agents:
                self.env.last(observe=True)
                self.env.step(None)

    def status(self) -> str:
        return STATUS[self.env.game_master.state.outcome.value]


def loops() -> Iterator[tuple[str, Callable, Callable, Callable]]:
    """(name, start, turn, status) of clemcore's loop with the recorders of a normal run, and bare."""
    benchmark = TabooBenchmark(GameSpec(game_name="taboo", game_path=".", players=2))
    model = CustomResponseModel()
    for name, callbacks in (("clemcore", [Record()]), ("clemcore without recorders", [])):
        env = GameMasterEnv(benchmark, callbacks=GameBenchmarkCallbackList(callbacks))
        start = lambda script, env=env: Episode(env, script.instance, script.settings, model)
        yield name, start, Episode.turn, Episode.status

"""The little graph theory of textmapworld: covering walks, distances, and how far a drawn map is from the true one.

A graph is a dict from room to the set of its neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from typing import Any

Near = Mapping[Any, set | frozenset]
DIRECTIONS = {"north": (0, 1), "south": (0, -1), "east": (1, 0), "west": (-1, 0)}
FAR_OFF = 100  # an edit distance from which on the similarity is 0 to the last bit
PATIENCE = 100_000  # assignments tried for an edit distance; the official maps need some thousands at most


def distances(near: Near, start: Any) -> dict[Any, int]:
    """Steps from `start` to every room that can be reached from it."""
    far = {start: 0}
    queue = [start]
    for here in queue:
        for there in near[here]:
            if there not in far:
                far[there] = far[here] + 1
                queue.append(there)
    return far


def first_steps(near: Near, here: Any, visited: Set) -> set:
    """First steps of the shortest walks from `here` that see every unvisited neighbour of the visited rooms.

    As the official scorer has it: a walk goes on to rooms new to it, and only where there are none back to any neighbour.
    """
    frontier = set().union(*(near[room] for room in visited)) - visited
    walks: list[tuple[Any, ...]] = [(here,)]
    while True:
        walks = [(*walk, room) for walk in walks for room in (near[walk[-1]].difference(walk) or near[walk[-1]])]
        found = {walk[1] for walk in walks if frontier.issubset(walk)}
        if found:
            return found


def similarity(near: Near, drawn: Any) -> float:
    """100 for a drawing of the same structure, names aside, falling with the edit distance; 0 if it cannot be read."""
    try:
        nodes = {room.lower() for room in drawn["nodes"]}
        edges = {frozenset((pair[0].lower(), pair[1].lower())) for pairs in drawn["edges"].values() for pair in pairs}
    except (TypeError, KeyError, IndexError, AttributeError):  # a drawing is whatever a player wrote
        return 0
    edges_in_truth = {frozenset((room, other)) for room in near for other in near[room]}
    nodes = nodes.union(*edges)
    distance = len(nodes) - len(near) + len(edges) - len(edges_in_truth)  # the least that it can be
    if distance < FAR_OFF:
        distance = edit_distance(set(near), edges_in_truth, nodes, edges)
    return 200 * (1 - 1 / (1 + math.exp(-min(distance, FAR_OFF) / 2)))


def edit_distance(nodes_a: Set, edges_a: Set[frozenset], nodes_b: Set, edges_b: Set[frozenset]) -> int:
    """Nodes and edges to add or remove until two unlabelled graphs are the same.

    An edge is the frozenset of its ends (one end for a loop, which `a` must not have). It never pays to remove a node of the
    smaller graph, so the distance follows from the most edges that an assignment of its nodes keeps. The official distance
    (networkx) lets a loop stand for a lost edge, depending on the order of its search; here one loop may, which nearly always
    gives the same number.
    """
    straight = {edge for edge in edges_b if len(edge) == 2}
    if len(nodes_a) <= len(nodes_b):
        kept = _kept_edges(nodes_a, edges_a, nodes_b, straight)
    else:
        kept = _kept_edges(nodes_b, straight, nodes_a, edges_a)
    kept += min(1, len(edges_b) - len(straight), len(edges_a) - kept)
    return abs(len(nodes_a) - len(nodes_b)) + len(edges_a) + len(edges_b) - 2 * kept


def _kept_edges(nodes: Set, edges: Set[frozenset], others: Set, other_edges: Set[frozenset]) -> int:
    """The most edges of the first graph that an assignment of its nodes to different `others` can keep: branch and bound."""
    near, other = _neighbours(nodes, edges), _neighbours(others, other_edges)
    order: list = []  # each node follows as many of its neighbours as possible
    while len(order) < len(nodes):
        rest = [node for node in near if node not in order]
        order.append(max(rest, key=lambda node: (len(near[node].intersection(order)), len(near[node]))))
    back = [[order.index(b) for b in near[node] if b in order[:i]] for i, node in enumerate(order)]
    to_come = [sum(map(len, back[i:])) for i in range(len(order) + 1)]
    most, best, tried = min(len(edges), len(other_edges)), 0, 0
    image: list = []

    def assign(kept: int) -> None:
        nonlocal best, tried
        best = max(best, kept)
        tried += 1
        if best == most or kept + to_come[len(image)] <= best or tried > PATIENCE:
            return
        ends = [image[b] for b in back[len(image)]]
        free = other.keys() - image
        for there in sorted(free, key=lambda node: (-len(other[node].intersection(ends)), -len(other[node]), str(node))):
            image.append(there)
            assign(kept + len(other[there].intersection(ends)))
            image.pop()

    assign(0)
    return best


def _neighbours(nodes: Set, edges: Set[frozenset]) -> dict[Any, set]:
    near: dict[Any, set] = {node: set() for node in sorted(nodes, key=str)}
    for a, b in edges:
        near[a].add(b)
        near[b].add(a)
    return near

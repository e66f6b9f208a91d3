"""Blackjack."""

import functools
from typing import Any

import numpy as np

from jaxrl.envs.mdp import MDP
from jaxrl.envs.tables import from_successors

CARDS = np.append(np.full(9, 1 / 13), 4 / 13)
"""Probabilities of ace, 2, …, 10 (and pictures); the deck is infinite."""
NATURAL, END = 200, 210


def blackjack(natural: bool = False, sab: bool = True) -> MDP:
    """Hit (action 1) or stick (0) against a dealer who sticks on 17 and more; a win earns 1, a loss costs 1.

    State `(sum - 12) * 20 + usable_ace * 10 + dealer - 1`, where the dealer shows an ace (1) to a ten; below 12 one
    always hits. States 200 to 209 are a natural, an ace and a ten from the deal, by the dealer's card: by the
    book sticking wins unless the dealer has one too. State 210 is the end. An episode begins with the deal.

    Args:
      natural: whether a natural that wins earns 1.5; not with `sab`.
      sab: the book's rules. Without it a natural is a 21 like any other.

    Example:
      >>> blackjack().num_states
      211

    Source: Sutton & Barto (2018), Reinforcement Learning: An Introduction, example 5.1; naturals and the arguments
    as in Gymnasium's Blackjack-v1.
    """
    successor, probability = np.full((211, 2, 10), END), np.zeros((211, 2, 10))
    reward, start = np.zeros((211, 2, 10)), np.zeros(211)
    for dealer in range(1, 11):
        final = _dealer(dealer, dealer == 1)
        for total in range(12, 22):
            for ace in (0, 1):
                state = _state(total, ace, dealer)
                probability[state, 0, :3], reward[state, 0, :3] = _stick(final, total), [1, 0, -1]
                _hit(state, total, ace, dealer, successor, probability, reward)
        state, tie = NATURAL + dealer - 1, {1: CARDS[9], 10: CARDS[0]}.get(dealer, 0.0)
        probability[state, 0, :3] = [1 - tie, tie, 0.0] if sab else _stick(final, 21)
        reward[state, 0, 0] = 1.5 if natural and not sab else 1.0
        _hit(state, 21, 1, dealer, successor, probability, reward)
        for (total, ace, two_cards), chance in _deals().items():
            start[state if two_cards else _state(total, ace, dealer)] += chance * CARDS[dealer - 1]
    mdp = from_successors(successor, probability, reward, terminal=np.arange(211) == END)
    return mdp.replace(start=np.asarray(start, mdp.reward.dtype))  # pyright: ignore[reportAttributeAccessIssue]


def _state(total: int, ace: int, dealer: int) -> int:
    return (total - 12) * 20 + ace * 10 + dealer - 1


def _stick(final: np.ndarray, total: int) -> list[float]:
    """Probabilities of a win, a draw and a loss against the dealer's final sums, 22 for anything above 21."""
    return [final[:total].sum() + final[22], final[total], final[total + 1 : 22].sum()]


def _drawn(total: int, ace: int, card: int) -> tuple[int, int]:
    """Sum and usable ace after a card; a sum above 21 is lost."""
    total += card
    if card == 1 and total + 10 <= 21:
        total, ace = total + 10, 1
    elif total > 21 and ace:
        total, ace = total - 10, 0
    return total, ace


def _hit(state: int, total: int, ace: int, dealer: int, successor: Any, probability: Any, reward: Any) -> None:
    """Fill in the row of hitting."""
    for card, chance in enumerate(CARDS, start=1):
        after, usable = _drawn(total, ace, card)
        probability[state, 1, card - 1] = chance
        if after > 21:
            reward[state, 1, card - 1] = -1
        else:
            successor[state, 1, card - 1] = _state(after, usable, dealer)


@functools.cache
def _dealer(total: int, ace: bool) -> np.ndarray:
    """Probabilities of the dealer's final sum, 22 for anything above 21, from a sum in which an ace counts one."""
    best = total + 10 if ace and total + 10 <= 21 else total
    if best >= 17:
        return np.eye(23)[min(best, 22)]
    finals = [_dealer(total + card, ace or card == 1) for card in range(1, 11)]
    return CARDS @ np.stack(finals)


@functools.cache
def _deals() -> dict[tuple[int, int, bool], float]:
    """Probabilities of (sum, usable ace, natural) of the first hand of at least 12."""
    deals: dict[tuple[int, int, bool], float] = {}

    def deal(total: int, ace: int, cards: int, chance: float) -> None:
        for card, probability in enumerate(CARDS, start=1):
            after, usable = _drawn(total, ace, card)
            if cards + 1 < 2 or after < 12:
                deal(after, usable, cards + 1, chance * probability)
            else:
                hand = (after, usable, cards + 1 == 2 and after == 21)
                deals[hand] = deals.get(hand, 0.0) + chance * probability

    deal(0, 0, 0, 1.0)
    return deals

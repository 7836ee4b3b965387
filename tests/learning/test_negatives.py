from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch import Tensor

from progrec.learning import negatives
from progrec.learning.negatives import Sampler

N_ITEMS = 6
ONE_EACH = (1,) * N_ITEMS
TICKETS = (1, 200, 1, 5, 20, 8)

Pairs = set[tuple[int, int]]


def sampler(known: Pairs, tickets: tuple[int, ...] = ONE_EACH) -> Sampler:
    users, items = torch.tensor([*known], dtype=torch.int64).reshape(-1, 2).T
    return Sampler(users, items, torch.tensor(tickets))


def draw(
    users: list[int], n: int, known: Pairs, seed: int = 0, tickets: tuple[int, ...] = ONE_EACH
) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return sampler(known, tickets).draw(torch.tensor(users), n, generator)


def others(user: int, known: Pairs) -> list[int]:
    return [item for item in range(N_ITEMS) if (user, item) not in known]


pairs = st.sets(st.tuples(st.integers(0, 3), st.integers(0, N_ITEMS - 1)))
holdings = st.tuples(*[st.integers(1, 1000)] * N_ITEMS)


@given(known=pairs, tickets=holdings, seed=st.integers(0, 1000))
def test_a_negative_is_never_known_where_the_user_has_others(
    known: Pairs, tickets: tuple[int, ...], seed: int
) -> None:
    users = [0, 1, 2, 3, 0]

    drawn = draw(users, 20, known, seed, tickets)

    assert drawn.shape == (5, 20)
    for user, items in zip(users, drawn.tolist(), strict=True):
        assert set(items) <= set(others(user, known) or range(N_ITEMS))


def test_a_user_who_knows_everything_gets_items_all_the_same() -> None:
    drawn = draw([1], 300, {(1, item) for item in range(N_ITEMS)})

    assert set(drawn.flatten().tolist()) == set(range(N_ITEMS))


KNOWN = [
    pytest.param(set(), id="nothing"),
    pytest.param({2}, id="little"),
    pytest.param({0, 1, 4, 5}, id="nearly all, where rejection often gives up"),
]


@pytest.mark.parametrize("liked", KNOWN)
def test_negatives_are_uniform_over_what_is_not_known(liked: set[int]) -> None:
    known = {(1, item) for item in liked} | {(0, 0), (2, 5)}

    counts = torch.bincount(draw([1] * 100, 60, known).flatten(), minlength=N_ITEMS)

    assert counts.sum() == 6000
    assert chisquare(counts[others(1, known)].numpy()).pvalue > 0.001


@given(known=pairs, seed=st.integers(0, 1000))
def test_uniform_draws_are_those_of_whole_numbers_below_the_number_of_items(
    known: Pairs, seed: int
) -> None:
    users, n = [0, 1, 2, 3, 0], 7

    drawn = draw(users, n, known, seed)

    assert torch.equal(drawn, _twin(users, n, known, torch.Generator().manual_seed(seed)))


def _twin(users: list[int], n: int, known: Pairs, generator: torch.Generator) -> Tensor:
    """Uniform draws item by item, by the same random numbers."""
    items = torch.randint(N_ITEMS, (len(users), n), generator=generator)

    def hits() -> list[tuple[int, int]]:
        cells = torch.cartesian_prod(torch.arange(len(users)), torch.arange(n)).tolist()
        return [
            (row, place) for row, place in cells if (users[row], int(items[row, place])) in known
        ]

    for _ in range(negatives.ROUNDS):
        if not hits():
            return items
        again = torch.randint(N_ITEMS, (len(hits()),), generator=generator)
        for (row, place), item in zip(hits(), again, strict=True):
            items[row, place] = item
    drawn = torch.rand(len(hits()), generator=generator, dtype=torch.float64)
    for (row, place), number in zip(hits(), drawn.tolist(), strict=True):
        unknown = others(users[row], known)
        if unknown:
            items[row, place] = unknown[int(number * len(unknown))]
    return items


def test_tickets_are_in_the_proportions_of_a_power_of_the_likes() -> None:
    likes = torch.tensor([1, 16, 81])

    assert negatives.tickets(likes, 0.75).tolist() == [1, 8, 27]
    assert negatives.tickets(likes, 1.0).tolist() == [1, 16, 81]
    assert negatives.tickets(likes, 0.0).tolist() == [1, 1, 1]


def test_tickets_are_rounded_to_a_thousandth_of_one_like() -> None:
    # The square roots of 1, 2 and 4; all thousandths are even.
    assert negatives.tickets(torch.tensor([1, 2, 4]), 0.5).tolist() == [500, 707, 1000]


def test_an_item_that_nobody_likes_holds_as_many_as_one_liked_once() -> None:
    assert negatives.tickets(torch.tensor([0, 1, 16]), 0.75).tolist() == [1, 1, 8]
    assert negatives.tickets(torch.tensor([0, 0]), 0.75).tolist() == [1, 1]


@pytest.mark.parametrize("liked", [*KNOWN, pytest.param({1}, id="what holds most tickets")])
def test_negatives_are_drawn_as_often_as_their_tickets_say(liked: set[int]) -> None:
    known = {(1, item) for item in liked} | {(0, 0), (0, 1), (2, 5)}

    counts = torch.bincount(
        draw([1] * 200, 100, known, tickets=TICKETS).flatten(), minlength=N_ITEMS
    )

    unknown = others(1, known)
    held = sum(TICKETS[item] for item in unknown)
    expected = [TICKETS[item] / held if item in unknown else 0 for item in range(N_ITEMS)]
    assert (counts / 20_000).tolist() == pytest.approx(expected, abs=0.01)


def test_hand_worked_rates() -> None:
    known = {(0, 1), (1, 3), (1, 4), *((2, item) for item in range(N_ITEMS))}
    users, items = torch.tensor([0, 1, 2]), torch.tensor([[3, 0], [1, 1], [1, 3]])

    rates = sampler(known, TICKETS).log_rates(users, items)

    # 235 tickets in all, of which the users 0 and 1 know 200 and 25; the last one knows everything.
    expected = torch.tensor([[5 / 35, 1 / 35], [200 / 210] * 2, [200 / 235, 5 / 235]])
    torch.testing.assert_close(rates, expected.log())


def test_without_popularity_all_that_is_not_known_is_equally_likely() -> None:
    rates = sampler({(0, 1), (0, 2)}).log_rates(torch.tensor([0]), torch.tensor([[0, 5]]))

    torch.testing.assert_close(rates.exp(), torch.full((1, 2), 1 / 4))


@given(known=pairs.filter(len), tickets=holdings)
def test_the_rates_of_all_that_can_be_drawn_add_up_to_one(
    known: Pairs, tickets: tuple[int, ...]
) -> None:
    subject = sampler(known, tickets)

    for user in {user for user, _ in known}:
        items = torch.tensor([others(user, known) or range(N_ITEMS)])
        rates = subject.log_rates(torch.tensor([user]), items).exp()
        assert rates.sum().item() == pytest.approx(1, abs=1e-5)


def test_the_same_generator_state_draws_the_same() -> None:
    known = {(0, 0), (0, 1), (0, 2), (1, 3)}

    assert torch.equal(draw([0, 1], 50, known, seed=3), draw([0, 1], 50, known, seed=3))
    assert not torch.equal(draw([0, 1], 50, known, seed=3), draw([0, 1], 50, known, seed=4))


def test_a_generator_draws_anew_each_time() -> None:
    generator = torch.Generator().manual_seed(0)
    subject, users = sampler({(0, 0)}), torch.tensor([0, 1])

    first, second = (subject.draw(users, 50, generator) for _ in range(2))

    assert not torch.equal(first, second)


@pytest.mark.parametrize("popular", [1, 100_000_000])
def test_a_large_shop_does_not_overflow(popular: int) -> None:
    n_items, user = 54_000, 1_600_000
    items = torch.arange(n_items - 1)
    tickets = torch.ones(n_items, dtype=torch.int64)
    tickets[:100] = popular
    subject = Sampler(torch.full_like(items, user), items, tickets)
    users = torch.tensor([user])

    drawn = subject.draw(users, 3, torch.Generator().manual_seed(0))

    assert drawn.tolist() == [[n_items - 1] * 3]
    assert subject.log_rates(users, drawn).tolist() == [[0, 0, 0]]

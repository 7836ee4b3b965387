from __future__ import annotations

import math

import pytest
import torch

from progrec.learning import ncf
from progrec.learning.config import FeaturesConfig, ModelConfig
from progrec.learning.evidence import INPUTS
from progrec.learning.ncf import NCF, Fusion

FEATURES = {
    "users": ("views", "avg_spent"),
    "items": ("views", "revenue", "avg_price"),
    "attributes": ("category", "brand"),
}
TOWERS = {
    "gmf": ModelConfig(towers=("gmf",), factors=4, layers=()),
    "mlp": ModelConfig(towers=("mlp",), factors=4, layers=(6, 5)),
    "neumf": ModelConfig(towers=("gmf", "mlp"), factors=4, layers=(6, 5, 3)),
    "side": ModelConfig(towers=("gmf", "mlp"), factors=4, layers=(6, 5, 3), features=FEATURES),
}
N_USERS, N_ITEMS = 5, 11


@pytest.fixture(params=TOWERS)
def network(request: pytest.FixtureRequest) -> NCF:
    """A network whose embeddings are large enough to make a difference."""
    torch.manual_seed(3)
    config = TOWERS[request.param]
    network = NCF(N_USERS, N_ITEMS, config, codes(N_ITEMS, config))
    for part in (network.users, network.items):
        for parameter in part.parameters():
            torch.nn.init.normal_(parameter)
        if part.side is not None:
            part.side.fit(torch.randn(len(part.weight), len(part.side.mean)))
    return network.eval()


def codes(n_items: int, config: ModelConfig) -> torch.Tensor:
    """Codes of every third item's attributes: 0, 1 or 2."""
    return (torch.arange(n_items) % 3)[:, None].expand(-1, len(config.features.attributes))


def every_pair(network: NCF, users: torch.Tensor) -> torch.Tensor:
    """Probabilities by way of forward, one pair at a time."""
    with torch.no_grad():
        return torch.stack(
            [
                torch.stack([torch.sigmoid(network(user, item)) for item in torch.arange(N_ITEMS)])
                for user in users
            ]
        )


@pytest.mark.parametrize("at_once", [1, 5, 8, 13, 2**18])
def test_scoring_the_catalogue_is_scoring_each_pair_in_whatever_blocks(
    network: NCF, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = torch.tensor([4, 0, 0, 2])
    expected = every_pair(network, users)
    monkeypatch.setattr(ncf, "PAIRS_AT_ONCE", at_once)

    probabilities = network.probabilities(users)

    assert probabilities.shape == (4, N_ITEMS)
    torch.testing.assert_close(probabilities, expected)
    assert expected.std() > 0.01


def test_a_batch_of_one_keeps_its_shape(network: NCF) -> None:
    user = torch.tensor([3])

    torch.testing.assert_close(network.probabilities(user), every_pair(network, user))
    assert network(user, torch.tensor([1])).shape == (1,)
    assert network(user[:, None], torch.tensor([[1]])).shape == (1, 1)


def test_nobody_has_no_probabilities(network: NCF) -> None:
    assert network.probabilities(torch.tensor([], dtype=torch.int64)).shape == (0, N_ITEMS)


def test_users_and_items_broadcast(network: NCF) -> None:
    users, items = torch.tensor([1, 2]), torch.tensor([[3, 4, 5], [6, 7, 8]])

    logits = network(users[:, None], items)

    assert logits.shape == (2, 3)
    torch.testing.assert_close(logits[1, 2], network(torch.tensor(2), torch.tensor(8)))


def test_the_halves_are_the_papers_first_layer_on_both_embeddings() -> None:
    torch.manual_seed(0)
    network = NCF(2, 3, TOWERS["mlp"])
    user, item = network.users.weight[1], network.items.weight[2]
    weight = torch.cat([network.user_half.weight, network.item_half.weight], dim=1)
    first = torch.relu(weight @ torch.cat([user, item]) + network.user_half.bias)

    torch.testing.assert_close(
        network(torch.tensor(1), torch.tensor(2)), network.output(first).squeeze()
    )


def test_gmf_alone_is_a_weighted_product_of_the_embeddings() -> None:
    torch.manual_seed(0)
    network = NCF(2, 3, TOWERS["gmf"])
    product = network.users.weight[1] * network.items.weight[2]

    torch.testing.assert_close(
        network(torch.tensor(1), torch.tensor(2)), network.output(product).squeeze()
    )


def test_growth_keeps_every_old_row_bit_for_bit(network: NCF) -> None:
    grown = network.grown(N_USERS + 3, N_ITEMS + 2, codes(N_ITEMS + 2, network.config))

    assert torch.equal(grown.users.weight[:N_USERS], network.users.weight)
    assert torch.equal(grown.items.weight[:N_ITEMS], network.items.weight)
    assert (len(grown.users.weight), grown.n_items) == (N_USERS + 3, N_ITEMS + 2)


def test_growth_keeps_the_scores_of_old_pairs(network: NCF) -> None:
    users, items = torch.arange(N_USERS)[:, None], torch.arange(N_ITEMS)[None]

    grown = network.grown(N_USERS + 3, N_ITEMS + 2, codes(N_ITEMS + 2, network.config))

    assert torch.equal(grown(users, items), network(users, items))


def test_new_rows_are_0(network: NCF) -> None:
    grown = network.grown(N_USERS + 2, N_ITEMS + 1, codes(N_ITEMS + 1, network.config))

    assert not grown.users.weight[N_USERS:].any()
    assert not grown.items.weight[N_ITEMS:].any()


def test_growth_leaves_the_network_it_came_from_alone(network: NCF) -> None:
    before = {name: weight.clone() for name, weight in network.state_dict().items()}

    grown = network.grown(N_USERS, N_ITEMS, codes(N_ITEMS, network.config))
    with torch.no_grad():
        for weight in grown.parameters():
            weight.add_(1)

    assert all(torch.equal(weight, before[name]) for name, weight in network.state_dict().items())


@pytest.mark.parametrize("network", ["side"], indirect=True)
def test_a_new_word_starts_as_the_unknown_one(network: NCF) -> None:
    known = codes(N_ITEMS, network.config)
    more = torch.cat([known, torch.tensor([[3, 3], [0, 0], [3, 1]])])

    grown = network.grown(N_USERS, N_ITEMS + 3, more)

    assert grown.items.side is not None
    assert [len(table) for table in grown.items.side.tables] == [4, 4]
    new, unknown, half = grown.items(torch.tensor([N_ITEMS, N_ITEMS + 1, N_ITEMS + 2]))
    assert torch.equal(new, unknown)
    assert not torch.equal(half, unknown)
    before, after = (each.items(torch.arange(N_ITEMS)) for each in (network, grown))
    assert torch.equal(after, before)


@pytest.mark.parametrize("network", ["side"], indirect=True)
def test_with_side_inputs_new_rows_are_what_these_add(network: NCF) -> None:
    grown = network.grown(N_USERS + 1, N_ITEMS + 3, codes(N_ITEMS + 3, network.config))

    assert not torch.equal(*grown.items(torch.tensor([N_ITEMS, N_ITEMS + 1])))
    assert grown.probabilities(torch.tensor([N_USERS])).std() > 0.01


# Parts


@pytest.mark.parametrize("users", [[4, 0, 2], [], [0, 1, 2, 3, 4]])
def test_a_part_scores_its_users_as_the_whole_does(network: NCF, users: list[int]) -> None:
    rows = torch.tensor(users, dtype=torch.int64)

    part = network.part(rows)

    assert part.users.num_embeddings == len(users)
    places = torch.arange(len(users))
    assert torch.equal(part.probabilities(places), network.probabilities(rows))
    assert not part.training


def test_a_part_taken_back_untrained_changes_nothing(network: NCF) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    rows = torch.tensor([4, 1])

    network.take(network.part(rows), rows)

    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_a_part_that_has_learned_is_taken_back_for_its_users_and_for_all_that_is_shared(
    network: NCF,
) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    rows = torch.tensor([4, 1])
    part = network.part(rows)
    with torch.no_grad():
        for value in part.state_dict().values():
            value.add_(1)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())

    network.take(part, rows)

    for name, value in network.state_dict().items():
        if name in ncf.BY_USER:
            assert torch.equal(value[rows], before[name][rows] + 1), name
            assert torch.equal(value[[0, 2, 3]], before[name][[0, 2, 3]]), name
        else:
            assert torch.equal(value, before[name] + 1), name


def test_weights_of_another_size_are_no_network(network: NCF) -> None:
    state, items = network.state_dict(), codes(N_ITEMS, network.config)

    same = NCF.of(state, N_USERS, N_ITEMS, network.config, items)

    users = torch.arange(N_USERS)
    assert torch.equal(same.probabilities(users), network.probabilities(users))
    with pytest.raises(RuntimeError, match="size mismatch"):
        NCF.of(state, N_USERS + 1, N_ITEMS, network.config, items)
    with pytest.raises(RuntimeError, match="Missing key"):
        NCF.of({"users.weight": state["users.weight"]}, N_USERS, N_ITEMS, network.config, items)
    with pytest.raises(RuntimeError, match="Unexpected key"):
        NCF.of(state | {"more": state["users.weight"]}, N_USERS, N_ITEMS, network.config, items)


def test_the_weights_without_side_inputs_are_the_papers(network: NCF) -> None:
    names = [name for name in network.state_dict() if ".side." in name]

    assert bool(names) == (network.config.features != FeaturesConfig())


# Starts


def test_a_start_makes_the_logits_eight_times_the_product_less_four() -> None:
    torch.manual_seed(0)
    network = NCF(N_USERS, N_ITEMS, TOWERS["neumf"])
    users, items = torch.randn(N_USERS, 4), torch.randn(N_ITEMS, 4)

    network.start_from(users, items)

    expected = 8 * users @ items.T - 4
    torch.testing.assert_close(network.catalogue(torch.arange(N_USERS)), expected)
    torch.testing.assert_close(
        network(torch.arange(N_USERS)[:, None], torch.arange(N_ITEMS)).detach(), expected
    )
    assert all(weight.requires_grad for weight in network.parameters())


def test_a_start_leaves_the_mlp_towers_embeddings_alone() -> None:
    network = NCF(N_USERS, N_ITEMS, TOWERS["neumf"])
    before = network.users.weight[:, 4:].clone()

    network.start_from(torch.ones(N_USERS, 4), torch.ones(N_ITEMS, 4))

    assert torch.equal(network.users.weight[:, 4:], before)
    assert (network.users.weight[:, :4] == 1).all()


def test_the_towers_logits_are_those_of_the_probabilities(network: NCF) -> None:
    users = torch.tensor([3, 1])

    torch.testing.assert_close(
        torch.sigmoid(network.catalogue(users)), network.probabilities(users)
    )


# Fusions

FUSED = ModelConfig(towers=("gmf",), factors=4, layers=(), fusion=(6, 5))


def test_an_untrained_fusion_adds_the_neighbours_to_the_towers() -> None:
    torch.manual_seed(0)
    network = NCF(N_USERS, N_ITEMS, FUSED)
    users = torch.tensor([2, 0])
    known = torch.randn(2, N_ITEMS, len(INPUTS))

    expected = torch.sigmoid(network.catalogue(users) + known[..., 0])
    torch.testing.assert_close(network.probabilities(users, known), expected)


def test_without_evidence_the_towers_alone_decide() -> None:
    network = NCF(N_USERS, N_ITEMS, FUSED)
    users = torch.tensor([4])

    assert torch.equal(network.probabilities(users), torch.sigmoid(network.catalogue(users)))


def test_a_fusion_by_hand() -> None:
    fusion = Fusion((2,))
    with torch.no_grad():
        fusion.centre[:2] = torch.tensor([1.0, 2.0])
        fusion.scale[:2] = torch.tensor([2.0, 4.0])
        fusion.weights.weight[1] = 3.0  # the neighbours count more with experience
        fusion.hidden[0].weight.zero_()
        fusion.hidden[0].weight[0, 0] = -1.0
        fusion.hidden[0].bias.zero_()
        fusion.last.weight[0] = torch.tensor([10.0, 10.0])
        fusion.calibration.copy_(torch.tensor([0.1, -1.0]))
    inputs = torch.zeros(1 + len(INPUTS))
    inputs[0], inputs[1], inputs[-1] = -2.0, 4.0, 0.5

    # Standard: -1.5 and 0.5; weights: 1 and 1 + 3 / 2; the hidden layer has 1.5 and 0.
    logit = -1.5 + 0.5 * 2.5 + 10 * 1.5
    assert fusion(inputs).item() == pytest.approx(logit)
    assert fusion.probabilities(inputs).item() == pytest.approx(1 / (1 + math.exp(1 - 0.1 * logit)))


def test_growth_keeps_the_fusion() -> None:
    network = NCF(N_USERS, N_ITEMS, FUSED)
    for part in network.fusion.parameters():
        torch.nn.init.normal_(part)
    network.fusion.calibration.copy_(torch.tensor([2.0, -1.0]))
    users, known = torch.tensor([1]), torch.randn(1, N_ITEMS, len(INPUTS))

    grown = network.grown(N_USERS + 1, N_ITEMS)

    assert torch.equal(grown.probabilities(users, known), network.probabilities(users, known))

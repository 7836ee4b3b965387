from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
import torch

from learning.shop import Checkerboard, Event, bought, day_of, days_after
from progrec.learning import daily
from progrec.learning.batches import Batches
from progrec.learning.bundle import FROM_NOISE, Bundle
from progrec.learning.config import UpdateConfig
from progrec.learning.fold_in import FoldIn
from progrec.learning.ncf import NCF

HISTORY = Checkerboard()
DAY = "2020-02-01"
Config = Callable[..., UpdateConfig]
Learn = Callable[..., Bundle]


# Rows


def moved(before: torch.Tensor, after: torch.Tensor) -> set[int]:
    """The old rows that are others now."""
    changed = (after[: len(before)] != before).any(dim=1)
    return set(changed.nonzero().flatten().tolist())


def test_users_whom_the_day_did_not_touch_keep_their_rows(cold: Bundle, learn: Learn) -> None:
    day = bought("u03 p00", "u07 p01", "new p02")

    after = learn(cold, day, "update.replay=0")

    rows = set(cold.users.rows(["u03", "u07"]).tolist())
    assert moved(cold.network.users.weight, after.network.users.weight) == rows


def test_items_that_were_neither_touched_nor_drawn_keep_their_rows(
    cold: Bundle, learn: Learn, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: set[int] = set()
    batches = Batches.__iter__

    def watched(self: Batches):
        for batch in batches(self):
            # As with a large catalogue: most items are drawn for nobody.
            few = batch._replace(others=batch.others % 4 + 8)
            drawn.update(few.others.flatten().tolist(), few.liked.tolist())
            yield few

    monkeypatch.setattr(Batches, "__iter__", watched)

    after = learn(cold, bought("u03 p00", "u07 p05"), "update.replay=0")

    assert drawn <= {0, 5, 8, 9, 10, 11}
    assert moved(cold.network.items.weight, after.network.items.weight) == drawn


def test_a_product_first_seen_today_is_recommended_today_to_those_like_its_buyers(
    cold: Bundle, learn: Learn
) -> None:
    # All of the even kind but u00 buy p20; of the odd kind nobody does.
    buyers = [user for user in HISTORY.users if int(user[1:]) % 2 == 0][1:]

    after = learn(cold, bought(*(f"{user} p20" for user in buyers)))

    scores = after.scores(["u00", "u01"])
    new = after.item_row["p20"]
    others = [after.item_row[item] for item in HISTORY.others("u00")]
    assert (scores[0, new] > scores[0, others]).all()
    unbought = scores.copy()
    unbought[:, :12][cold.bought[cold.users.rows(["u00", "u01"])].toarray() > 0] = -1
    assert new in np.argsort(-unbought[0])[:2]
    assert scores[0, new] > scores[1, new]


def no_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daily, "_steps", lambda *args: 0.0)


def test_what_the_day_touched_is_solved_by_least_squares_items_first(
    cold: Bundle, learn: Learn, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_steps(monkeypatch)
    day = [*bought("u03 p00", "new p20", "u07 p20"), (DAY, "u01", "p03", "remove_from_cart")]

    after = learn(cold, day, "update.pull=0")

    network, old = after.network, cold.network
    likes = after.evidence.likes().toarray()
    rows = after.vocabulary.rows(["p00", "p03", "p20"])
    users = torch.zeros(len(after.users), 4)
    users[:24] = old.users.weight[:24, :4].detach()
    users[24] = users[:24].mean(dim=0)  # a new row's start
    for row in rows:
        np.testing.assert_allclose(
            network.items.weight[row, :4].detach(),
            ridge(users.numpy(), likes[:, row], cold),
            atol=1e-4,
        )
    items = network.items.weight[:, :4].detach().numpy()
    touched = after.users.rows(["u01", "u03", "u07", "new"])
    for row in touched:
        np.testing.assert_allclose(
            network.users.weight[row, :4].detach(), ridge(items, likes[row], cold), atol=1e-4
        )
    assert torch.equal(network.users.weight[:24, 4:], old.users.weight[:, 4:])
    assert torch.equal(network.items.weight[:12, 4:], old.items.weight[:, 4:])
    assert moved(old.users.weight, network.users.weight) == set(touched[:3].tolist())
    assert moved(old.items.weight, network.items.weight) == set(rows[:2].tolist())


def ridge(others: np.ndarray, likes: np.ndarray, bundle: Bundle) -> np.ndarray:
    """The least of sum_liked (1 - u.v)^2 + w sum_all (u.v)^2 + r |u|^2, as normal equations."""
    start = bundle.recipe.start
    assert start is not None
    v, w = others.astype(np.float64), start.unobserved_weight
    liked = v[likes > 0]
    penalty = start.regularization * (len(liked) + w * len(v))
    return np.linalg.solve(
        liked.T @ liked + w * v.T @ v + penalty * np.eye(v.shape[1]), liked.sum(axis=0)
    )


def test_towers_from_noise_are_not_solved(
    cold: Bundle, learn: Learn, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_steps(monkeypatch)

    after = learn(replace(cold, recipe=FROM_NOISE), bought("u03 p00"), "update.pull=0")

    assert moved(cold.network.users.weight, after.network.users.weight) == set()
    assert moved(cold.network.items.weight, after.network.items.weight) == set()


def test_who_has_a_row_after_a_day_is_where_folding_in_would_have_them(
    cold: Bundle, learn: Learn, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_steps(monkeypatch)
    after = learn(cold, bought("new p00", "new p02"), "update.pull=0")

    fold = FoldIn.of(after.network, after.recipe.start)
    row = after.users.rows(["new"])
    found = fold.embeddings(after.evidence.touches.likes_of(row, 12))

    torch.testing.assert_close(
        after.network.users.weight[row, :4], found[:, :4], atol=1e-5, rtol=1e-4
    )


# Layers


def layers(network: NCF) -> dict[str, torch.Tensor]:
    return {
        name: weight.detach().clone()
        for name, weight in network.named_parameters()
        if not name.startswith(("users.", "items."))
    }


@pytest.mark.parametrize("pull", [0.0, 0.25, 1.0])
def test_the_layers_go_a_part_of_their_way_back_to_the_cold_model(
    cold: Bundle, day_config: Config, pull: float
) -> None:
    day = day_of(days_after(1))
    torch.manual_seed(8)
    frozen = cold.network.grown(24, 12)
    for weight in frozen.parameters():
        torch.nn.init.normal_(weight)

    free, _ = daily.learn(cold, day, frozen, day_config("update.pull=0"))
    pulled, _ = daily.learn(cold, day, frozen, day_config(f"update.pull={pull}"))

    after, start = layers(free.network), layers(frozen)
    assert any(name.startswith("fusion.") for name in after)
    assert not all(torch.equal(after[name], layers(cold.network)[name]) for name in after)
    for name, weight in layers(pulled.network).items():
        expected = after[name] + pull * (start[name] - after[name])
        torch.testing.assert_close(weight, expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(pulled.network.users.weight, free.network.users.weight)
    assert torch.equal(pulled.network.items.weight, free.network.items.weight)


# What is learned


def test_a_day_that_only_removes_makes_rows_and_evidence_and_teaches_nothing(
    bundle_with_fusion: Bundle, day_config: Config
) -> None:
    before = bundle_with_fusion
    day = day_of([(DAY, "zoe", "p09", "remove_from_cart")])

    grown, losses = daily.learn(before, day, before.network, day_config())

    old = before.network.state_dict()
    for name, weight in grown.network.state_dict().items():
        assert torch.equal(weight[: len(old[name])], old[name]), name
    assert losses == {}
    assert grown.knows("zoe")
    assert "p09" in grown.item_row
    assert grown.popularity.tolist() == [2, 1, 0, 0, 0]
    assert len(grown.purchases) == 3
    assert len(grown.evidence.touches.table()) == len(before.evidence.touches.table()) + 1
    assert grown.evidence.day == date(2020, 2, 1)


def test_a_day_of_new_users_only_leaves_the_old_users_alone(bundle: Bundle, learn: Learn) -> None:
    day = [*bought("zoe p01"), (DAY, "yan", "p02", "cart")]

    after = learn(bundle, day, "update.replay=0")

    assert list(after.users.ids[3:]) == ["yan", "zoe"]
    assert torch.equal(after.network.users.weight[:3], bundle.network.users.weight)


def test_what_a_day_shows_is_learned(bundle: Bundle, learn: Learn) -> None:
    day = bought("zoe p01")
    untaught = learn(bundle, day, "update.epochs=1", "optimizer.table_rate=1e-9")

    taught = learn(bundle, day, "update.epochs=60", "optimizer.table_rate=0.05", "update.replay=0")

    (before,), (after,) = untaught.scores(["zoe"]), taught.scores(["zoe"])
    assert after[1] > before[1] + 0.1
    assert after.argmax() == 1


@pytest.mark.parametrize(
    "overrides",
    [("loss=bpr",), ("sampler=popularity",), ("sampler=hard",), ("loss=softmax",)],
    ids=lambda overrides: overrides[0],
)
def test_a_day_is_learned_by_the_loss_and_the_sampler_of_conf(
    cold: Bundle, day_config: Config, overrides: tuple[str, ...]
) -> None:
    day = day_of(days_after(1))

    (default, _), (chosen, losses) = (
        daily.learn(cold, day, cold.network, day_config(*given)) for given in ((), overrides)
    )

    assert not torch.equal(default.network.items.weight, chosen.network.items.weight)
    assert 0 < losses["loss"] < 5


def test_towers_of_least_squares_alone_take_no_gradient_steps(
    cold: Bundle, learn: Learn, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = replace(cold, recipe=cold.recipe.model_copy(update={"epochs": 0}))
    monkeypatch.setattr(daily, "_steps", lambda *_: pytest.fail("a step was taken"))

    after = learn(alone, bought("u03 p00", "u07 p05"))

    mlp = slice(cold.network.gmf_width, None)
    assert torch.equal(after.network.users.weight[:, mlp], cold.network.users.weight[:, mlp])
    assert torch.equal(after.network.items.weight[:, mlp], cold.network.items.weight[:, mlp])
    assert not torch.equal(after.network.users.weight, cold.network.users.weight)


def test_a_day_is_learned_whole_whatever_the_half_life(cold: Bundle, learn: Learn) -> None:
    default, fading = (
        learn(cold, days_after(1)),
        learn(cold, days_after(1), "loss.half_life_days=0.1"),
    )

    for name, weight in default.network.state_dict().items():
        assert torch.equal(weight, fading.network.state_dict()[name])


def test_the_fusion_learns_from_what_was_known_before_the_day(
    cold: Bundle, day_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    refine = daily.fusion.refine

    def watched(joined: object, examples: daily.Examples, *rest: object):
        seen.append(examples)
        return refine(joined, examples, *rest)

    monkeypatch.setattr(daily.fusion, "refine", watched)
    # u00 and u05 buy something new to them, u00 one thing again, too; new knows nothing yet.
    again = HISTORY.own("u00")[0]
    day = day_of(
        bought(f"u00 {HISTORY.own('u00')[5]}", f"u00 {again}", "u05 p00", "new p03", "u07 p20")
    )

    _, losses = daily.learn(cold, day, cold.network, day_config())

    (examples,) = seen
    assert examples.inputs.shape[:2] == (2, 12)
    found = {tuple(row) for row in examples.inputs.flatten(0, 1).tolist()}
    rows = cold.users.rows(["u00", "u05"])
    expected = daily.fusion.inputs(cold.network, cold.evidence, rows).flatten(0, 1).tolist()
    assert len(found) == len({tuple(row) for row in expected})
    np.testing.assert_allclose(sorted(found), sorted({tuple(row) for row in expected}), rtol=1e-5)
    assert losses["fusion"] > 0


# The task


def test_the_task_is_of_known_users_and_what_is_new_to_them_and_known(bundle: Bundle) -> None:
    day = day_of(
        [
            *bought("ann p00", "ann p02", "ann p09"),  # had it, new to her, unknown
            *bought("zoe p00"),  # a stranger
            *bought("bob p00"),  # had it
            *bought("cem p01", "cem p03"),
            (DAY, "bob", "p03", "cart"),  # no purchase
        ]
    )

    task = daily.task_of(bundle, day)

    assert task.users.tolist() == [0, 2]
    assert task.bought.toarray().tolist() == [[1, 1, 0, 0], [0, 0, 0, 0]]
    assert task.targets.toarray().tolist() == [[0, 0, 1, 0], [0, 1, 0, 1]]


@pytest.mark.parametrize("day", [bought("zoe p00"), bought("ann p09"), bought("ann p00")])
def test_a_day_may_have_nobody_to_be_measured_on(bundle: Bundle, day: list[Event]) -> None:
    assert len(daily.task_of(bundle, day_of(day))) == 0


# The neighbours


def test_items_get_their_neighbours_anew_with_the_first_day_of_a_week(
    cold: Bundle, learn: Callable[..., Bundle]
) -> None:
    saturday = learn(cold, bought("u00 p01"))
    sunday = learn(saturday, bought("u02 p01", day="2020-02-02"))
    monday = learn(sunday, bought("u04 p01", day="2020-02-03"))

    old, new = (bundle.evidence.neighbours.toarray() for bundle in (cold, sunday))
    assert saturday.evidence.neighbours.toarray().tolist() == old.tolist()
    assert monday.evidence.neighbours.toarray().tolist() == new.tolist()
    assert cold.recipe.neighbours is not None
    own = sunday.evidence.with_neighbours(cold.recipe.neighbours).neighbours
    assert new.tolist() == own.toarray().tolist() != old.tolist()


def test_a_bundle_without_neighbours_gets_none(cold: Bundle, learn: Callable[..., Bundle]) -> None:
    alone = replace(cold, recipe=cold.recipe.model_copy(update={"neighbours": None}))

    sunday = learn(alone, bought("u02 p01", day="2020-02-02"))

    assert (
        sunday.evidence.neighbours.toarray().tolist() == cold.evidence.neighbours.toarray().tolist()
    )

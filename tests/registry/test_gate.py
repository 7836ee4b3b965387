from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
import torch

from progrec import settings
from progrec.learning.bundle import Bundle, Link
from progrec.learning.exam import Marks, Result
from progrec.learning.showing import Showing
from progrec.registry import gate
from progrec.registry.gate import Measured, Strange
from progrec.settings import Settings
from scored import Purchase, bundle_of

PROJECTS = settings.load(Path(__file__).parents[2] / "params.yaml").gate
TOLERANCE = PROJECTS.tolerance.model_copy(update={"frozen": 0.02, "recent": 0.05})
GATE = PROJECTS.model_copy(update={"tolerance": TOLERANCE})
SHOWN = Showing(users=1000, unusable=0, undecided=0, probability=0.02, products=800)


def loss(now: float, *, high: float = -0.001) -> Result:
    """A challenger's NDCG where the champion's is 0.5."""
    return Result(634, Marks(0.5, 0.7), Marks(now, 0.6), low=-0.04, high=high)


def complaints(**measured: object) -> list[str]:
    return gate.complaints(
        replace(Measured(20, (), SHOWN, SHOWN, loss(0.5), loss(0.5)), **measured), GATE
    )


# What is let pass


def test_a_challenger_that_is_as_good_is_let_pass() -> None:
    assert complaints() == []


def test_without_figures_nothing_speaks_against_a_challenger() -> None:
    assert gate.complaints(Measured(20), GATE) == []


@pytest.mark.parametrize(
    "measured",
    [
        {"frozen": loss(0.491)},
        {"frozen": loss(0.6, high=0.2)},
        {"frozen": loss(0.3, high=0.0)},  # chance may explain it
        {"recent": loss(0.476)},
        {"recent": loss(0.3, high=0.001)},
        {"frozen": None, "recent": None},
        {"frozen": Result(9, Marks(0, 0), Marks(0, 0), 0, 0)},
        {"challenger": replace(SHOWN, probability=0.099)},
        {"challenger": replace(SHOWN, probability=0.0041)},
        {"challenger": replace(SHOWN, products=400)},
        {"challenger": replace(SHOWN, undecided=500)},
        {"challenger": replace(SHOWN, probability=1.0, products=1), "champion": None},
        {"challenger": Showing(0, 0, 0, 0.0, 0), "champion": Showing(0, 0, 0, 0.0, 0)},
    ],
)
def test_what_lies_within_the_tolerances_is_let_pass(measured: dict[str, object]) -> None:
    assert complaints(**measured) == []


# What is not


@pytest.mark.parametrize(
    ("measured", "complaint"),
    [
        (
            {"frozen": loss(0.4)},
            "on the validation window NDCG@20 falls by 20.0 %, from 0.5000 to 0.4000 for 634 "
            "users: more than 2 %, and more than chance explains (95 % interval of the difference: "
            "-0.0400 to -0.0010)",
        ),
        (
            {"recent": loss(0.474)},
            "on the recent days NDCG@20 falls by 5.2 %, from 0.5000 to 0.4740 for 634 users: "
            "more than 5 %, and more than chance explains (95 % interval of the difference: "
            "-0.0400 to -0.0010)",
        ),
        (
            {"broken": ("items.weight", "fusion.calibration")},
            "weights are not finite numbers: items.weight, fusion.calibration",
        ),
        (
            {"challenger": replace(SHOWN, unusable=3)},
            "3 of 1,000 users get a probability that is not between 0 and 1",
        ),
        (
            {"challenger": replace(SHOWN, undecided=501)},
            "501 of 1,000 users get the same probability of every product",
        ),
        (
            {"challenger": replace(SHOWN, probability=0.101)},
            "the probabilities of what is shown are more than 5 times as high: of 0.101 on "
            "average, where the champion's are 0.02",
        ),
        (
            {"challenger": replace(SHOWN, probability=0.0039)},
            "the probabilities of what is shown are less than 1/5 as high: of 0.0039 on average, "
            "where the champion's are 0.02",
        ),
        (
            {"challenger": replace(SHOWN, products=399)},
            "1,000 users are shown 399 different products, less than 50 % of the champion's 800",
        ),
    ],
)
def test_each_complaint_is_a_sentence_with_its_figures(
    measured: dict[str, object], complaint: str
) -> None:
    assert complaints(**measured) == [complaint]


def test_all_that_is_wrong_is_said() -> None:
    found = complaints(
        frozen=loss(0.1), recent=loss(0.1), challenger=replace(SHOWN, products=1, probability=0.9)
    )

    assert [sentence.split()[0] for sentence in found] == ["on", "on", "the", "1,000"]


# What is measured


Measure = Callable[[Bundle, Bundle | None, Settings], Measured]
Complaints = Callable[[Bundle, Bundle | None, Settings], list[str]]


@pytest.fixture
def measure(features: Path) -> Measure:
    """Measures a challenger and a champion."""
    return lambda challenger, champion, config: gate.measure(challenger, champion, features, config)


@pytest.fixture
def measured(measure: Measure) -> Complaints:
    """What the gate has against a challenger."""

    def find(challenger: Bundle, champion: Bundle | None, config: Settings) -> list[str]:
        return gate.complaints(measure(challenger, champion, config), config.gate)

    return find


def test_the_figures_are_plain_and_short(measure: Measure, shop: Bundle, small: Settings) -> None:
    figures = measure(shop, shop, small).figures

    nobody = {"users": 48, "unusable": 0, "undecided": 0}
    probability = pytest.approx((0.6224593 + 2 * 0.0474259) / 3, abs=1e-6)
    shown = nobody | {"probability": probability, "products": 24}
    marks = {"ndcg": 1.0, "recall": 1.0}
    exam = {"users": 48, "champion": marks, "challenger": marks, "low": 0.0, "high": 0.0}
    assert figures == {
        "k": 3,
        "challenger": shown,
        "champion": shown,
        "frozen": exam,
        "recent": exam,
    }
    assert len(str(figures["challenger"]["probability"])) <= len("0.123456")


def test_the_same_model_again_is_let_pass(
    measured: Complaints, shop: Bundle, small: Settings
) -> None:
    assert measured(shop, shop, small) == []


def test_a_model_that_has_learned_more_is_let_pass(
    measured: Complaints, shop: Bundle, small: Settings, shop_of: Callable[..., Bundle]
) -> None:
    assert measured(shop_of(watermark="2020-02-21"), shop, small) == []


def test_the_recent_days_are_the_last_that_both_have_learned(
    measure: Measure, small: Settings, shop_of: Callable[..., Bundle]
) -> None:
    until_monday, later = shop_of(watermark="2020-02-14"), shop_of(watermark="2020-02-21")
    before = shop_of(watermark="2020-02-13")

    # Everybody has bought something on the fourteenth.
    for one, other, asked in (
        (until_monday, later, True),
        (later, until_monday, True),
        (before, later, False),
        (shop_of(watermark="2020-02-22"), later, False),
    ):
        assert (measure(one, other, small).recent is not None) == asked


def changed(bundle: Bundle, change: Callable[[torch.Tensor], torch.Tensor]) -> Bundle:
    """The bundle with other embeddings of items."""
    network = bundle.network.grown(len(bundle.users), len(bundle.items)).eval()
    with torch.no_grad():
        network.items.weight.copy_(change(network.items.weight))
    return replace(bundle, network=network)


def test_weights_with_noise_are_rejected(
    measured: Complaints, shop: Bundle, small: Settings
) -> None:
    noise = torch.randn(24, 24, generator=torch.Generator().manual_seed(0))

    found = measured(changed(shop, lambda weights: weights + noise), shop, small)

    assert any(sentence.startswith("on the validation window NDCG@3 falls") for sentence in found)
    assert any(sentence.startswith("on the recent days NDCG@3 falls") for sentence in found)


def test_a_little_noise_is_let_pass(measured: Complaints, shop: Bundle, small: Settings) -> None:
    noise = torch.randn(24, 24, generator=torch.Generator().manual_seed(0)) / 100

    assert measured(changed(shop, lambda weights: weights + noise), shop, small) == []


def test_weights_in_the_wrong_rows_are_rejected(
    measured: Complaints, shop: Bundle, small: Settings
) -> None:
    found = measured(changed(shop, lambda weights: weights.roll(1, 0)), shop, small)

    assert [sentence.split(" NDCG")[0] for sentence in found] == [
        "on the validation window",
        "on the recent days",
    ]


@pytest.mark.parametrize("has_champion", [True, False])
def test_weights_that_are_not_finite_are_rejected(
    measured: Complaints, shop: Bundle, small: Settings, has_champion: bool
) -> None:
    broken = changed(shop, lambda weights: weights * math.nan)

    assert measured(broken, shop if has_champion else None, small) == [
        "weights are not finite numbers: items.weight"
    ]


@pytest.mark.parametrize("has_champion", [True, False])
def test_constant_scores_are_rejected(
    measured: Complaints, shop: Bundle, small: Settings, has_champion: bool
) -> None:
    constant = changed(shop, lambda weights: weights * 0)

    found = measured(constant, shop if has_champion else None, small)

    assert found[0] == "48 of 48 users get the same probability of every product"


def test_the_same_products_for_everybody_are_rejected(
    measured: Complaints, shop: Bundle, small: Settings, purchases: list[Purchase]
) -> None:
    popular = {item: -3.0 - place / 9 for place, item in enumerate(shop.item_ids)}

    found = measured(bundle_of(dict.fromkeys(shop.users.ids, popular), purchases), shop, small)

    assert any("different products, less than 50 % of the champion's 24" in each for each in found)


def test_probabilities_of_another_size_are_rejected(
    measured: Complaints, shop: Bundle, small: Settings
) -> None:
    higher, lower = (changed(shop, lambda weights: weights) for _ in range(2))
    with torch.no_grad():
        higher.network.output.bias.fill_(5)
        lower.network.output.bias.fill_(-3)

    strict = small.gate.model_copy(update={"max_probability_shift": 3.0})
    small = small.model_copy(update={"gate": strict})
    (too_high,), (too_low,) = (measured(each, shop, small) for each in (higher, lower))

    assert too_high.startswith("the probabilities of what is shown are more than 3 times as high")
    assert too_low.startswith("the probabilities of what is shown are less than 1/3 as high")


def test_a_first_challenger_is_only_asked_whether_it_is_sound(
    measure: Measure, shop: Bundle, small: Settings
) -> None:
    found = measure(changed(shop, lambda weights: weights.roll(1, 0)), None, small)

    assert gate.complaints(found, small.gate) == []
    assert set(found.figures) == {"k", "challenger"}


def test_a_champion_that_is_broken_itself_is_none(
    measure: Measure, shop: Bundle, small: Settings
) -> None:
    broken = changed(shop, lambda weights: weights * math.nan)

    found = measure(shop, broken, small)

    assert found == measure(shop, None, small)
    assert found.challenger is not None


def test_a_champion_without_usable_answers_is_none(
    measure: Measure, shop: Bundle, small: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = changed(shop, lambda weights: weights)
    answer = Bundle.probabilities
    monkeypatch.setattr(
        Bundle,
        "probabilities",
        lambda self, users: answer(self, users) * (math.nan if self is odd else 1),
    )

    assert measure(shop, odd, small) == measure(shop, None, small)


def test_a_champion_of_other_users_is_none(measure: Measure, shop: Bundle, small: Settings) -> None:
    other = bundle_of({"somebody": dict.fromkeys(shop.item_ids, 1.0)})

    assert measure(shop, other, small) == measure(shop, None, small)


@pytest.mark.parametrize("has_champion", [True, False])
def test_no_more_users_are_asked_than_the_setting_says(
    measure: Measure, shop: Bundle, small: Settings, has_champion: bool
) -> None:
    few = small.model_copy(update={"gate": small.gate.model_copy(update={"max_users": 7})})

    found = measure(shop, shop if has_champion else None, few)

    asked = [found.challenger, found.champion, found.frozen, found.recent]
    assert [each.users for each in asked if each is not None] == [7] * (4 if has_champion else 1)


def link(day: int, ndcg: float, users: int = 40) -> Link:
    return Link(
        date=date(2020, 2, day),
        parent_digest="",
        delta_digest="",
        config_digest="",
        users=users,
        figures={"updated": {"ndcg@20": ndcg}} if users else {},
        losses={},
    )


def test_the_strangest_day_is_the_one_foretold_worst_for_what_is_usual() -> None:
    chain = [
        link(1, 0.4),
        link(2, 0.2, users=80),
        link(3, 0.3),
        link(4, 0.1),
        link(5, 0.0, users=5),
    ]

    found = gate.strangest(chain, date(2020, 2, 2), 20)

    # Days 1 to 3: 40 users of .4, 80 of .2 and 40 of .3. Five users say nothing.
    assert found == Strange("2020-02-04", 40, 0.1, pytest.approx((16 + 16 + 12) / 160))


def test_days_that_the_champion_has_learned_or_nobody_was_measured_on_are_not_judged() -> None:
    chain = [link(1, 0.4), link(2, 0.01), link(3, 0.0, users=0)]

    assert gate.strangest(chain, date(2020, 2, 2), 20) is None
    assert gate.strangest(chain, date(2020, 2, 1), 20) is not None
    assert gate.strangest(chain[:1], date(2020, 1, 1), 20) is None


@pytest.mark.parametrize(("ndcg", "is_let_pass"), [(0.09, True), (0.089, False)])
def test_a_day_that_is_not_the_shoppers_doing_is_rejected(ndcg: float, is_let_pass: bool) -> None:
    measured = Measured(20, strange=Strange("2020-02-04", 40, ndcg, 0.3))

    found = gate.complaints(measured, GATE)

    assert (found == []) == is_let_pass
    if not is_let_pass:
        assert found[0].startswith(
            "what 40 users bought on 2020-02-04 was foretold with NDCG@20 0.0890, less than 30 % "
            "of the usual 0.3000: look at that day's files"
        )

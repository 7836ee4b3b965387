"""Whether a challenger may take the champion's place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt

from progrec.learning import dataset
from progrec.learning.bundle import Bundle, Link
from progrec.learning.exam import Exam, Result
from progrec.learning.prequential import UPDATED
from progrec.learning.showing import Showing, broken_weights
from progrec.settings import GateSettings, Settings

SEED = 0
FEW = 20
"""Users; what fewer of them do on a day says little of it."""


@dataclass(frozen=True)
class Strange:
    """A day on which a shop's own model could foretell far less than on the days before.

    Attributes:
        date: the day.
        users: how many were measured on it.
        ndcg: of the model that had learned up to the day before.
        usual: its mean over the users of the days before.
    """

    date: str
    users: int
    ndcg: float
    usual: float


@dataclass(frozen=True)
class Measured:
    """What the decision rests on.

    Attributes:
        k: length of the lists.
        broken: the challenger's weights that are not finite; with any, nothing else is measured.
        challenger: what it shows.
        champion: what the champion shows to the same users; None if there is none to compare with.
        frozen: the exam on history's last days, if there is a champion and anybody to ask.
        recent: the exam on the last days that both have learned, likewise.
        strange: of the days that the challenger alone has learned, the one foretold worst for what
            is usual, if there is any that can be judged.
    """

    k: int
    broken: Sequence[str] = ()
    challenger: Showing | None = None
    champion: Showing | None = None
    frozen: Result | None = None
    recent: Result | None = None
    strange: Strange | None = None

    @property
    def figures(self) -> dict[str, object]:
        """What was measured, as plain data, by name; floats of six significant digits."""
        figures = {name: value for name, value in asdict(self).items() if value}
        return {name: _rounded(value) for name, value in figures.items()}


def measure(
    challenger: Bundle, champion: Bundle | None, features: Path, config: Settings
) -> Measured:
    """Measures a challenger, beside the champion if there is one.

    A champion that is broken itself, or knows none of the challenger's users, is none.

    Args:
        challenger: what is measured.
        champion: what it is compared with.
        features: the folder of the feature tables, for what was done before an exam's days.
        config: how much is measured, and where history ends.

    Raises:
        InputError: there are two to compare, but no tables.
    """
    k, n = config.evaluate.k, config.gate.max_users
    broken = broken_weights(challenger)
    if broken:
        return Measured(k, broken)
    if champion is not None and not broken_weights(champion):
        shared = challenger.users.rows(champion.users.ids) >= 0
        asked = _drawn(champion.users.ids[shared], n)
        shown = Showing.of(champion, asked, k)
        if shown.users > 0 and shown.unusable == 0:
            exams = _exams(champion, challenger, features, config)
            strange = strangest(challenger.provenance.chain, champion.watermark, k)
            return Measured(k, (), Showing.of(challenger, asked, k), shown, *exams, strange)
    return Measured(k, (), Showing.of(challenger, _drawn(challenger.users.ids, n), k))


def complaints(measured: Measured, gate: GateSettings) -> list[str]:
    """Why the challenger may not take the champion's place.

    A loss of NDCG counts if it is larger than the tolerance and the 95 % interval of the paired
    difference lies below 0: among few users, a few places up or down make a large loss by chance,
    and a gate that takes it for a real one would keep the service at an old model.

    Returns:
        A sentence each; none if nothing speaks against it.
    """
    return [
        *_of_weights(measured),
        *_of_answers(measured),
        *_of_loss("validation window", measured.frozen, gate.tolerance.frozen, measured.k),
        *_of_loss("recent days", measured.recent, gate.tolerance.recent, measured.k),
        *_of_change(measured, gate),
        *_of_days(measured, gate),
    ]


def strangest(chain: Sequence[Link], learned: date, k: int) -> Strange | None:
    """The day after those learned that was foretold worst, relative to the days before it.

    Each day was measured before it was learned: what shoppers did not do, as a bot's or a faulty
    import's purchases at random, no model of theirs can foretell. Days of fewer than `FEW` users
    say nothing, nor does the first.

    Args:
        chain: the days that a challenger has learned, in order.
        learned: the last day that the champion has learned.
        k: length of the lists that were measured.
    """
    total, users = 0.0, 0
    found: list[Strange] = []
    for link in chain:
        ndcg = link.figures.get(UPDATED, {}).get(f"ndcg@{k}")
        if ndcg is None:
            continue
        if total and link.users >= FEW and link.date > learned:
            found.append(Strange(str(link.date), link.users, ndcg, total / users))
        total, users = total + ndcg * link.users, users + link.users
    return min(found, key=lambda day: day.ndcg / day.usual, default=None)


def _drawn(user_ids: npt.NDArray[np.object_], n: int) -> list[str]:
    return list(np.random.default_rng(SEED).permutation(user_ids)[:n])


def _exams(
    champion: Bundle, challenger: Bundle, features: Path, config: Settings
) -> tuple[Result | None, Result | None]:
    day, split, gate = timedelta(days=1), config.split, config.gate
    learned = min(champion.watermark, challenger.watermark)
    done = dataset.read_before(features, learned + day)
    frozen, recent = (
        Exam.of(champion, challenger, done, first, last, max_users=gate.max_users, seed=SEED)
        for first, last in (
            (split.cutoff - split.validation_days * day, split.cutoff - day),
            (learned - (gate.recent_days - 1) * day, learned),
        )
    )
    k = config.evaluate.k
    return frozen.frozen(champion, challenger, k), recent.recent(champion, challenger, k)


def _of_weights(measured: Measured) -> Iterator[str]:
    if measured.broken:
        yield f"weights are not finite numbers: {', '.join(measured.broken)}"


def _of_answers(measured: Measured) -> Iterator[str]:
    shown = measured.challenger
    if shown is None:
        return
    if shown.unusable:
        yield (
            f"{shown.unusable:,} of {shown.users:,} users get a probability that is not between "
            "0 and 1"
        )
    # Of a few users a sound model may know nothing: those who have only taken things out of carts.
    if 2 * shown.undecided > shown.users:
        yield (
            f"{shown.undecided:,} of {shown.users:,} users get the same probability of every "
            "product"
        )


def _of_loss(days: str, result: Result | None, tolerance: float, k: int) -> Iterator[str]:
    if result is None or result.champion.ndcg == 0:
        return
    before, now = result.champion.ndcg, result.challenger.ndcg
    loss = 1 - now / before
    if loss > tolerance and result.high < 0:
        yield (
            f"on the {days} NDCG@{k} falls by {100 * loss:.1f} %, from {before:.4f} to {now:.4f} "
            f"for {result.users:,} users: more than {100 * tolerance:g} %, and more than chance "
            f"explains (95 % interval of the difference: {result.low:+.4f} to {result.high:+.4f})"
        )


def _of_days(measured: Measured, gate: GateSettings) -> Iterator[str]:
    day = measured.strange
    if day is not None and day.ndcg < gate.min_foretold * day.usual:
        yield (
            f"what {day.users:,} users bought on {day.date} was foretold with NDCG@{measured.k} "
            f"{day.ndcg:.4f}, less than {100 * gate.min_foretold:g} % of the usual "
            f"{day.usual:.4f}: look at that day's files; take them out of data/, or promote the "
            "version by hand"
        )


def _of_change(measured: Measured, gate: GateSettings) -> Iterator[str]:
    now, before = measured.challenger, measured.champion
    if now is None or before is None or now.unusable:
        return
    shift = gate.max_probability_shift
    means = (
        f"of {now.probability:.4g} on average, where the champion's are {before.probability:.4g}"
    )
    if now.probability > before.probability * shift:
        yield f"the probabilities of what is shown are more than {shift:g} times as high: {means}"
    if now.probability < before.probability / shift:
        yield f"the probabilities of what is shown are less than 1/{shift:g} as high: {means}"
    if now.products < before.products * gate.min_coverage:
        yield (
            f"{now.users:,} users are shown {now.products:,} different products, less than "
            f"{100 * gate.min_coverage:g} % of the champion's {before.products:,}"
        )


def _rounded(value: object) -> object:
    if isinstance(value, dict):
        return {name: _rounded(part) for name, part in value.items()}
    return float(f"{value:.6g}") if isinstance(value, float) else value

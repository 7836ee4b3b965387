from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks import textbook, training
from benchmarks.textbook import Examples, TextbookNCF
from benchmarks.training import PROJECT, WARM_UP, Case, Round
from progrec.learning.batches import Batch

N_USERS, N_ITEMS = 30, 40
KEYS = ["ratio_to_bare_loop", "table_size_ratio", "ratio_to_textbook", "samples_per_s"]
BATCH = Batch(
    torch.tensor([7, 8]),
    torch.tensor([1, 2]),
    torch.tensor([[3, 4], [5, 6]]),
    torch.tensor([1.0, 0.5]),
    torch.full((2, 2), -np.log(N_ITEMS)),
)


def case() -> Case:
    config = training.training_config(threads=1)
    optimizer = config.optimizer.model_copy(update={"batch_size": 16})
    torch.manual_seed(1)
    return Case.of(N_USERS, N_ITEMS, 200, config.model_copy(update={"optimizer": optimizer}))


def test_the_case_is_the_one_of_conf() -> None:
    config = training.training_config(threads=1)

    assert (config.model.towers, config.trainer.accelerator) == (("gmf", "mlp"), "cpu")
    assert Case.of(N_USERS, N_ITEMS, 9, config).samples == config.optimizer.batch_size * (
        1 + config.sampler.negatives
    )


def test_random_pairs_are_distinct_and_of_the_shop() -> None:
    pairs = training.random_pairs(N_USERS, N_ITEMS, 5000, seed=0)

    assert len({*zip(pairs.users.tolist(), pairs.items.tolist(), strict=True)}) == len(pairs)
    assert {*pairs.users.tolist()} == {*range(N_USERS)}
    assert {*pairs.items.tolist()} == {*range(N_ITEMS)}
    again = training.random_pairs(N_USERS, N_ITEMS, 5000, seed=0)
    assert np.array_equal(pairs.items, again.items)


def test_the_bare_loop_learns_what_the_project_learns() -> None:
    ours, bare = case(), case()

    assert training.ours(ours, 3) > 0
    assert training.bare(bare, 3) > 0

    start, learned = case().network.state_dict(), bare.network.state_dict()
    for name, weight in ours.network.state_dict().items():
        assert not torch.equal(weight, start[name])
        torch.testing.assert_close(weight, learned[name])


def test_only_the_project_is_deterministic() -> None:
    training.ours(case(), 1)
    assert torch.are_deterministic_algorithms_enabled()

    training.bare(case(), 1)
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_measurement_takes_so_many_batches_after_the_warm_up() -> None:
    class Counted:
        taken = 0

        def __iter__(self):
            for batch in whole:
                self.taken += 1
                yield batch

    whole = case().batches
    batches = Counted()

    training.bare(replace(case(), batches=batches), 4)

    assert batches.taken == WARM_UP + 4


def test_the_warm_up_does_not_count() -> None:
    moments = [100.0] * (WARM_UP - 1) + [200.0, 201.0, 204.0]

    assert training._seconds_a_step(moments, 2) == 2.0


def test_the_textbooks_samples_are_pairs_with_their_labels() -> None:
    examples = Examples([BATCH])

    assert [examples[index] for index in range(len(examples))] == [
        (7, 1, 1.0),
        (7, 3, 0.0),
        (7, 4, 0.0),
        (8, 2, 1.0),
        (8, 5, 0.0),
        (8, 6, 0.0),
    ]


def test_the_textbooks_network_is_as_large_as_ours_and_learns_every_sample() -> None:
    ours = case()
    network = TextbookNCF(N_USERS, N_ITEMS, ours.config.model)
    sizes = [sum(map(torch.numel, some.parameters())) for some in (network, ours.network)]
    assert sizes[0] == sizes[1]
    before = network.mlp_users.weight.detach().clone()

    steps = sum(1 for _ in textbook.train(network, Examples([BATCH]), batch_size=4, rate=0.1))

    assert steps == 2
    moved = (network.mlp_users.weight != before).any(dim=1)
    assert moved.nonzero().flatten().tolist() == [7, 8]


def test_the_textbook_is_measured_on_the_same_case() -> None:
    network = TextbookNCF(N_USERS, N_ITEMS, case().config.model)

    assert training.tutorial(case(), network, 1) > 0


def test_a_ratio_is_the_median_of_the_rounds() -> None:
    rounds = [
        Round(ours=2.0, bare=1.0, small=1.0, textbook=20.0),
        Round(ours=4.0, bare=4.0, small=5.0, textbook=60.0),
        Round(ours=5.0, bare=10.0, small=4.0, textbook=200.0),
    ]

    report = training.summary(rounds, samples=100)

    assert list(report) == KEYS
    assert list(report.values()) == [1.0, 1.25, 15.0, 25.0]


def test_too_few_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match=f"not {WARM_UP + 1}"):
        training.benchmark(n_users=100, n_items=50, n_each=5, steps=1, rounds=1, threads=1)


def test_it_prints_one_json_object() -> None:
    options = ["--users", "10000", "--items", "1000", "--pairs-each", "160"]
    options += ["--steps", "1", "--rounds", "1", "--threads", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.training", *options],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert list(report) == KEYS
    assert all(figure > 0 for figure in report.values())

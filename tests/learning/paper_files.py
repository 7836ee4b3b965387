"""The NCF paper's three files, of a shop small enough to know the answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

TRAIN, TEST, NEGATIVE = "ml-1m.train.rating", "ml-1m.test.rating", "ml-1m.test.negative"
N_USERS, N_ITEMS = 60, 240


def write(folder: Path, seed: int = 0) -> Path:
    """Two kinds of users, each with its half of the items; `seed` is of the test's negatives."""
    folder.mkdir(exist_ok=True)
    generator = np.random.default_rng(1)
    halves = np.arange(N_ITEMS).reshape(2, -1)
    train, test, known = [], [], []
    for user in range(N_USERS):
        *liked, last = generator.choice(halves[user % 2], 16, replace=False)
        train += [f"{user}\t{item}\t5\t0" for item in liked]
        test.append((user, last))
        known.append([*liked, last])
    generator = np.random.default_rng(seed)
    lines = []
    for user, item in test:
        others = np.setdiff1d(np.arange(N_ITEMS), known[user])
        negatives = generator.choice(others, 99, replace=False)
        lines.append("\t".join([f"({user},{item})", *map(str, negatives)]))
    (folder / TRAIN).write_text("\n".join(train) + "\n")
    (folder / TEST).write_text("".join(f"{user}\t{item}\t5\t0\n" for user, item in test))
    (folder / NEGATIVE).write_text("\n".join(lines) + "\n")
    return folder

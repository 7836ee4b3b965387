from __future__ import annotations

import numpy as np

from progrec.learning.baselines import Popularity


def test_popularity_says_the_same_to_everyone() -> None:
    popularity = Popularity(np.array([3, 0, 7], np.float32))

    assert popularity.scores(np.array([4, 4, 1])).tolist() == [[3, 0, 7]] * 3
    assert popularity.scores(np.array([], np.int64)).shape == (0, 3)

"""Numbers -> pictures: pure functions that a run keeps the results of."""

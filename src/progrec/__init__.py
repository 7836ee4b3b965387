"""progrec: a progressive hybrid recommender for shops."""

"""How fast the pipeline is: measured by hand, on shops too large for the tests."""

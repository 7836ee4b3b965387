"""Events -> tables."""

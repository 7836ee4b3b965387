"""A bundle -> a version that is promoted."""

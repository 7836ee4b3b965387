"""A bundle -> a version that is promoted or not."""

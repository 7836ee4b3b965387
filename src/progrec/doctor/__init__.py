"""Whether a project is in order: what is wrong, and what to do about it. Changes nothing."""

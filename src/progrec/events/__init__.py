"""Raw files -> validated, time-ordered events."""

"""The output data set: its schema, its parts, what makes them exactly once, and reading it."""

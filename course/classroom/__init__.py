"""Grading a class of notebooks that nobody has read, on the instructor's own machine."""

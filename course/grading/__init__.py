"""Grading a notebook: reading it, assembling it with what the course knows, running it with nbval."""

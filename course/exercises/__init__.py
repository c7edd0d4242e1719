"""What judges an answer: the specification that an author writes, the key made of it, asking, judging, hints."""

from course.exercises.specification import exercise, naming

__all__ = ["exercise", "naming"]

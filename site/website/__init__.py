"""What makes the course's website of its notebooks and documents; `site/build.py` is the command."""

"""What an exercise looks like in a notebook's cells."""

import ast
import re

EXERCISE = re.compile(r"^[ \t]*#[ \t]*exercise[ \t]+(\d+\.\d+)\b.*$", re.IGNORECASE | re.MULTILINE)


def defined_name(source):
    """The name of the function or class that an answer cell completes, or None."""
    try:
        body = ast.parse(source).body
    except SyntaxError:
        return None
    names = [node.name for node in body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    return names[0] if names else None


def defines(source, name):
    """Whether a cell defines `name` at its top level."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == name for node in body)


def compiles(source):
    """Whether a cell is Python by its syntax."""
    try:
        ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True

"""Finding the submissions of a class: whose notebook, of which chapter, handed in when.

Read are, as a folder or as a zip of it, alike:

    <student>/03_convolution.ipynb             <student>/<anything>/.../<any name>.ipynb
    <student>_03_convolution.ipynb             03-convolution-<student>/...            (GitHub Classroom's)
    <assignment>/<student>/...                 submitted/<student>/<assignment>/...    (nbgrader's)
    <student>.zip, with any of the student's files; the names that the systems in `patterns` make

What is a class's folder, an assignment's and a student's is decided in `levels`; which chapter a notebook is of, in
`chapters`; whether a time is that of handing in, in `times`; which of several files counts, in `choosing`.

Names, paths, times and archives come from students. Nothing is followed that leads elsewhere, a zip's names never
become paths, and whoever writes a zip decides neither whose work it is nor when it came: that is said by the zip's
own name and time. What is not understood is listed with a reason.
"""

from course.classroom.layout.found import Found, LayoutError, Submission, Unread
from course.classroom.layout.reading import discover
from course.classroom.layout.texts import printable, safe_name

__all__ = ["Found", "LayoutError", "Submission", "Unread", "discover", "printable", "safe_name"]

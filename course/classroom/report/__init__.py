"""What a class's results become for people: tables of grades, one page to look at, feedback for each student, JUnit."""

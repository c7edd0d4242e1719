pytest_plugins = ["course.grading.plugin"]

pytest_plugins = ["course.grading.plugin", "course.authoring.plugin"]

pytest_plugins = ["course.grading.collecting", "course.authoring.plugin"]

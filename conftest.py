pytest_plugins = ["course.nbplugin"]

"""What holds for all tests: none leaves a task, a thread or an open file behind."""

pytest_plugins = ("pytester", "tests.support.leaks")

"""The example of a pytest fixture: its tests are run as tests of ours."""

from examples.testing.test_download import *  # noqa: F403

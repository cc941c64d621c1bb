"""The option ``--gradient-pictures`` that pytest gets from minidl, apart from the package.

pytest loads this file in every run of every project on a machine where minidl is installed, so it
imports nothing: the engine and NumPy come with the option. See ``minidl/testing/pytest_plugin.py``.
"""


def pytest_addoption(parser):
    parser.getgroup("minidl").addoption(
        "--gradient-pictures", metavar="DIR",
        help="for each test that ends in minidl.testing.GradientError write a picture and a trace "
             "of the failing example into DIR")


def pytest_configure(config):
    folder = config.getoption("--gradient-pictures")
    if folder:
        from minidl.testing.pytest_plugin import Pictures
        config.pluginmanager.register(Pictures(folder), "minidl-gradient-pictures")

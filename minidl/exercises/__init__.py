"""Exercises: formulas to write in plain NumPy, judged by what the library computes.

``exercise`` says what an exercise is, ``process`` runs a student's file in a process of its own
(``child``), ``judge`` finds which number is wrong and why, ``report`` says so. The exercises stand
in ``layers``, ``convolution``, ``training``, ``autoencoder`` and ``bugs``, each with its cases and
the mistakes that are recognised; ``table`` has their order. Stubs to start from are in
examples/exercises, and ``minidl exercise`` lists them.
The engine imports nothing from here.
"""

from .exercise import Exercise
from .judge import judge
from .verdict import Verdict, described, listed
from .table import EXERCISES

__all__ = ["EXERCISES", "Exercise", "Verdict", "described", "judge", "listed"]

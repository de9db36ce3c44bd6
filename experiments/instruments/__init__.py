"""Instruments that measure, after every epoch of a run, why a method wins or loses; see ``experiments/anatomy.py``.

Each instrument is a module with a function that takes a :class:`~instruments.seen.Seen` and returns figures for right
and wrong labels apart. :class:`~instruments.recorder.Anatomy` calls all of them after each epoch.
"""

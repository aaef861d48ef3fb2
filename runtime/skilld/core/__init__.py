"""The language of the house: types every other room speaks.

Standard library and pydantic only; no I/O beyond reading a manifest, no clock, no thread.
"""

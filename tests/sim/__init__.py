"""Deterministic fault simulation of the real engines; README.md in this folder tells how to use and extend it."""

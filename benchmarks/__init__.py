"""Benchmarks: one question a module, answers as JSON in one schema, the README's tables generated from them.

`python -m benchmarks` lists them.
"""

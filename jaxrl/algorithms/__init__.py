"""The learners, one algorithm a file."""

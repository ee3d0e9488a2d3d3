"""Faults on purpose (skeleton; grows)."""

"""Reporters: each turns an `Analysis` into a string and touches no file."""

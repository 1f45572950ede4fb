"""Helpers of the tests: each module is one of them."""

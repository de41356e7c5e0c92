"""Servers that speak Google's protocols on this machine, for the tests beside this package."""

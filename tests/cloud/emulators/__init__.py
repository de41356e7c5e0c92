"""Servers that emulate Google's services on this machine, for the tests of this directory."""

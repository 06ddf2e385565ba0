"""The lines outside: one module a channel, wire formats, signatures, simulators."""

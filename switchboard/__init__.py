"""The server: who is live and who wakes, the settings, the embedded Valkey, and the command line."""

"""The offline demo model: an OpenAI-compatible server with rules instead of a language model, which can misbehave when told to."""

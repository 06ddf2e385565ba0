"""What is bound to the effects that `workflows` declares; named in pyproject as entry points `switchboard.effects`."""

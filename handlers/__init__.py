"""One session, hosted: a small actor per session, the history that it writes, and what it does for it in the world outside.

`House` is what the handlers of a node share, `Handler` the actor; `messages` is what it understands, `history` the port to the store.
"""

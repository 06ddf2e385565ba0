"""One session: the actor that hosts it, its history, and what it does outside: effects, alarms and errands."""

"""The trash: what is removed lies there until it is emptied."""

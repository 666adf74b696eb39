"""Images that guests are made from."""

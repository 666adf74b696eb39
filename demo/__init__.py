"""The main job, on the embedded default: from a bare host to a guest that answers."""

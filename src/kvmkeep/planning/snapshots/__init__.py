"""Sets of snapshots: taken, kept, deleted, reverted to."""

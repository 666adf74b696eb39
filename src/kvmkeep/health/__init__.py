"""Facts and vital signs in, findings out: what is wrong, why it matters, what to type."""

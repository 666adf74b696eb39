"""The one error that the lab shows to its user."""


class LabError(Exception):
    """What went wrong, and what to do about it."""

    def __init__(self, message: str, hint: str = "") -> None:
        """Keep the message and the hint apart, so that both can be shown."""
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """Show the message, and the hint in brackets."""
        return f"{self.message} ({self.hint})" if self.hint else self.message

"""What a run may be refused for."""


class RunError(ValueError):
    """A run that cannot be started or resumed; the message says why and what to do."""

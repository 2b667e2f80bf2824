"""What is inside a group of exceptions."""


def only_leaf(group: BaseExceptionGroup[BaseException]) -> BaseException | None:
    """Return the single exception inside nested groups, or None if there are several."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        if len(error.exceptions) != 1:
            return None
        error = error.exceptions[0]
    return error

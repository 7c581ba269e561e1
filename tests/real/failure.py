"""What is told when something is not as it must be."""

import asyncio
import json
import traceback


class Failure(Exception):
    """Something is not as it must be; the text says what."""


def expect(given: object, wanted: object, what: str) -> None:
    """Fails unless the two are the same."""
    if given != wanted:
        raise Failure(f"{what}\n  expected {json.dumps(wanted)}\n  got      {json.dumps(given)}")


def reasons(error: BaseException) -> list[str]:
    """Why it failed, once for each error in a group of errors. What was given up because of another is left out."""
    if isinstance(error, BaseExceptionGroup):
        return [reason for inner in error.exceptions for reason in reasons(inner)]
    if isinstance(error, asyncio.CancelledError):
        return []
    return [str(error) if isinstance(error, Failure) else "".join(traceback.format_exception(error))]

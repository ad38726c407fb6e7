"""What the engines' errors mean here: whether a transaction can go on or be run again, and what a person can do."""

from collections.abc import Generator
from contextlib import contextmanager

from sqlalchemy.engine import URL
from sqlalchemy.exc import DatabaseError, DBAPIError, OperationalError

from watchtower.errors import StoreDamaged, StoreError, StoreUnavailable


def ends_transaction(error: DBAPIError) -> bool:
    """The engine cannot go on with this transaction: locked, full, I/O error, connection gone, deadlock."""
    return isinstance(error, OperationalError) or error.connection_invalidated


_REPEATABLE_SQLSTATES = {"40001", "40P01"}  # serialization_failure, deadlock_detected


def is_repeatable(error: BaseException) -> bool:
    seen: BaseException | None = error
    while seen is not None:
        if getattr(getattr(seen, "orig", None), "sqlstate", None) in _REPEATABLE_SQLSTATES:
            return True
        seen = seen.__cause__
    return False


@contextmanager
def translated(url: URL) -> Generator[None]:
    """Turn the engine's errors into ours, each with a remedy."""
    try:
        yield
    except OperationalError as error:
        raise _translate(url, error) from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise StoreUnavailable(f"store {shown(url)}: the connection was lost: {error.orig}") from error
        if isinstance(error, DatabaseError) and _is_damage(str(error.orig)):
            raise _translate(url, error) from error
        raise


def _is_damage(why: str) -> bool:
    return "not a database" in why or "malformed" in why


def _translate(url: URL, error: DatabaseError) -> StoreError:
    where, why = shown(url), " ".join(str(error.orig).split())
    if "readonly" in why or "read-only" in why:
        return StoreError(f"store {where} is read-only; give this user write permission on the file and its folder")
    if "unable to open" in why:
        return StoreError(f"store {where} cannot be opened; check that the folder exists and this user may write there")
    if _is_damage(why):
        return StoreDamaged(
            f"store {where} is damaged or not a database ({why}); run `watchtower doctor`, then restore"
        )
    if "locked" in why or "busy" in why:
        return StoreUnavailable(f"store {where} is locked by another process; stop it, or wait until it lets go")
    if "full" in why:
        return StoreUnavailable(f"store {where}: no space left on the device; free some, nothing was lost")
    return StoreUnavailable(f"store {where} does not answer: {why}")


def shown(url: URL) -> str:
    """As it was written in the configuration, without the password."""
    return url.set(drivername=url.get_backend_name()).render_as_string(hide_password=True)

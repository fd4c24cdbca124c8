"""File systems behind URIs: Arrow's own for s3, gs, hdfs and abfs; fsspec for the rest."""

from __future__ import annotations

import os
from datetime import timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from vae_batch.errors import StorageError
from vae_batch.storage.locations import masked
from vae_batch.storage.transport import retried

S3_ATTEMPTS = 8
"""Of each request to S3: with its back-off about half a minute."""
CONNECT_SECONDS, REQUEST_SECONDS = 10.0, 60.0
GCS_SECONDS = 30.0
"""For each request to Google's storage, with all attempts at it; its own client would go on for 15 minutes."""
_S3_OPTIONS = ("region", "scheme", "endpoint_override", "anonymous")
_GCS_OPTIONS = ("project_id", "scheme", "endpoint_override", "anonymous")


def filesystem(uri: str) -> tuple[Any, str]:
    """Give the Arrow file system of a URI, and the path in it. What stands before `?` is taken as it reads.

    Raises:
        StorageError: neither Arrow nor fsspec knows the scheme, the query is not understood, or nothing answers.
    """
    base, mark, query = uri.partition("?")
    scheme, _, rest = base.partition("://")
    bucket, slash, path = rest.partition("/")
    try:
        system, root = _system(scheme, bucket, mark + query)
    except OSError as error:
        raise StorageError(f"{masked(uri)} cannot be reached: {_hadoop(error) or error}") from error
    return system, f"{root.rstrip('/')}{slash}{path}"


def _hadoop(error: OSError) -> str:
    """What to do when Arrow's client of HDFS lacks what it loads; its own words are lists of paths."""
    if "libjvm" in str(error) or "libhdfs" in str(error):
        return (
            "it takes Java and Hadoop's libhdfs, which are not found: set JAVA_HOME, HADOOP_HOME and CLASSPATH (to "
            "what `hadoop classpath --glob` prints), on every node; or use webhdfs://, which takes neither"
        )
    return ""


@lru_cache(maxsize=64)
def _system(scheme: str, bucket: str, query: str) -> tuple[Any, str]:
    """One client for each bucket: it keeps its connections."""
    import pyarrow as pa
    from pyarrow import fs

    uri = f"{scheme}://{bucket}{query}"
    if scheme == "s3":
        return _s3(bucket, _options(uri, bucket, query, _S3_OPTIONS)), bucket
    if scheme in ("gs", "gcs"):
        return _gcs(_options(uri, bucket, query, _GCS_OPTIONS)), bucket
    try:
        return fs.FileSystem.from_uri(uri)  # type: ignore[no-any-return]
    except pa.ArrowInvalid as error:
        return _fsspec(uri, error)


def _options(uri: str, bucket: str, query: str, known: tuple[str, ...]) -> dict[str, Any]:
    """What the query of a URI says to a client. Raises StorageError."""
    options: dict[str, Any] = dict(parse_qsl(query.removeprefix("?")))
    unknown = ", ".join(options.keys() - set(known))
    if unknown or not bucket:
        what = f"unknown {unknown} in its query, which may say {', '.join(known)}" if unknown else "no bucket"
        scheme = uri.partition(":")[0]
        raise StorageError(f"{masked(uri)}: {what}; such a location is {scheme}://bucket/path?{known[0]}=...")
    options["anonymous"] = options.get("anonymous", "false").lower() in ("1", "true", "yes")
    return options


def _gcs(options: dict[str, Any]) -> Any:
    from pyarrow import fs

    return fs.GcsFileSystem(retry_time_limit=timedelta(seconds=GCS_SECONDS), **options)


def _s3(bucket: str, options: dict[str, Any]) -> Any:
    """Arrow's client, which by `from_uri` would try each request once only.

    Small objects go up in one request (`allow_delayed_open`).
    """
    from pyarrow import fs

    if not {"region", "endpoint_override"} & options.keys() and not os.environ.get("AWS_ENDPOINT_URL"):
        options["region"] = retried(lambda: fs.resolve_s3_region(bucket))
    return fs.S3FileSystem(
        allow_delayed_open=True,
        connect_timeout=CONNECT_SECONDS,
        request_timeout=REQUEST_SECONDS,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=S3_ATTEMPTS),
        **options,
    )


def _fsspec(uri: str, reason: Exception) -> tuple[Any, str]:
    from pyarrow import fs

    try:
        import fsspec

        system, path = fsspec.core.url_to_fs(uri)
    except OSError:
        raise
    except Exception as error:  # each of its file systems has its own
        raise StorageError(
            f"{masked(uri)}: {reason}; fsspec says: {error}. Install what that names, or mount it"
        ) from error
    return fs.PyFileSystem(fs.FSSpecHandler(system)), path

"""Everything vae_batch raises on purpose.

VaeBatchError
├── SpecError            an option or a spec file is wrong: correct it
├── SourceError          the image collection cannot be read as named: check the path
├── StorageError         a location's scheme is not known here: install what reads it
├── ModelError           the model cannot be loaded or breaks its contract
├── OutputError          OUT cannot be used: another folder, or look at what is in it
│   └── MismatchError    OUT was made with other settings: the differing fields are named
├── ClusterError         Ray, a node or a replica failed for good: run again to go on
│   ├── NoResourcesError the cluster cannot give what a replica asks for
│   └── DeviceMemoryError a replica's memory holds neither a smaller batch nor the model
├── UnitError            one unit could not be made; carries its number
├── TooManyRejectsError  finished, but more rejects than --max-reject-rate allows
└── InterruptedJobError  stopped by a signal: run again to go on

`exit_code` is what the command line ends with: 1 failed, 2 usage, 3 too many rejects, 75 run again.
"""

from __future__ import annotations


class VaeBatchError(Exception):
    """Base of every error that this package raises on purpose; the text is meant for the user."""

    exit_code = 1


class SpecError(VaeBatchError):
    """An option or a key of a spec file is wrong; the text names it and its value."""

    exit_code = 2


class SourceError(VaeBatchError):
    """The image collection cannot be read as it was named."""


class StorageError(VaeBatchError):
    """A location cannot be used: its scheme is not known, or what would read it is not installed."""


class ModelError(VaeBatchError):
    """The model cannot be loaded, or does not keep the contract of `vae_batch.models`."""


class OutputError(VaeBatchError):
    """The output folder cannot be used, or what is in it contradicts itself."""


class MismatchError(OutputError):
    """The output folder belongs to a job with other settings."""


class ClusterError(VaeBatchError):
    """Ray, a node or a replica failed for good; what was published stays, and running again goes on."""


class NoResourcesError(ClusterError):
    """The cluster has not got what one replica asks for."""


class DeviceMemoryError(ClusterError):
    """A replica's memory does not hold the model, or so many images at once."""

    def __init__(self, message: str, batch_size: int | None = None) -> None:
        super().__init__(message)
        self.batch_size = batch_size
        """Images that were encoded at once; None: the model was being loaded."""


class UnitError(VaeBatchError):
    """A unit could not be made; nothing of it was published."""


class TooManyRejectsError(VaeBatchError):
    """Every unit was finished, but the share of rejects is above `max_reject_rate`."""

    exit_code = 3


class InterruptedJobError(VaeBatchError):
    """A signal stopped the job; running the same command again goes on."""

    exit_code = 75

"""The two partition sets of a Bottlerocket disk (A and B): their images, and the GPT flags that decide which boots.

A set boots if its priority is above 0 and it either has booted successfully before or has a try left. GRUB picks the
bootable set with the highest priority and uses up its try. The flags during an update:

    moment              active set              inactive set
    normal              successful              priority 0, or the previous version
    prepare begins                              priority 0, tries 0, not successful: no way back from here
    prepare is done                             tries 1
    activate            priority 1              priority 2
    GRUB takes it                               tries 0
    marked successful   (now the inactive one)  successful
    boot failed         picked again            priority 2, tries 0, not successful: does not boot
"""

from __future__ import annotations

from dataclasses import dataclass

DISK = "/dev/nvme0n1"


class PartitionError(Exception):
    """A flag change that signpost refuses, with the text that it prints."""


@dataclass(slots=True)
class PartitionSet:
    """One partition set. `image` is the version written to it; None if there is none, or a partial one."""

    image: str | None = None
    priority: int = 0
    tries: int = 0
    successful: bool = False

    @property
    def will_boot(self) -> bool:
        """Whether GRUB would boot it."""
        return self.priority > 0 and (self.tries > 0 or self.successful)


class Partitions:
    """The disk of a host that runs `image`. With `single` there is no second set, so no in-place update."""

    def __init__(self, image: str, *, single: bool = False) -> None:
        first = PartitionSet(image, priority=2, successful=True)
        self._partitions = [first] if single else [first, PartitionSet()]
        self._active = 0

    @property
    def active(self) -> PartitionSet:
        """The running partition set."""
        return self._partitions[self._active]

    @property
    def inactive(self) -> PartitionSet:
        """The partition set for the next version. Raises PartitionError if there is none."""
        if len(self._partitions) == 1:
            raise PartitionError("Could not find inactive partition set")
        return self._partitions[1 - self._active]

    @property
    def fallback(self) -> PartitionSet | None:
        """The inactive partition set, if there is one."""
        return self._partitions[1 - self._active] if len(self._partitions) > 1 else None

    def next_to_boot(self) -> PartitionSet | None:
        """What GRUB would boot now; None if nothing is bootable."""
        bootable = [bank for bank in self._partitions if bank.will_boot]
        return max(bootable, key=lambda bank: bank.priority) if bootable else None

    def clear_inactive(self) -> None:
        """Discard the inactive set's image before it is overwritten."""
        bank = self.inactive
        bank.image, bank.priority, bank.tries, bank.successful = None, 0, 0, False

    def write_inactive(self, image: str) -> None:
        """Finish writing an image, and give it one try."""
        bank = self.inactive
        bank.image, bank.tries = image, 1

    def upgrade_to_inactive(self) -> None:
        """Set the inactive set to boot next. Raises PartitionError unless it was just prepared."""
        bank = self.inactive
        if bank.priority > 0 or bank.successful:
            raise PartitionError(f"Inactive partition {DISK} is already marked for upgrade")
        if bank.tries == 0:
            raise PartitionError(f"Inactive partition {DISK} has not been marked valid for upgrade")
        bank.priority = 2
        self.active.priority = 1

    def cancel_upgrade(self) -> None:
        """Undo `upgrade_to_inactive`; keeps the image and its try."""
        self.inactive.priority = 0
        self.active.priority = 2

    def take_next(self) -> PartitionSet | None:
        """Do what GRUB does at power-on: pick a set, use up its try, and make it active."""
        bank = self.next_to_boot()
        if bank is not None:
            bank.tries = max(bank.tries - 1, 0)
            self._active = next(place for place, each in enumerate(self._partitions) if each is bank)
        return bank

    def mark_successful(self) -> None:
        """Mark the running set as successfully booted."""
        self.active.successful = True

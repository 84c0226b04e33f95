"""The device where a computation runs, checked before anything is moved there."""

from __future__ import annotations

import torch


def check_device(device: str | torch.device) -> torch.device:
    """Return the device, or say which devices this machine has.

    Args:
        device: a name such as ``"cpu"``, ``"cuda"`` or ``"cuda:1"``, or a torch.device; torch's
            ``"meta"``, which holds shapes and no numbers, is always there.

    Returns:
        The device.

    Raises:
        ValueError: torch knows no such name, or this machine has no such device.
    """
    available = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        available.append("mps")
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError):
        found = None
    names = {"meta", *available, *(name.split(":")[0] for name in available)}
    if found is None or str(found) not in names:
        raise ValueError(
            f"device must be one that this machine has, {', '.join(available)}; "
            f"found {str(device)!r}. Use one of these, or install a torch built for your device."
        )
    return found

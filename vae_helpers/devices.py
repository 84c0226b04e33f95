"""The device where a computation runs, checked before anything is moved there."""

from __future__ import annotations

import torch


def check_device(device: str | torch.device) -> torch.device:
    """Return the device, or raise a ValueError that says which devices this machine has.

    torch's ``"meta"``, which holds shapes and no numbers, is always there.
    """
    available = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    available += ["mps"] if torch.backends.mps.is_available() else []
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError):
        found = None
    if str(found) not in {"meta", *available, *(name.split(":")[0] for name in available)}:
        raise ValueError(
            f"device must be one that this machine has, {', '.join(available)}; "
            f"found {str(device)!r}. Use one of these, or install a torch built for your device."
        )
    return found

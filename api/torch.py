"""For PyTorch: `gradcheck` and `gradgradcheck` in place of torch.autograd's, decided by the chain rule.

`check_numbers`: whether every operation of a run gave what it may, in the format that it ran in; `judged`: of a block.
"""

from __future__ import annotations

from .reports.any_network import OnlyAlongPaths
from .reports.any_network.torch_doors import check_numbers, gradcheck, gradgradcheck, judged

__all__ = ["OnlyAlongPaths", "check_numbers", "gradcheck", "gradgradcheck", "judged"]

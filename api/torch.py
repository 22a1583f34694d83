"""For PyTorch: `gradcheck` and `gradgradcheck` in place of torch.autograd's, decided by the chain rule."""

from __future__ import annotations

from .reports.any_network.torch_doors import gradcheck, gradgradcheck

__all__ = ["gradcheck", "gradgradcheck"]

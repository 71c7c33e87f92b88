"""Muon: momentum whose update is made orthogonal, for the matrices of a transformer's blocks
(K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024; scaled to
the size of AdamW's updates as in "Muon is Scalable for LLM Training", arXiv 2502.16982)."""
import torch

ITERATION = (3.4445, -4.7750, 2.0315)
STEPS = 5


def orthogonal(m):
    """About U V^T of each m = U S V^T [n, r, c], by Newton-Schulz: singular values to 0.7-1.2."""
    a, b, c = ITERATION
    x = m.bfloat16() if m.is_cuda else m
    wide = x.shape[1] <= x.shape[2]
    x = x if wide else x.transpose(1, 2)
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    for _ in range(STEPS):
        s = x @ x.transpose(1, 2)
        x = a * x + (b * s + c * (s @ s)) @ x
    return (x if wide else x.transpose(1, 2)).to(m.dtype)


class Muon(torch.optim.Optimizer):
    """parameters: matrices [r, c], or stacks of square ones [k r, r], such as the weights of
    queries, keys and values in one."""

    def __init__(self, parameters, lr, momentum=0.95, weight_decay=0.0):
        super().__init__(parameters, dict(lr=lr, momentum=momentum, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for same in by_shape([p for p in group["params"] if p.grad is not None]):
                self.update(same, group)

    def update(self, parameters, group):
        moved = []
        for p in parameters:
            state = self.state[p]
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(p)
            state["momentum"].lerp_(p.grad, 1 - group["momentum"])
            moved.append(p.grad.lerp(state["momentum"], group["momentum"]))
        rows, columns = parameters[0].shape
        parts = rows // columns if rows % columns == 0 and rows <= 3 * columns else 1
        stacked = torch.stack(moved).view(len(moved) * parts, rows // parts, columns)
        size = 0.2 * max(rows // parts, columns) ** 0.5
        updates = orthogonal(stacked).view(len(moved), rows, columns)
        for p, u in zip(parameters, updates):
            p.mul_(1 - group["lr"] * group["weight_decay"])
            p.add_(u, alpha=-group["lr"] * size)


def by_shape(parameters):
    shapes = {}
    for p in parameters:
        shapes.setdefault(p.shape, []).append(p)
    return shapes.values()

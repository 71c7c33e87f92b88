"""A small patch discriminator (Isola et al., arXiv 1611.07004; hinge loss and the weight from
gradients as in VQGAN, arXiv 2012.09841): it says of patches of about a quarter of the picture
whether they are drawn or decoded, and what it finds soft the decoder learns to draw sharply."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.nn.utils import spectral_norm

MOST = 100.0             # of the weight


class Critic(nn.Module):
    """[n, 3, S, S] -> [n, 1, S/4 - 2, S/4 - 2], large where it looks drawn."""

    def __init__(self, base=32):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, base, 4, 2, 1), nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(base, 2 * base, 4, 2, 1)), nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(2 * base, 1, 3, 1, 0)))

    def forward(self, x):
        return self.layers(x)

    def loss(self, drawn, decoded):
        """Hinge loss of the critic itself."""
        return (F.relu(1 - self(drawn).float()).mean()
                + F.relu(1 + self(decoded).float()).mean()) / 2


def weight_of(distance, opinion, last):
    """What makes the critic's opinion pull at the last layer's weights as much as distance."""
    a = torch.autograd.grad(distance, last, retain_graph=True)[0].norm()
    b = torch.autograd.grad(opinion, last, retain_graph=True)[0].norm()
    return (a / (b + 1e-4)).clamp(max=MOST).detach()

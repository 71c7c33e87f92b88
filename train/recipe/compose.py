"""Scenes -> pictures, a batch at a time on the device.

The pack's pictures lie on the device as premultiplied RGBA at the full, half and quarter
size; an object is one of them through an affine map, so no object is shrunk by more than two
between grid points. Objects are laid over the background in their order."""
import torch
import torch.nn.functional as F


class Compositor:
    """rgba: uint8 [N, S, S, 4], straight alpha."""

    def __init__(self, rgba, device):
        self.pixels = rgba.shape[1]
        self.device = device
        full = torch.cat([premultiply(rgba[i:i + 256]) for i in range(0, len(rgba), 256)])
        self.levels = [full.to(device)]
        for _ in range(2):
            self.levels.append(halve(self.levels[-1]))

    def pictures(self, backgrounds, objects):
        """float [n, 3, S, S] in [-1, 1].

          backgrounds  float [n, 3], 0..255
          objects      float [m, 6] on the host: row, depth, picture, x, y, size; centre and
                       size in units of the picture's side; depth 0 lies lowest
        """
        s = self.pixels
        canvas = backgrounds.to(self.device).view(-1, 3, 1, 1).expand(-1, 3, s, s).clone()
        for depth in range(int(objects[:, 1].max()) + 1):
            for level, stored in enumerate(self.levels):
                of = objects[(objects[:, 1] == depth) & (level_of(objects[:, 5]) == level)]
                if not len(of):
                    continue
                rows = of[:, 0].long().to(self.device)
                rgba = stored[of[:, 2].long().to(self.device)].float()
                rgba = warp(rgba, of[:, 3:], s)
                canvas[rows] = canvas[rows] * (1 - rgba[:, 3:] / 255) + rgba[:, :3]
        return canvas / 127.5 - 1


def tensors_of(scenes):
    """backgrounds, objects of a list of scenes, for Compositor.pictures."""
    objects = [(row, depth, *o) for row, s in enumerate(scenes)
               for depth, o in enumerate(s.objects)]
    return torch.tensor([s.background for s in scenes]).float(), torch.tensor(objects).float()


def premultiply(rgba):
    """uint8 [n, S, S, 4] straight -> uint8 [n, 4, S, S] premultiplied."""
    x = torch.as_tensor(rgba).permute(0, 3, 1, 2).float()
    return torch.cat((x[:, :3] * (x[:, 3:] / 255), x[:, 3:]), 1).round().byte()


def halve(rgba):
    return torch.cat([F.avg_pool2d(rgba[i:i + 512].float(), 2).round().byte()
                      for i in range(0, len(rgba), 512)])


def level_of(size):
    """0 for objects above half the side, 1 above a quarter, 2 below."""
    return (size <= 0.5).long() + (size <= 0.25).long()


def warp(rgba, places, s):
    """[m, 4, r, r] -> [m, 4, s, s], each at its (x, y, size); those that fill the picture as
    they are."""
    if rgba.shape[-1] == s and bool((places == torch.tensor([0.5, 0.5, 1.0])).all()):
        return rgba
    x, y, size = places.to(rgba.device).unbind(1)
    theta = torch.zeros(len(places), 2, 3, device=rgba.device)
    theta[:, 0, 0] = theta[:, 1, 1] = 1 / size
    theta[:, 0, 2] = (1 - 2 * x) / size
    theta[:, 1, 2] = (1 - 2 * y) / size
    grid = F.affine_grid(theta, (len(places), 4, s, s), align_corners=False)
    return F.grid_sample(rgba, grid, align_corners=False)

# SPDX-License-Identifier: Apache-2.0
import torch


def center(k):
    return k - k.mean(0, keepdim=True) - k.mean(1, keepdim=True) + k.mean()


def hsic(k_x, k_y, centered=False, unbiased=True):
    if not centered:
        k_y = center(k_y)
    n = len(k_x)
    if not unbiased:
        return (k_x * k_y).sum() / (n - 1) ** 2
    x, y = (k - torch.diag(k.diagonal()) for k in (k_x, k_y))
    means = x.sum() * y.sum() / (n - 1) - 2 * (x.sum(0) @ y.sum(0))
    return ((x * y).sum() + means / (n - 2)) / (n * (n - 3))


def cka(k_x, k_y, centered=False, unbiased=True):
    (xy, xx, yy) = (hsic(*pair, centered, unbiased) for pair in ((k_x, k_y), (k_x, k_x), (k_y, k_y)))
    return xy / (xx * yy).sqrt()

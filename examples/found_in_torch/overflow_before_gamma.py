"""Mixed precision: for a strided dy, dx is held in float16 before gamma scales it: not a number where gamma is 0."""

import torch
from torch.nn.functional import batch_norm

x = torch.tensor([[-0.001] * 3, [0.001] * 3], dtype=torch.float16).requires_grad_()
dy = torch.tensor([[3e4] * 5, [6e4] * 5], dtype=torch.float16)[:, 1:4]
y = batch_norm(x, None, None, torch.zeros(3), torch.zeros(3), training=True)
print("got", torch.autograd.grad(y, x, dy)[0].flatten().tolist(), "wanted", [0.0] * 6)

"""G14: the backward of an evaluation reads the running variance of the moment of the backward, without an error."""

import torch

layer = torch.nn.BatchNorm1d(1, affine=False, eps=1e-12).double()
layer.eval()
x = torch.tensor([[1.0], [2.0]], dtype=torch.float64, requires_grad=True)
y = layer(x)  # the running variance is 1, and so is dy/dx
layer.train()
layer(torch.tensor([[0.0], [20.0]], dtype=torch.float64))  # rv becomes 0.9 + 0.1 * 200 = 20.9
(dx,) = torch.autograd.grad(y.sum(), x)
print("got", dx.flatten().tolist(), "wanted [1.0, 1.0] or an error")

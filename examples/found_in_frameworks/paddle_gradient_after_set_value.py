"""G8: paddle: a write to weight between a forward and its backward changes dx, without an error."""

import numpy as np
import paddle

found = []
for written in (False, True):
    layer = paddle.nn.BatchNorm1D(1)
    x = paddle.to_tensor([[0.0], [1.0], [3.0]], stop_gradient=False)
    y = layer(x)
    if written:
        layer.weight.set_value(np.full(1, 100.0, np.float32))
    found.append(paddle.grad((y**2 * x.detach()).sum(), x)[0].numpy().ravel().tolist())
print("got", found[1], "wanted", found[0], "or an error")

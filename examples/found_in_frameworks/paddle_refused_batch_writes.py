"""B7: paddle refuses a float32 batch for a float64 layer, and has written to the running statistics by then."""

import paddle

paddle.set_default_dtype("float64")
layer = paddle.nn.BatchNorm1D(1)
try:
    layer(paddle.to_tensor([[1.0], [3.0]], dtype="float32"))
except ValueError as error:
    print("refused:", str(error).strip().splitlines()[-1])
print("got", layer._mean.tolist() + layer._variance.tolist(), "wanted", [0.0, 1.0])

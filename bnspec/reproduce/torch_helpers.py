"""What scripts for layers in torch begin with."""

HELPERS = '''
def tensor(dtype, shape, text, strides=None, offset=0):
    """A tensor with these numbers, of this layout in memory."""
    values = torch.from_numpy(numbers(text).copy()).to(torch.get_default_device(), getattr(torch, dtype))
    return values.reshape(shape) if strides is None else values.as_strided(shape, strides, offset)


def look(value):
    value = torch.as_tensor(value).detach().cpu()
    return value.to(torch.complex128 if value.is_complex() else torch.float64).numpy().copy()


def name_dtype(value):
    return str(value.dtype).removeprefix("torch.")


def name_kind(value):
    if value.is_floating_point():
        return "floating-point numbers"
    return "complex numbers" if value.is_complex() else "booleans" if value.dtype == torch.bool else "whole numbers"


def find_leaf(value):
    """The tensor itself, of which a network is handed an alias."""
    return value if value._base is None else value._base


def list_strides(value):
    return tuple(value.stride())


def write(layer, name, value, anew=False):
    """Into the layer's own tensor where it fits, or into new memory that lies as the value does."""
    own = getattr(layer, name, None)
    if own is None:
        return
    if own.numel() == value.numel():
        value = value if own.dim() == 1 else value.reshape(own.shape)
    if anew:
        own.data = value
    elif own.shape == value.shape and (own.dtype == value.dtype or isinstance(layer, torch.nn.Module)):
        with torch.no_grad():
            own.copy_(value)
    else:
        setattr(layer, name, value)


def convert(layer, dtype, *names):
    if isinstance(layer, torch.nn.Module):
        layer.to(dtype)
    for name in names:
        own = getattr(layer, name, None)
        if own is not None and own.dtype != dtype:
            setattr(layer, name, own.detach().to(dtype).requires_grad_(own.requires_grad))


def ask(layer, name, wanted):
    """Does a parameter need a gradient?"""
    own = getattr(layer, name, None)
    if own is not None and own.requires_grad != wanted:
        own.requires_grad_(wanted)


def backward(y, dy, *inputs, keep=None):
    """Gradients by those of the inputs that need one."""
    asked = [each for each in inputs if each is not None and each.requires_grad]
    found = iter(torch.autograd.grad(y, asked, dy, retain_graph=keep, allow_unused=True))
    return [next(found) if each is not None and each.requires_grad else None for each in inputs]
'''


PUSH = '''
from torch.autograd import forward_ad


def push(layer, x, moved, names, tangents):
    """y and its tangent, of tangents of x and of parameters."""
    with forward_ad.dual_level():
        with torch.no_grad():
            dual = x if moved is None else forward_ad.make_dual(x, moved.reshape(x.shape))
            for name in names:
                ask(layer, name, False)
                own = getattr(layer, name, None)
                if own is not None and name in tangents:
                    own.copy_(forward_ad.make_dual(own.detach().clone(), tangents[name].reshape(own.shape)))
        y, tangent = forward_ad.unpack_dual(layer(dual))
        return y.detach().clone(), None if tangent is None else tangent.detach().clone()
'''

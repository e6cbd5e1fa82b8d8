"""Models of images: convolutions, and transformers over patches. The defaults are those of transformers 5.23's configuration classes."""

from dataclasses import dataclass, field

from harness.plan.families.fields import MOST_LAYERS, Fields, Head, head
from harness.plan.families.pieces import Attention, FeedForward, linear, merged, norm, table
from harness.records.architecture import Architecture, Core, Parts, Per

# The side of an image where a configuration gives none, as in ImageNet's evaluations.
SIDE = 224


@dataclass
class Canvas:
    """Parts applied one after the other to an image; height and width are those after the last part."""

    height: int
    width: int
    parts: list[Parts] = field(default_factory=list)

    def convolution(  # noqa: PLR0913 - a convolution's own sizes
        self,
        component: str,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        stride: int = 1,
        padding: int | None = None,
        groups: int = 1,
        bias: bool = False,
    ) -> None:
        """Out = (in + 2 p - k) / s + 1 to either side, p half the kernel unless given; padded taps count."""
        self.shrink(kernel, stride, kernel // 2 if padding is None else padding)
        weights = outputs * (inputs // groups) * kernel * kernel
        flops = 2 * weights * self.height * self.width
        self.parts.append(Parts(component, 1, weights + bias * outputs, flops, per=Per.SAMPLE))

    def shrink(self, kernel: int, stride: int, padding: int) -> None:
        """The size of the image after a sliding window."""
        self.height = (self.height + 2 * padding - kernel) // stride + 1
        self.width = (self.width + 2 * padding - kernel) // stride + 1

    def norm(self, channels: int) -> None:
        """A scale and a shift for each channel."""
        self.parts.append(norm(2 * channels))


def resnet(fields: Fields) -> Architecture:
    """ResNet: its stride in the 3 x 3 convolution of a bottleneck, unless `downsample_in_bottleneck`."""
    widths, depths = _stages(fields, (256, 512, 1024, 2048), (3, 4, 6, 3))
    basic = fields.word("layer_type", "bottleneck", ("basic", "bottleneck")) == "basic"
    early = fields.flag("downsample_in_bottleneck", default=False)
    inputs = fields.number("embedding_size", default=64)
    canvas = Canvas(*fields.square("image_size", SIDE))
    canvas.convolution("stem", fields.number("num_channels", default=3), inputs, 7, stride=2)
    canvas.norm(inputs)
    canvas.shrink(3, 2, 1)
    first = 2 if fields.flag("downsample_in_first_stage", default=False) else 1
    for stage, (outputs, depth) in enumerate(zip(widths, depths, strict=True)):
        for layer in range(depth):
            stride = (first if stage == 0 else 2) if layer == 0 else 1
            if basic:
                _basic(canvas, inputs, outputs, stride)
            else:
                fields.divides("hidden_sizes", outputs, "a bottleneck's", 4)
                _bottleneck(canvas, inputs, outputs, stride, early=early)
            inputs = outputs
    return _architecture(fields, "resnet", canvas, widths[-1], sum(depths))


def _shortcut(canvas: Canvas, inputs: int, outputs: int, stride: int) -> None:
    """A 1 x 1 convolution parallel to a block that changes the shape; the block starts from the same image."""
    if inputs != outputs or stride != 1:
        before = canvas.height, canvas.width
        canvas.convolution("shortcut", inputs, outputs, 1, stride=stride)
        canvas.norm(outputs)
        canvas.height, canvas.width = before


def _basic(canvas: Canvas, inputs: int, outputs: int, stride: int) -> None:
    _shortcut(canvas, inputs, outputs, stride)
    canvas.convolution("convolutions", inputs, outputs, 3, stride=stride)
    canvas.norm(outputs)
    canvas.convolution("convolutions", outputs, outputs, 3)
    canvas.norm(outputs)


def _bottleneck(canvas: Canvas, inputs: int, outputs: int, stride: int, *, early: bool) -> None:
    narrow = outputs // 4
    _shortcut(canvas, inputs, outputs, stride)
    canvas.convolution("convolutions", inputs, narrow, 1, stride=stride if early else 1)
    canvas.norm(narrow)
    canvas.convolution("convolutions", narrow, narrow, 3, stride=1 if early else stride)
    canvas.norm(narrow)
    canvas.convolution("convolutions", narrow, outputs, 1)
    canvas.norm(outputs)


def convnext(fields: Fields) -> Architecture:
    """ConvNeXt: 7 x 7 convolutions of single channels, each with a feed-forward block over the channels."""
    widths, depths = _stages(fields, (96, 192, 384, 768), (3, 3, 9, 3))
    patch = fields.square("patch_size", 4)[0]
    canvas = Canvas(*fields.square("image_size", SIDE))
    inputs = widths[0]
    canvas.convolution(
        "stem", fields.number("num_channels", default=3), inputs, patch, stride=patch, padding=0, bias=True
    )
    canvas.norm(inputs)
    scale = fields.values.get("layer_scale_init_value", 1e-6)
    if isinstance(scale, bool) or not isinstance(scale, int | float):
        raise fields.wrong("layer_scale_init_value", scale, "a number")
    for stage, (outputs, depth) in enumerate(zip(widths, depths, strict=True)):
        if stage:
            canvas.norm(inputs)
            canvas.convolution("convolutions", inputs, outputs, 2, stride=2, padding=0, bias=True)
        for _ in range(depth):
            canvas.convolution("convolutions", outputs, outputs, 7, groups=outputs, bias=True)
            canvas.norm(outputs)
            canvas.convolution("feed-forward", outputs, 4 * outputs, 1, bias=True)
            canvas.convolution("feed-forward", 4 * outputs, outputs, 1, bias=True)
            canvas.parts.append(norm(outputs, int(scale > 0)))
        inputs = outputs
    canvas.norm(inputs)
    return _architecture(fields, "convnext", canvas, inputs, sum(depths))


def _stages(
    fields: Fields, widths: tuple[int, ...], depths: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    wide, deep = fields.sizes("hidden_sizes", widths), fields.sizes("depths", depths)
    if len(wide) != len(deep):
        raise fields.fault(f"hidden_sizes has {len(wide)} stages, but depths has {len(deep)}")
    if sum(deep) > MOST_LAYERS:
        raise fields.wrong("depths", list(deep), f"{MOST_LAYERS} layers at most")
    return wide, deep


def _architecture(fields: Fields, family: str, canvas: Canvas, hidden: int, layers: int) -> Architecture:
    if min(canvas.height, canvas.width) < 1:
        raise fields.fault("image_size is too small: nothing is left of it after the strides")
    kind = head(fields, Head.IMAGE, Head.NONE)
    classes = (
        (linear("classifier", hidden, fields.labels(), bias=True, per=Per.SAMPLE),)
        if kind is Head.IMAGE
        else ()
    )
    return Architecture(
        name=fields.where,
        family=family,
        parts=merged((*canvas.parts, *classes)),
        layers=layers,
        hidden=hidden,
        tokens=1,
    )


def vit(fields: Fields) -> Architecture:
    """ViT: one more token, for the class."""
    return _vision(fields, "vit", special=1)


def deit(fields: Fields) -> Architecture:
    """DeiT: two more tokens, for the class and for that of the teacher."""
    return _vision(fields, "deit", special=2)


def _vision(fields: Fields, family: str, *, special: int) -> Architecture:
    hidden = fields.size("hidden_size", usual=768)
    heads = fields.size("num_attention_heads", usual=12)
    layers = fields.size("num_hidden_layers", usual=12, most=MOST_LAYERS)
    width = fields.divides("hidden_size", hidden, "num_attention_heads", heads)
    block = FeedForward(hidden, fields.size("intermediate_size", usual=3072), bias=True)
    attention = Attention(
        hidden, heads, heads, width, bias=fields.flag("qkv_bias", default=True), output_bias=True
    )
    patches, cut = _patches(fields, hidden)
    return Architecture(
        name=fields.where,
        family=family,
        parts=merged(
            (
                cut,
                table("positions", patches + special, hidden),
                table("special tokens", special, hidden),
                *attention.parts(layers),
                *block.parts(layers),
                norm(2 * hidden, 2 * layers + 1),
                *_top(fields, hidden, teacher=special == 2),
            )
        ),
        cores=(Core(layers, heads, width, width, causal=False),),
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=heads,
        head_width=width,
        intermediate=block.inner,
        context=patches + special,
        tokens=patches + special,
    )


def _patches(fields: Fields, hidden: int) -> tuple[int, Parts]:
    """The number of patches, and the convolution that makes tokens of them."""
    height, width = fields.square("image_size", 224)
    tall, wide = fields.square("patch_size", 16)
    if tall > height or wide > width:
        raise fields.fault(f"patch_size {tall} x {wide} is more than image_size {height} x {width}")
    patches = (height // tall) * (width // wide)
    inputs = fields.number("num_channels", default=3) * tall * wide
    weights = inputs * hidden
    return patches, Parts("patches", 1, weights + hidden, 2 * weights * patches, per=Per.SAMPLE)


def _top(fields: Fields, hidden: int, *, teacher: bool) -> tuple[Parts, ...]:
    kind = head(fields, Head.IMAGE, Head.NONE, *((Head.TAUGHT,) if teacher else ()))
    if kind is Head.NONE:
        outputs = fields.number("pooler_output_size", default=hidden)
        return (linear("pooler", hidden, outputs, bias=True, per=Per.SAMPLE),)
    several = 2 if kind is Head.TAUGHT else 1
    return (linear("classifier", hidden, fields.labels(), count=several, bias=True, per=Per.SAMPLE),)

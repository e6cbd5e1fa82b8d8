"""Vision transformers: an image cut into patches, each a token. The defaults are those of transformers 5.23's configuration classes."""

from harness.plan.families.fields import MOST_LAYERS, Fields
from harness.plan.families.heads import Head, head
from harness.plan.families.pieces import Attention, FeedForward, linear, merged, norm, table
from harness.records.architecture import Architecture, Core, Parts, Per


def vit(fields: Fields) -> Architecture:
    """ViT: one token more, for the class."""
    return _vision(fields, "vit", special=1)


def deit(fields: Fields) -> Architecture:
    """DeiT: two tokens more, for the class and for the teacher's."""
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
    """How many, and the convolution that makes tokens of them."""
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

#!/usr/bin/env python3
"""A random checkpoint of full size in the official layout of Singularity or UMT, to try `import` and `search` on.

The real files cannot be shipped; one with their names, shapes and nesting takes the same time and memory. The weights
are drawn with a standard deviation of 0.02, so what a search finds with them means nothing. Only Python's own library is
used: the file is the zip archive of a pickle and raw numbers that `torch.save` writes. UMT's CLIP teacher (86 M parameters
that `import` sets aside) is left out.

    python3 xtask/full_size_checkpoint.py umt-base umt.pth
    python3 xtask/full_size_checkpoint.py singularity-temporal singularity.pth
"""

import argparse
import collections
import io
import itertools
import pickle
import random
import struct
import sys
import types
import zipfile

VOCABULARY, POSITIONS, FRAMES = 30522, 512, 4
# Width, layers and first fusion layer of the video and the text encoder, which are alike, and width of the shared space.
SIZES = {
    "umt-base": (768, 12, 9, 512),
    "umt-large": (1024, 24, 19, 768),
    "singularity": (768, 12, 9, 256),
    "singularity-temporal": (768, 12, 9, 256),
}


def linear(name, out, into, bias=True):
    yield name + ".weight", (out, into)
    if bias:
        yield name + ".bias", (out,)


def norm(name, width):
    yield name + ".weight", (width,)
    yield name + ".bias", (width,)


def attention(name, width):
    for part in ("query", "key", "value"):
        yield from linear(f"{name}.self.{part}", width, width)
    yield from linear(f"{name}.output.dense", width, width)
    yield from norm(f"{name}.output.LayerNorm", width)


def bert_layer(name, width, fusion):
    yield from attention(f"{name}.attention", width)
    if fusion:
        yield from attention(f"{name}.crossattention", width)
    yield from linear(f"{name}.intermediate.dense", 4 * width, width)
    yield from linear(f"{name}.output.dense", width, 4 * width)
    yield from norm(f"{name}.output.LayerNorm", width)


def text_encoder(width, layers, first_fusion):
    embeddings = "text_encoder.bert.embeddings"
    yield f"{embeddings}.position_ids", (1, POSITIONS)
    yield f"{embeddings}.word_embeddings.weight", (VOCABULARY, width)
    yield f"{embeddings}.position_embeddings.weight", (POSITIONS, width)
    yield f"{embeddings}.token_type_embeddings.weight", (2, width)
    yield from norm(f"{embeddings}.LayerNorm", width)
    for layer in range(layers):
        yield from bert_layer(f"text_encoder.bert.encoder.layer.{layer}", width, layer >= first_fusion)
    head = "text_encoder.cls.predictions"
    yield f"{head}.bias", (VOCABULARY,)
    yield from linear(f"{head}.transform.dense", width, width)
    yield from norm(f"{head}.transform.LayerNorm", width)
    yield from linear(f"{head}.decoder", VOCABULARY, width)


def umt_video(width, layers, shared):
    encoder = "vision_encoder.encoder"
    yield f"{encoder}.patch_embed.proj.weight", (width, 3, 1, 16, 16)
    yield f"{encoder}.patch_embed.proj.bias", (width,)
    for layer in range(layers):
        block = f"{encoder}.blocks.{layer}"
        yield from norm(f"{block}.norm1", width)
        yield f"{block}.attn.q_bias", (width,)
        yield f"{block}.attn.v_bias", (width,)
        yield from linear(f"{block}.attn.qkv", 3 * width, width, bias=False)
        yield from linear(f"{block}.attn.proj", width, width)
        yield from norm(f"{block}.norm2", width)
        yield from linear(f"{block}.mlp.fc1", 4 * width, width)
        yield from linear(f"{block}.mlp.fc2", width, 4 * width)
    yield from norm(f"{encoder}.norm", width)
    yield from norm("vision_encoder.pool_norm", width)
    for layer in range(6):
        yield from linear(f"vision_encoder.clip_decoder.{layer}.head", shared, width)
        yield from norm(f"vision_encoder.clip_decoder.{layer}.norm", shared)


def singularity_video(width, layers, temporal):
    embeddings = "vision_encoder.embeddings"
    yield f"{embeddings}.cls_token", (1, 1, width)
    yield f"{embeddings}.patch_embeddings.projection.weight", (width, 3, 16, 16)
    yield f"{embeddings}.patch_embeddings.projection.bias", (width,)
    for layer in range(layers):
        name = f"vision_encoder.encoder.layer.{layer}"
        yield f"{name}.lambda_1", (width,)
        yield f"{name}.lambda_2", (width,)
        for part in ("query", "key", "value"):
            yield from linear(f"{name}.attention.attention.{part}", width, width, bias=part != "key")
        table = f"{name}.attention.attention.relative_position_bias.relative_position_bias_table"
        yield table, (27 * 27 + 3, width // 64)
        yield from linear(f"{name}.attention.output.dense", width, width)
        yield from linear(f"{name}.intermediate.dense", 4 * width, width)
        yield from linear(f"{name}.output.dense", width, 4 * width)
        yield from norm(f"{name}.layernorm_before", width)
        yield from norm(f"{name}.layernorm_after", width)
    yield from norm("vision_encoder.pooler.layernorm", width)
    yield from norm("vision_layernorm", width)
    yield "temporal_embeddings", (1, FRAMES if temporal else 1, 1, width)
    for layer in range(2 if temporal else 0):
        yield from bert_layer(f"temporal_vision_encoder.layer.{layer}", width, False)


def tensors(model):
    """Names and shapes of `model`."""
    width, layers, first_fusion, shared = SIZES[model]
    if model.startswith("umt"):
        yield from umt_video(width, layers, shared)
    else:
        yield from singularity_video(width, layers, model.endswith("temporal"))
    yield from text_encoder(width, layers, first_fusion)
    yield from linear("vision_proj", shared, width)
    yield from linear("text_proj", shared, width)
    yield from linear("itm_head", 2, width)
    yield "temp", ()


# Tensors that share the numbers of another one.
TIED = {
    "text_encoder.cls.predictions.decoder.weight": "text_encoder.bert.embeddings.word_embeddings.weight",
    "text_encoder.cls.predictions.decoder.bias": "text_encoder.cls.predictions.bias",
}


# What a pickle of torch.save names; never called here.
def _rebuild_tensor_v2():
    raise NotImplementedError


class FloatStorage:
    pass


class LongStorage:
    pass


class Tensor:
    """A tensor of a file: number of its storage, and shape."""

    def __init__(self, storage, kind, shape):
        self.storage, self.kind, self.shape, self.count = storage, kind, shape, 1
        for side in shape:
            self.count *= side

    def __reduce__(self):
        strides = [1]
        for side in reversed(self.shape[1:]):
            strides.insert(0, strides[0] * side)
        strides = tuple(strides) if self.shape else ()
        rest = (0, self.shape, strides, False, collections.OrderedDict())
        return _rebuild_tensor_v2, (Storage(self),) + rest


class Storage:
    def __init__(self, tensor):
        self.tensor = tensor


class Pickler(pickle.Pickler):
    def persistent_id(self, value):
        if isinstance(value, Storage):
            return ("storage", value.tensor.kind, str(value.tensor.storage), "cpu", value.tensor.count)
        return None


def stand_in_for_torch():
    """Lets the pickle name `torch` where it is not installed."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    torch.FloatStorage, torch.LongStorage, utils._rebuild_tensor_v2 = FloatStorage, LongStorage, _rebuild_tensor_v2
    FloatStorage.__module__ = LongStorage.__module__ = "torch"
    _rebuild_tensor_v2.__module__ = "torch._utils"
    torch._utils = utils
    sys.modules.update({"torch": torch, "torch._utils": utils})


def numbers(name, tensor, noise, offset):
    """The bytes of `tensor`: ones for norms, zeros for biases, the temperature, else noise from `offset` on."""
    size = 4 * tensor.count
    if tensor.kind is LongStorage:
        return struct.pack(f"<{tensor.count}q", *range(tensor.count))
    if name == "temp":
        return struct.pack("<f", 0.07)
    if name.endswith("bias"):
        return bytes(size)
    if "norm" in name.lower():
        return struct.pack("<f", 1.0) * tensor.count
    start = 4 * (offset % (len(noise) // 4))
    repeats = (start + size) // len(noise) + 1
    return (noise * repeats)[start : start + size]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", choices=sorted(SIZES))
    parser.add_argument("out")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    stand_in_for_torch()
    state = collections.OrderedDict()
    for number, (name, shape) in enumerate(tensors(options.model)):
        storage = state[TIED[name]].storage if name in TIED else number
        state[name] = Tensor(storage, LongStorage if name.endswith("position_ids") else FloatStorage, shape)
    temporal = options.model.endswith("temporal")
    config = {"video_input": {"num_frames": FRAMES if temporal or options.model.startswith("umt") else 1}}
    if options.model.startswith("singularity"):
        config["add_temporal_embed"] = temporal
        config["temporal_vision_encoder"] = {"enable": temporal, "num_layers": 2}
    content = io.BytesIO()
    Pickler(content, protocol=2).dump({"model": state, "config": config, "epoch": 0, "global_step": 0})
    draw = random.Random(options.seed)
    # A prime number of draws, repeated: no two tensors begin alike.
    noise = struct.pack("<999983f", *(draw.gauss(0.0, 0.02) for _ in range(999983)))
    with zipfile.ZipFile(options.out, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", content.getvalue())
        archive.writestr("archive/byteorder", "little")
        for (name, tensor), offset in zip(state.items(), itertools.count(0, 7919)):
            if name in TIED:
                continue
            archive.writestr(f"archive/data/{tensor.storage}", numbers(name, tensor, noise, offset))
        archive.writestr("archive/version", "3\n")
    count = sum(tensor.count for name, tensor in state.items() if name not in TIED and tensor.kind is FloatStorage)
    print(f"{options.out}: {len(state)} tensors, {count / 1e6:.1f} M parameters")


if __name__ == "__main__":
    main()

"""How checkpoints in the wild spell what transformers 5 saves: rewrites of (config, tensors) for Variant.spell.

Each is checked by reading the folder back: transformers must give the same logits.
"""
import torch


def old_config(*, drop=(), rename=None, type_key="type", **more):
    """transformers 4: torch_dtype, rope_theta and rope_scaling, a top-level partial_rotary_factor."""
    def rewrite(config, tensors):
        config = {name: value for name, value in config.items() if name not in drop}
        config["torch_dtype"] = config.pop("dtype")
        parameters = dict(config.pop("rope_parameters", None) or {})
        if parameters:
            config["rope_theta"] = parameters.pop("rope_theta")
            if "partial_rotary_factor" in parameters:
                config["partial_rotary_factor"] = parameters.pop("partial_rotary_factor")
            kind = parameters.pop("rope_type")
            config["rope_scaling"] = None if kind == "default" else {type_key: kind, **parameters}
        for old, new in (rename or {}).items():
            config[new] = config.pop(old)
        return {**config, **more}, tensors
    return rewrite


def without_prefix(prefix):
    """Checkpoints of the base model (gpt2, bloom): names without the head's prefix."""
    def rewrite(config, tensors):
        return config, {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return rewrite


def with_buffers(pattern, layers, length, *, masked=None, inv_freq=None):
    """Buffers that old versions kept in the file and that say nothing: causal masks, mask values, frequencies."""
    def rewrite(config, tensors):
        for layer in range(layers):
            stem = pattern.format(layer)
            tensors[stem + "bias"] = torch.ones(length, length).tril().bool().view(1, 1, length, length)
            if masked is not None:
                tensors[stem + "masked_bias"] = torch.tensor(masked)
            if inv_freq is not None:
                tensors[stem + "rotary_emb.inv_freq"] = inv_freq.clone()
        return config, tensors
    return rewrite


def with_tied_head(head, embedding):
    """The head written although it is tied."""
    def rewrite(config, tensors):
        tensors[head] = tensors[embedding].clone()
        return config, tensors
    return rewrite

"""A transformers model of a few kilobytes whose text is known: it goes round and round its alphabet.

Its embedding and its output layer say of each letter which comes next; what lies between adds noise too small to matter. So
everything that is not arithmetic (loading, quantisation, batching, decoding, cancelling) runs as for a real model, in no time.
"""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import BPE
from transformers import AddedToken, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

ROUND = "a, bécd"  # é is two tokens, as each token is a byte
END = "</s>"
USER, TURN_END = "<|user|>", "<|end|>"
TEMPLATE = "{% for m in messages %}" + USER + "{{ m.content }}" + TURN_END + "{% endfor %}"
HIDDEN = 320


def save_tiny_model(folder: Path, *, template: str | None = None, text: str = ROUND, ends: bool = False) -> Path:
    """``ends``: the text ends after one round. Any other letter is followed by the round's beginning."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(BPE({token: i for i, token in enumerate(["<s>", END, *alphabet])}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token=END)
    tokenizer.add_special_tokens({"additional_special_tokens": [AddedToken(USER), AddedToken(TURN_END)]})
    tokenizer.chat_template = template
    size = len(tokenizer)
    config = LlamaConfig(
        vocab_size=size,
        hidden_size=HIDDEN,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=4096,
        initializer_range=0.002,
        bos_token_id=0,
        eos_token_id=1,
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config).to(torch.bfloat16)
    letters = backend.encode(text, add_special_tokens=False).ids
    following = dict.fromkeys(range(size), letters[0]) | dict(
        zip(letters, [*letters[1:], 1 if ends else letters[0]], strict=True)
    )
    with torch.no_grad():
        embedding, output = model.get_input_embeddings().weight, model.get_output_embeddings().weight
        embedding.zero_()
        output.zero_()
        for token, then in following.items():
            embedding[token, token] = 1.0
            output[then, token] = 1.0
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder

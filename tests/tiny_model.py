"""A tiny Qwen2 with random weights and a chat template that thinks; and a LoRA adapter for it. Needs torch and transformers."""

from __future__ import annotations

import json
from pathlib import Path

TEMPLATE = (
    "{% for m in messages %}{% if not (loop.last and continue_final_message) %}"
    "<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% else %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if reasoning_effort is defined and reasoning_effort %}<effort {{ reasoning_effort }}>{% endif %}"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% else %}<think>\n{% endif %}{% endif %}"
)
"""Writes the open tag itself, as DeepSeek-R1's does, and closes it at once where thinking is switched off, as Qwen3's does."""
OTHER_TEMPLATE = (
    "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant] <think>\n{% endif %}"
)
WELL_FORMED = r"[a-z ]{1,12}</think>\n[a-z]{1,12}"
"""A regular expression to hold random weights to (`structured_outputs`), so that a reply has thinking and an answer."""
HIDDEN, LAYERS, RANK = 64, 2, 4


def make(folder: Path, *, seed: int = 0, template: str = TEMPLATE) -> Path:
    """Write a checkpoint of 99 thousand parameters in float32 into `folder`, by its seed; return the folder."""
    import torch
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    corpus = ["What is 3 + 4?", "Let me think. 3 + 4 is 7.", "The answer is 7.", "user assistant system"] * 10
    tokenizer.train_from_iterator(
        corpus,
        trainers.BpeTrainer(
            vocab_size=512,
            special_tokens=["<|pad|>", "<|im_start|>", "<|im_end|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    # Not special: they would be dropped from texts where special tokens are.
    tokenizer.add_tokens([AddedToken("<think>", special=False), AddedToken("</think>", special=False)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|pad|>")
    fast.chat_template = template
    torch.manual_seed(seed)
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=(len(fast) + 63) // 64 * 64,
            hidden_size=HIDDEN,
            intermediate_size=128,
            num_hidden_layers=LAYERS,
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=2048,
            tie_word_embeddings=True,
            eos_token_id=fast.eos_token_id,
            bos_token_id=None,
            pad_token_id=fast.pad_token_id,
        )
    )
    model.generation_config.eos_token_id = fast.eos_token_id
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def make_adapter(folder: Path, *, seed: int = 1, rank: int = RANK) -> Path:
    """Write a LoRA adapter, as `peft` saves one, that changes what the tiny model says; return its folder."""
    import torch
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for layer in range(LAYERS):
        for name, width in (("q_proj", HIDDEN), ("o_proj", HIDDEN)):
            place = f"base_model.model.model.layers.{layer}.self_attn.{name}"
            weights[f"{place}.lora_A.weight"] = torch.randn(rank, HIDDEN, generator=generator)
            weights[f"{place}.lora_B.weight"] = torch.randn(width, rank, generator=generator)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, str(folder / "adapter_model.safetensors"))
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": rank,
        "lora_alpha": 16,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": ["q_proj", "o_proj"],
        "base_model_name_or_path": "tiny",
    }
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder

"""What vLLM's texts mean: patterns of vLLM 0.32, PyTorch, safetensors and the Hub client, and what to do about each.

The first rule of which the log holds a text counts, so what says more stands before what says less.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lrm.engines.faults import FaultKind

Match = re.Match[str]
SENTENCE = 400
"""Characters of a text of vLLM's that are shown."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A text that tells why an engine ended."""

    kind: FaultKind
    pattern: re.Pattern[str]
    sentence: str | Callable[[Match], str]
    """With `{name}` for the pattern's groups."""
    hint: str

    def told(self, found: Match) -> str:
        """Return the sentence for a text that was found."""
        if not isinstance(self.sentence, str):
            return self.sentence(found)
        groups = {name: " ".join((value or "").split()) for name, value in found.groupdict().items()}
        return self.sentence.format(**groups)


def _rule(kind: FaultKind, pattern: str, sentence: str | Callable[[Match], str], hint: str) -> Rule:
    return Rule(kind, re.compile(pattern, re.DOTALL), sentence, hint)


_LESS = "raise `vllm.tensor_parallel`, lower `vllm.max_model_len` or `vllm.max_num_seqs`, or declare a smaller model or `quantization`"


def _too_long(found: Match) -> str:
    said = (
        f"one reply of `vllm.max_model_len` = {found['length']} tokens needs a cache of {found['needed']} GiB, and there "
        f"are {found['there']} GiB"
    )
    return said if found["fits"] is None else f"{said}: {found['fits']} tokens would fit"


def _crashed(found: Match) -> str:
    code = found["code"]
    how = f" (exit status {code})" if code else ""
    return f"its process {found['name']} died without a word{how}"


def _in_a_word(found: Match) -> str:
    return shortened(found["text"])


def shortened(text: str) -> str:
    """Return a text of vLLM's in one line, and not too long to be read."""
    line = " ".join(text.split()).rstrip(".")
    return line if len(line) <= SENTENCE else line[: SENTENCE - 1].rstrip() + "…"


RULES: tuple[Rule, ...] = (
    # memory
    _rule(
        "memory",
        r"Free memory on device \S+ \((?P<free>[\d.]+)/(?P<all>[\d.]+) GiB\) on startup is less than desired GPU memory "
        r"utilization \((?P<share>[\d.]+), (?P<wanted>[\d.]+) GiB\)",
        "the GPU is in use: {free} of {all} GiB are free, and the share {share} of it is {wanted} GiB",
        "end what else uses the GPU (`nvidia-smi` lists it), or lower `vllm.memory`",
    ),
    _rule(
        "memory",
        r"Available memory on node \d+ \((?P<free>[\d.]+)/(?P<all>[\d.]+) GiB\) on startup is less than desired CPU memory "
        r"utilization \((?P<share>[\d.]+), (?P<wanted>[\d.]+) GiB\)",
        "the machine's memory is in use: {free} of {all} GiB are free, and the share {share} of it is {wanted} GiB",
        "end what else uses memory, lower `vllm.memory`, or set VLLM_CPU_KVCACHE_SPACE to the cache's size in GiB",
    ),
    _rule(
        "memory",
        r"Available memory on node \d+ \((?P<free>[\d.]+)/(?P<all>[\d.]+) GiB\) on kv cache allocation is less than requested "
        r"memory for kv \((?P<wanted>[\d.]+) GiB\)",
        "the cache does not fit: {wanted} GiB are wanted of it, and {free} of the machine's {all} GiB are free",
        "lower VLLM_CPU_KVCACHE_SPACE, or end what else uses memory",
    ),
    _rule(
        "memory",
        r"No available memory for the cache blocks",
        "the weights leave no memory for the cache",
        f"raise `vllm.memory` if it is below 0.9; else {_LESS}",
    ),
    _rule(
        "context",
        r"max seq len \((?P<length>\d+)\), \((?P<needed>[\d.]+) GiB KV cache is needed, which is larger than the available KV "
        r"cache memory \((?P<there>[\d.]+) GiB\)(?:.*?maximum model length is (?P<fits>\d+))?",
        _too_long,
        "lower `vllm.max_model_len`; or raise `vllm.memory` or `vllm.tensor_parallel`",
    ),
    _rule(
        "memory",
        r"Cannot auto-fit max_model_len: not enough GPU memory",
        "not even the shortest context fits into the memory that the weights leave",
        _LESS,
    ),
    _rule(
        "memory",
        r"out of memory\. Tried to allocate (?P<more>[\d.]+ \w+)\. GPU (?P<gpu>\d+) has a total capacity of (?P<all>[\d.]+ \w+) "
        r"of which (?P<free>[\d.]+ \w+) is free",
        "GPU {gpu} ran out of memory: {more} more were asked for, and {free} of its {all} were free",
        _LESS,
    ),
    _rule(
        "memory",
        r"out of memory occurred when warming up",
        "the GPU ran out of memory when the engine tried a full batch",
        "lower `vllm.max_num_seqs` or `vllm.memory`",
    ),
    _rule(
        "memory",
        r"can't allocate memory: you tried to allocate (?P<bytes>\d+) bytes",
        "the machine ran out of memory: {bytes} bytes more were asked for",
        "end what else uses memory, or lower VLLM_CPU_KVCACHE_SPACE or `vllm.memory`",
    ),
    _rule(
        "memory",
        r"OutOfMemoryError|out of memory|not enough GPU memory|std::bad_alloc|MemoryError\b|Cannot allocate memory",
        "it ran out of memory",
        _LESS,
    ),
    _rule(
        "memory",
        r"No space left on device",
        "the disk, or the shared memory in /dev/shm, is full",
        "make room; in a container, start it with more shared memory (--shm-size or --ipc=host)",
    ),
    # what was declared
    _rule(
        "context",
        r"User-specified max_model_len \((?P<length>\d+)\) is greater than the derived max_model_len \([\w.]+=(?P<most>\d+)",
        "`vllm.max_model_len` = {length} is more than the checkpoint can take, {most} tokens",
        "lower `vllm.max_model_len`, or leave it out",
    ),
    _rule(
        "context",
        r"max_num_batched_tokens \((?P<step>\d+)\) is smaller than max_model_len \((?P<length>\d+)\)",
        "a prompt of `vllm.max_model_len` = {length} tokens does not fit into one step of `vllm.max_num_batched_tokens` = {step}",
        "raise `vllm.max_num_batched_tokens`, lower `vllm.max_model_len`, or let prompts be read in pieces: "
        "vllm.chunked_prefill = true",
    ),
    _rule(
        "argument",
        r"No common block size for (?P<size>\d+) \((?P<known>.*?)\)\.",
        "`vllm.block_size` = {size} is none that the attention of this device takes ({known})",
        "leave `vllm.block_size` out, or declare 32 or 64",
    ),
    _rule(
        "gpus",
        r"World size \((?P<wanted>\d+)\) is larger than the number of available GPUs \((?P<there>\d+)\)",
        "{wanted} GPUs are declared and {there} can be seen",
        "lower `vllm.tensor_parallel` × `vllm.pipeline_parallel`, look at CUDA_VISIBLE_DEVICES, or use a larger machine",
    ),
    _rule(
        "gpus",
        r"attention heads \((?P<heads>\d+)\) must be divisible by tensor parallel size \((?P<size>\d+)\)",
        "`vllm.tensor_parallel` = {size} does not divide the model's {heads} attention heads",
        "declare a number that divides them",
    ),
    _rule(
        "gpus",
        r"invalid device ordinal|[Nn]ot enough (?:allowed )?(?:NUMA|numa|memory) nodes",
        "fewer devices can be seen than are declared",
        "lower `vllm.tensor_parallel` × `vllm.pipeline_parallel` × `vllm.data_parallel`, or look at CUDA_VISIBLE_DEVICES",
    ),
    _rule(
        "gpus",
        r"No CUDA GPUs are available|Found no NVIDIA driver|Device string must not be empty|Failed to infer device type|"
        r"no kernel image is available",
        "no GPU that this build of vLLM can use was found",
        "run it where there is one, look at CUDA_VISIBLE_DEVICES, or install a build of vLLM for this machine",
    ),
    _rule(
        "unsupported",
        r"Model architectures \[(?P<names>[^\]]*)\] are not supported for now",
        "this vLLM does not know the model's architecture {names}",
        "upgrade vLLM, or run the model elsewhere and declare its `endpoint`",
    ),
    _rule(
        "unsupported",
        r"has model type `(?P<name>[^`]*)` but Transformers does not recognize",
        "the installed transformers do not know the model's type `{name}`",
        "upgrade transformers and vLLM, or run the model elsewhere and declare its `endpoint`",
    ),
    _rule(
        "unsupported",
        r"Unknown quantization method: (?P<name>[\w.-]+)|argument --quantization/-q: invalid choice: '(?P<other>[^']*)'",
        "vLLM does not know the declared `quantization`",
        "see vLLM's page on quantization for the names; leave it out where the checkpoint itself says how it is quantized",
    ),
    _rule(
        "unsupported",
        r"Quantization method specified in the model config \((?P<theirs>[^)]*)\) does not match the quantization method "
        r"specified in the `quantization` argument \((?P<ours>[^)]*)\)",
        "the checkpoint is quantized by `{theirs}`, and `quantization` = '{ours}' is declared",
        "leave `quantization` out: the checkpoint says it itself",
    ),
    _rule(
        "unsupported",
        r"Cannot find the config file for (?P<name>[\w.-]+)",
        "the checkpoint is not quantized by `{name}`, as is declared",
        "leave `quantization` out, or declare a checkpoint that is",
    ),
    _rule(
        "unsupported",
        r"quantization method (?P<name>[\w.-]+) is not supported for the current GPU\. Minimum capability: (?P<least>\d+)",
        "this GPU cannot run the quantization `{name}`, which needs compute capability {least}",
        "use a newer GPU, or another checkpoint",
    ),
    _rule(
        "unsupported",
        r"(?P<text>[^\n:]*\bis not supported for quantization method [\w.-]+\.[^\n]*)",
        _in_a_word,
        "declare a `dtype` that it supports",
    ),
    _rule(
        "unsupported",
        r"Bfloat16 is only supported on GPUs with compute capability of at least 8\.0",
        "this GPU cannot calculate in bfloat16",
        "declare dtype = 'float16'",
    ),
    _rule(
        "unsupported",
        r"(?P<text>(?:Pipeline parallelism is not supported for this model|This model does not support `--runner)[^\n]*)",
        _in_a_word,
        "see vLLM's list of supported models",
    ),
    _rule(
        "argument",
        r"CPU Generator does not use offset",
        "on a CPU vLLM cannot read a prompt in pieces for a call with a seed",
        "declare vllm.chunked_prefill = false",
    ),
    _rule(
        "argument",
        r"unrecognized arguments: (?P<names>[^\n]*)",
        "vLLM does not know the argument {names}",
        "look at `vllm.arguments`: the names are those of the installed vLLM, in Python",
    ),
    _rule(
        "argument",
        r"unexpected keyword argument '(?P<name>\w+)'",
        "vLLM does not know the argument `{name}`",
        "look at `vllm.arguments`: the names are those of the installed vLLM, in Python",
    ),
    _rule(
        "argument",
        r"error: (?P<text>argument -[^\n]*)",
        _in_a_word,
        "mend what is declared under `vllm`",
    ),
    _rule(
        "argument",
        r"Reasoning parser '(?P<name>[^']*)' not found",
        "vLLM has no reasoning parser `{name}`",
        "mend `vllm.reasoning_parser`, or leave it out: lrm splits thinking from answers itself",
    ),
    # files
    _rule(
        "adapter",
        r"LoRA rank (?P<rank>\d+) is greater than max_lora_rank (?P<most>\d+)",
        "the adapter's rank is {rank}, and at most {most} were made room for",
        "declare an adapter of a smaller rank",
    ),
    _rule(
        "adapter",
        r"expected target modules in \{[^}]*\} but received \['(?P<first>[^']+)'",
        "the adapter is laid over parts that the model does not have, such as {first}",
        "declare an adapter that was trained on this checkpoint",
    ),
    _rule(
        "adapter",
        r"(?P<text>The embedding LoRA size[^\n]*|"
        r"[^\n:]*does not support LoRA[^\n]*|Adapter bias is not supported[^\n]*)",
        _in_a_word,
        "declare an adapter that was trained on this checkpoint, of a kind that vLLM can lay over it",
    ),
    _rule(
        "adapter",
        r"LoRAAdapterNotFoundError|Loading lora [^\n]* failed: No adapter found",
        "the adapter's files were not found",
        "mend `vllm.adapter`: a folder with adapter_config.json and adapter_model.safetensors, or its id on the Hub",
    ),
    _rule(
        "gated",
        r"gated repo|Cannot access gated|GatedRepoError|awaiting a review from the repo authors",
        "the repository is gated",
        "accept its terms on its page on the Hub, and set HF_TOKEN to a token of that account",
    ),
    _rule(
        "gated",
        r"RepositoryNotFoundError|401 Client Error|Invalid username or password",
        "the Hub knows no such repository, or does not show it without a token",
        "mend the model's name, or set HF_TOKEN to a token that may read it",
    ),
    _rule(
        "files",
        r"contains custom code which must be executed|setting `trust_remote_code=True`",
        "the checkpoint comes with Python code of its own, which was not run",
        "read the code, and declare vllm.trust_remote_code = true if you trust it",
    ),
    _rule(
        "files",
        r"Cannot find any model weights with",
        "the checkpoint's folder has no weights in safetensors",
        "mend `model`, or convert the weights to safetensors",
    ),
    _rule(
        "files",
        r"Invalid repository ID or local directory specified",
        "`model` is neither a repository nor a folder with a config.json",
        "mend `model`",
    ),
    _rule(
        "files",
        r"LocalEntryNotFoundError|OfflineModeIsEnabled|outgoing traffic has been disabled|offline mode is enabled|"
        r"couldn't connect to 'https://huggingface",
        "files of the checkpoint are neither in its folder nor in the Hub's cache here",
        "mend `model`; for a repository, run the command again with a connection",
    ),
    _rule(
        "files",
        r"SafetensorError|Error while deserializing header|JSONDecodeError|is not a valid JSON file|"
        r"Unterminated string starting at|Expecting (?:value|property name|','|':')",
        "a file of the checkpoint is broken, or only part of it was downloaded",
        "delete it and download it again",
    ),
    _rule(
        "files",
        r"(?P<text>(?:There is no module or parameter named|Following weights were not initialized|"
        r"Unable to load tokenizer|Can't load tokenizer|Couldn't instantiate the backend tokenizer)[^\n]*)",
        _in_a_word,
        "the checkpoint's files do not belong together: download it again",
    ),
    # the machine
    _rule(
        "port",
        r"Address already in use|address already in use|EADDRINUSE",
        "the port is in use",
        "name another port, or end what listens there",
    ),
    _rule(
        "package",
        r"No module named 'vllm|No module named vllm",
        "vLLM is not installed here",
        "pip install 'lrm[vllm]'",
    ),
    _rule(
        "package",
        r"ModuleNotFoundError: No module named '(?P<name>[^']+)'",
        "the package `{name}` is missing",
        "install it beside vLLM",
    ),
    _rule(
        "package",
        r"undefined symbol|cannot open shared object file|operator torchvision::nms does not exist|'_OpNamespace'",
        "vLLM is installed with a PyTorch that does not belong to it",
        "install vLLM anew in an environment of its own",
    ),
    _rule(
        "driver",
        r"NVIDIA driver on your system is too old|CUDA driver version is insufficient",
        "the NVIDIA driver is older than this vLLM needs",
        "upgrade the driver, or install a vLLM that was built for an older CUDA",
    ),
    _rule(
        "driver",
        r"(?P<text>(?:CUDA error|NCCL error|NCCL WARN|CUDNN_STATUS|cuBLAS|CUBLAS_STATUS|HIP error)[^\n]*)",
        _in_a_word,
        "run it again; if it stays, look at `nvidia-smi` and at the log",
    ),
)
"""What tells of a cause."""

CRASHES: tuple[Rule, ...] = (
    _rule(
        "died",
        r"Worker proc (?P<name>\S+) died unexpectedly(?: \(exit code: (?P<code>-?\d+)\))?",
        _crashed,
        "look at the log, and whether the machine's memory ran out",
    ),
    _rule(
        "died",
        r"Engine core proc (?P<name>\S+?),? died unexpectedly(?P<code>)",
        _crashed,
        "look at the log, and whether the machine's memory ran out",
    ),
)
"""What tells only that a process has gone; they count where no error at all was told of."""
